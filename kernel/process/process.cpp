// Processes and the tree they form: creation, look-ups from one to another, sums of usage.
#include <algorithm>
#include <mm/address_space.hpp>
#include <process/out_of_memory.hpp>
#include <process/process.hpp>
#include <process/session.hpp>
#include <vfs/credentials.hpp>
#include <vfs/file.hpp>

#include "process_timers.hpp"

namespace linnet::process {
namespace {
constinit core::LockClass tree_class{"process tree"};
constinit core::LockClass signal_class{"process signals"};
} // namespace

constinit core::InterruptSpinLock tree_lock{tree_class};
constinit std::atomic<u32> live_processes{0};
constinit std::atomic<u32> live_threads{0};

void initialise() {
    initialise_pids();
    initialise_out_of_memory();
}

u32 process_count() { return live_processes.load(std::memory_order_relaxed); }
u32 thread_count() { return live_threads.load(std::memory_order_relaxed); }

void ResourceUsage::add(const ResourceUsage& other) {
    times.user += other.times.user;
    times.system += other.times.system;
    minor_faults += other.minor_faults;
    major_faults += other.major_faults;
    voluntary_switches += other.voluntary_switches;
    involuntary_switches += other.involuntary_switches;
    max_resident_pages = std::max(max_resident_pages, other.max_resident_pages);
}

ResourceUsage usage_of(const Thread& thread) {
    return {.times = thread.cpu_times(),
            .minor_faults = thread.minor_faults.load(std::memory_order_relaxed) +
                            thread.faults_in_copies.load(std::memory_order_relaxed),
            .major_faults = thread.major_faults.load(std::memory_order_relaxed),
            .voluntary_switches = thread.voluntary_switches,
            .involuntary_switches = thread.involuntary_switches};
}

Process::Process(RefPtr<PidRecord> pid_record, RefPtr<SignalActions> signal_actions)
    : record(std::move(pid_record)), signal_lock(signal_class), actions(std::move(signal_actions)) {}

Process::~Process() {
    flush_pending(signals.pending);
    delete timers.load();
}

Result<RefPtr<Process>> Process::create(RefPtr<PidRecord> record, RefPtr<SignalActions> actions) {
    auto* made = new (std::nothrow) Process(std::move(record), std::move(actions));
    if (!made) return error(Errno::ENOMEM);
    made->start_time_ns = core::monotonic_ns();
    return adopt_ref(*made);
}

NullableRefPtr<Thread> Process::leader() {
    core::InterruptSpinGuard guard(signal_lock);
    return leader_;
}

RefPtr<const vfs::Credentials> Process::credentials() {
    core::InterruptSpinGuard guard(signal_lock);
    return leader_ ? leader_->credentials() : RefPtr<const vfs::Credentials>(last_credentials_);
}

NullableRefPtr<Process> Process::parent_process() {
    core::InterruptSpinGuard guard(tree_lock);
    return NullableRefPtr<Process>(parent);
}

NullableRefPtr<ProcessGroup> Process::process_group() {
    core::InterruptSpinGuard guard(tree_lock);
    return group;
}

NullableRefPtr<Session> Process::session() {
    core::InterruptSpinGuard guard(tree_lock);
    return group ? NullableRefPtr<Session>(&group->session()) : NullableRefPtr<Session>{};
}

NullableRefPtr<vfs::File> Process::executable() {
    core::InterruptSpinGuard guard(signal_lock);
    return executable_;
}

NullableRefPtr<vfs::File> Process::exchange_executable(NullableRefPtr<vfs::File> fresh) {
    core::InterruptSpinGuard guard(signal_lock);
    std::swap(executable_, fresh);
    return fresh;
}

void Process::note_peak(mm::AddressSpace& space) {
    u64 peak = space.statistics().peak_resident;
    u64 seen = peak_resident_pages.load(std::memory_order_relaxed);
    while (peak > seen && !peak_resident_pages.compare_exchange_weak(seen, peak)) {
    }
}

NullableRefPtr<Thread> Process::any_living_thread() {
    core::InterruptSpinGuard guard(signal_lock);
    for (Thread& thread : threads)
        if (!thread.is_dead() && thread.try_ref()) return NullableRefPtr<Thread>::adopt(&thread);
    return {};
}

void Process::for_each_thread(FunctionRef<void(Thread&)> visit) {
    core::InterruptSpinGuard guard(signal_lock);
    for (Thread& thread : threads) visit(thread);
}

NullableRefPtr<Thread> Process::next_thread(Pid from) {
    core::InterruptSpinGuard guard(signal_lock);
    Thread* best = nullptr;
    for (Thread& thread : threads)
        if (thread.tid() >= from && (!best || thread.tid() < best->tid())) best = &thread;
    return best && best->try_ref() ? NullableRefPtr<Thread>::adopt(best) : NullableRefPtr<Thread>{};
}

ResourceUsage Process::usage() {
    core::InterruptSpinGuard guard(signal_lock);
    ResourceUsage sum = dead_threads_usage;
    sum.max_resident_pages = peak_resident_pages.load(std::memory_order_relaxed);
    for (Thread& thread : threads) sum.add(usage_of(thread));
    return sum;
}

ResourceUsage Process::children_usage() {
    core::InterruptSpinGuard guard(tree_lock);
    return reaped_usage;
}

} // namespace linnet::process
