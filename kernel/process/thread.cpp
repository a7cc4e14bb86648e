// Threads: making and freeing them, and their parts as others read them.
//
// Lock: Thread::parts_lock, a leaf. The last reference to a part is always dropped outside of it.
#include <algorithm>
#include <lib/hit_way.hpp>
#include <mm/address_space.hpp>
#include <mm/kernel_area.hpp>
#include <process/process.hpp>
#include <process/semaphore_undo.hpp>
#include <process/user_account.hpp>
#include <process/user_probes.hpp>
#include <vfs/credentials.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/fs_context.hpp>

namespace linnet::process {
namespace {
constinit core::LockClass parts_class{"thread parts"};
}

Thread::Thread(RefPtr<PidRecord> pid_record) : record(std::move(pid_record)), parts_lock(parts_class) {}

Result<RefPtr<Thread>> Thread::create(RefPtr<PidRecord> record) {
    auto* made = new (std::nothrow) Thread(std::move(record));
    if (!made) return error(Errno::ENOMEM);
    RefPtr<Thread> thread = adopt_ref(*made);
    TRY(thread->registers.create());
    thread->kernel_stack_top = TRY(mm::allocate_kernel_stack());
    thread->user_context = &thread->registers;
    thread->allocations_may_fail = core::current_thread().allocations_may_fail;
    arch::prepare_context(*thread);
    thread->start_time_ns = core::monotonic_ns();
    return thread;
}

Thread::~Thread() {
    exchange_fs({}); // of a thread that never ran
    if (kernel_stack_top) mm::free_kernel_stack(kernel_stack_top);
    delete observer.load();
    delete probes;
}

bool Thread::is_leader() const { return process_->leader_ == this; }

void Thread::on_switched_in(core::Cpu& on_cpu) {
    // A thread of the same memory goes on with the id that this CPU has taken.
    if (!address_space_ || on_cpu.concurrency_ids != &address_space_->concurrency_ids)
        core::release_concurrency_id(on_cpu);
    if (!address_space_) return;
    address_space_->activate(on_cpu);
    if (process_->awaits_cpu_time.load(std::memory_order_relaxed))
        pending_work.fetch_or(core::work_cpu_timers, std::memory_order_relaxed);
    if (rseq.size == 0) return;
    // A call is made outside of restartable sequences (rseq(2)): who slept in one, and is where it was, has missed
    // nothing.
    const u32 id = core::take_concurrency_id(on_cpu, address_space_->concurrency_ids);
    if (in_call && rseq.says(on_cpu.number, id)) return;
    pending_work.fetch_or(core::work_notify, std::memory_order_relaxed);
}

void Thread::on_final_switch() {
    mm::free_kernel_stack(std::exchange(kernel_stack_top, 0));
    unref(); // the reference that running was
}

RECORD_WAY_BEGINS std::string_view Thread::name() const { return {name_, std::find(name_, name_ + name_size, '\0')}; }

NullableRefPtr<mm::AddressSpace> Thread::address_space() {
    core::InterruptSpinGuard guard(parts_lock);
    return address_space_;
}
NullableRefPtr<vfs::FdTable> Thread::files() {
    core::InterruptSpinGuard guard(parts_lock);
    return files_;
}
NullableRefPtr<vfs::FsContext> Thread::fs() {
    core::InterruptSpinGuard guard(parts_lock);
    return fs_;
}
RefPtr<const vfs::Credentials> Thread::credentials() {
    core::InterruptSpinGuard guard(parts_lock);
    return RefPtr<const vfs::Credentials>(credentials_);
}

void Thread::copy_name(std::span<char, name_size> out) {
    core::InterruptSpinGuard guard(parts_lock);
    std::copy_n(name_, name_size, out.data());
}

void Thread::set_name(std::string_view name) {
    core::InterruptSpinGuard guard(parts_lock);
    usize length = std::min(name.size(), name_size - 1);
    std::copy_n(name.data(), length, name_);
    std::fill(name_ + length, name_ + name_size, '\0');
}

void Thread::set_credentials(RefPtr<const vfs::Credentials> fresh) {
    NullableRefPtr<const vfs::Credentials> old(std::move(fresh));
    core::InterruptSpinGuard guard(parts_lock);
    std::swap(credentials_, old);
    guard.unlock();
    const bool had = old && old->effective.has(vfs::Capability::IpcLock),
               has = credentials_->effective.has(vfs::Capability::IpcLock);
    if (had == has || !address_space_ || !process_) return;
    address_space_->limits.locked = has ? ~u64{0} : process_->limits.soft(abi::RLIMIT_MEMLOCK);
}

NullableRefPtr<mm::AddressSpace> Thread::exchange_address_space(NullableRefPtr<mm::AddressSpace> fresh) {
    core::PreemptionGuard no_switch; // on_switched_in() must not see the new one before it is active here
    core::release_concurrency_id(core::this_cpu());
    {
        core::InterruptSpinGuard guard(parts_lock);
        std::swap(address_space_, fresh);
    }
    if (address_space_) {
        arch::InterruptState state = arch::save_and_disable_interrupts();
        address_space_->activate(core::this_cpu());
        arch::restore_interrupts(state);
    }
    return fresh;
}
NullableRefPtr<vfs::FdTable> Thread::exchange_files(NullableRefPtr<vfs::FdTable> fresh) {
    core::InterruptSpinGuard guard(parts_lock);
    std::swap(files_, fresh);
    return fresh;
}
NullableRefPtr<vfs::FsContext> Thread::exchange_fs(NullableRefPtr<vfs::FsContext> fresh) {
    const auto exchange = [&] {
        core::InterruptSpinGuard guard(parts_lock);
        std::swap(fs_, fresh);
    };
    if (vfs::FsContext* before = fs_.get())
        before->remove_user(exchange);
    else
        exchange();
    return fresh;
}
bool Thread::uses(const vfs::FsContext& directory) const {
    core::InterruptSpinGuard guard(parts_lock);
    return fs_.get() == &directory;
}
mm::MemoryPolicy Thread::memory_policy() const {
    core::InterruptSpinGuard guard(parts_lock);
    return memory_policy_;
}
void Thread::set_memory_policy(const mm::MemoryPolicy& policy) {
    core::InterruptSpinGuard guard(parts_lock);
    memory_policy_ = policy;
}
Result<void> Thread::share_fs(Thread& maker) {
    TRY(maker.own_fs().add_user());
    fs_ = maker.fs_;
    return {};
}

Result<SemaphoreUndo*> Thread::own_semaphore_undo() {
    if (!semaphore_undo_) {
        NullableRefPtr<SemaphoreUndo> fresh = TRY(SemaphoreUndo::create());
        core::InterruptSpinGuard guard(parts_lock);
        std::swap(semaphore_undo_, fresh);
    }
    return semaphore_undo_.get();
}
void Thread::drop_semaphore_undo() {
    NullableRefPtr<SemaphoreUndo> old; // goes without the lock
    core::InterruptSpinGuard guard(parts_lock);
    std::swap(semaphore_undo_, old);
}
const void* Thread::semaphore_undo_identity() const {
    core::InterruptSpinGuard guard(parts_lock);
    return semaphore_undo_.get();
}

core::CpuTimes Thread::cpu_times() const {
    // Read at different moments: user time may be ahead of the total that it is part of.
    u64 total = run_clock.total();
    u64 user = std::min(user_clock.total(), total);
    return {.user = user, .system = total - user};
}

} // namespace linnet::process
