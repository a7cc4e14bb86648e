// What stands in for arch and core in the unit tests: each host thread is a kernel thread on a CPU of its own; nothing
// is interrupted.
#include <arch/mmu.hpp>
#include <chrono>
#include <core/log.hpp>
#include <core/mutex.hpp>
#include <core/panic.hpp>
#include <core/random.hpp>
#include <core/sched.hpp>
#include <core/work_queue.hpp>
#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace linnet {

void assertion_failed(const char* expression, const char* file, int line) {
    std::fprintf(stderr, "%s:%d: VERIFY(%s)\n", file, line, expression);
    std::abort();
}

void must_failed(const char* expression, Errno code, const char* file, int line) {
    std::fprintf(stderr, "%s:%d: MUST(%s): errno %d\n", file, line, expression, static_cast<int>(code));
    std::abort();
}

/// Only tests of the scheduler make reservations, and they take them back.
void core::Thread::discard_reservation() { std::abort(); }

namespace {

core::Cpu host_cpus[core::CpuMask::max_cpus];
[[maybe_unused]] const bool have_numbers = [] {
    for (u32 number = 0; number < core::CpuMask::max_cpus; ++number) host_cpus[number].number = number;
    return true;
}();
std::atomic<u32> host_cpu_count{0};

/// The kernel thread and CPU of a host thread; numbers are given in the order of first use.
struct Self {
    core::Thread thread;
    Self() {
        u32 number = host_cpu_count.fetch_add(1);
        host_cpus[number].current = &thread;
        thread.cpu = &host_cpus[number];
    }
};
thread_local Self self;

/// How often each CPU has turned its interrupts off or on; odd while they are off.
std::atomic<u64> interrupt_changes[core::CpuMask::max_cpus];

} // namespace

namespace arch {

ThreadHeader* current_thread() { return &self.thread; }
void set_current_thread(ThreadHeader*) {}
InterruptState save_and_disable_interrupts() {
    std::atomic<u64>& changes = interrupt_changes[core::this_cpu().number];
    const bool were_on = changes.load() % 2 == 0;
    if (were_on) ++changes;
    return were_on;
}
void restore_interrupts(InterruptState were_on) {
    if (were_on) ++interrupt_changes[core::this_cpu().number];
}
u32 asid_count() { return 1; }
void activate_user_tables(PhysAddr, Asid, bool) {}
void deactivate_user_tables() {}
void flush_user_tlb(VirtAddr, usize, Asid) {}
void flush_user_tlb_all(Asid) {}
void flush_kernel_tlb(VirtAddr, usize) {}
const bool tlb_flush_is_broadcast = true;
const usize kernel_root_begin = 512;
void synchronise_instruction_cache(const void*, usize) {}

} // namespace arch

namespace core {

LockClass anonymous_lock_class("anonymous");

Cpu& cpu(u32 number) { return host_cpus[number]; }
u32 cpu_count() { return host_cpu_count.load(); }
u64 online_cpus() { return 1; }
void enable_preemption() { enable_preemption_no_switch(); }
void spin_unlock_preemption() { enable_preemption_no_switch(); }
void RawSpinLock::note_acquire() {}
void RawSpinLock::note_acquired() {}
void RawSpinLock::note_release() {}
void assert_may_sleep(const char* file, int line) {
    if (!may_sleep()) assertion_failed("may sleep", file, line);
}
bool may_sleep() { return current_thread().preempt_count == 0; }
void run_on_cpus(u64, void (*)(void*), void*) {
    for (u32 i = 0; i < core::CpuMask::max_cpus; ++i) {
        const u64 seen = interrupt_changes[i].load();
        while (i != this_cpu().number && seen % 2 != 0 && interrupt_changes[i].load() == seen) arch::relax();
    }
}
void yield() { arch::relax(); }
Result<void> set_affinity(Thread&, u64) { return {}; }
Result<Thread*> start_kernel_thread(const char*, void (*)(void*), void*) { return error(Errno::EAGAIN); }
bool queue_work(Work& work) { return work.function(work), true; }

void log_args(LogLevel, std::string_view, std::span<const FormatArg>) {}
void panic_args(std::string_view format, std::span<const FormatArg>) {
    std::fprintf(stderr, "panic: %.*s\n", static_cast<int>(format.size()), format.data());
    std::abort();
}

void WaitQueue::add(Waiter&) {}
void WaitQueue::remove(Waiter&) {}
void WaitQueue::wake(u32, u32) {}
/// The tests of timers move theirs.
[[gnu::weak]] u64 monotonic_ns() {
    return static_cast<u64>(std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}
[[gnu::weak]] Deadline Deadline::after(u64 nanoseconds) { return {.ns = core::monotonic_ns() + nanoseconds}; }
void prepare_to_sleep(Sleep) { current_thread().state = ThreadState::SleepingDeep; }
void cancel_sleep() { current_thread().state = ThreadState::Running; }
void schedule() { current_thread().state.wait(ThreadState::SleepingDeep); }
bool wake_thread(Thread& thread, u32) {
    ThreadState asleep = ThreadState::SleepingDeep;
    const bool was_asleep = thread.state.compare_exchange_strong(asleep, ThreadState::Running);
    if (was_asleep) thread.state.notify_all();
    return was_asleep;
}
/// Tests that are alone with what they wait for let it happen here.
[[gnu::weak]] WaitResult sleep_until(Sleep, Deadline) {
    arch::relax();
    return WaitResult::Ready;
}

u64 random_u64() {
    static std::atomic<u64> state{1};
    u64 x = state.fetch_add(0x9e37'79b9'7f4a'7c15);
    x = (x ^ (x >> 30)) * 0xbf58'476d'1ce4'e5b9;
    return x ^ (x >> 27);
}
u64 random_below(u64 bound) { return random_u64() % bound; }
void random_bytes(std::span<u8> out) {
    for (u8& byte : out) byte = static_cast<u8>(random_u64());
}

} // namespace core
} // namespace linnet
