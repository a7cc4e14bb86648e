// RLIMIT_RTTIME. The scheduler counts, for each thread, the time in the real-time class since it last slept, and asks
// for attention at a given sum; the decision is made here, by the thread itself.
#include <core/sched.hpp>
#include <process/realtime_limit.hpp>
#include <process/signal.hpp>

namespace linnet::process {
namespace {

constexpr u64 ns_per_microsecond = 1000;

u64 to_ns(u64 microseconds) {
    u64 ns;
    return __builtin_mul_overflow(microseconds, ns_per_microsecond, &ns) ? ~u64{0} : ns;
}

} // namespace

bool is_realtime_limited(const Process& process) {
    return process.limits.soft(abi::RLIMIT_RTTIME) != abi::RLIM_INFINITY;
}

void update_realtime_limit(Process& process) {
    if (!is_realtime_limited(process)) return;
    for (auto thread = process.next_thread(1); thread; thread = process.next_thread(thread->tid() + 1)) {
        thread->pending_work.fetch_or(core::work_notify, std::memory_order_seq_cst);
        core::kick_thread(*thread);
    }
}

void enforce_realtime_limit(Thread& thread) {
    Process& process = thread.process();
    if (class_of(thread.scheduling.policy) != core::SchedulingClass::Realtime || !is_realtime_limited(process)) return;
    const abi::rlimit64 limit = process.limits.get(abi::RLIMIT_RTTIME);
    const u64 ran = core::realtime_run_ns();
    if (ran >= to_ns(limit.rlim_max)) return send_kernel_signal(process, abi::SIGKILL);
    u64 next = to_ns(limit.rlim_cur);
    if (ran >= next) {
        send_kernel_signal(thread, abi::SIGXCPU);
        // As on Linux the limit itself moves on, to the next second.
        next += ((ran - next) / core::ns_per_second + 1) * core::ns_per_second;
        (void)process.limits.set(
            abi::RLIMIT_RTTIME,
            {.rlim_cur = std::min(next / ns_per_microsecond, limit.rlim_max), .rlim_max = limit.rlim_max},
            ResourceLimits::Raise::Forbidden); // below the hard one it can't fail
    }
    core::set_realtime_alarm(std::min(next, to_ns(limit.rlim_max)));
}

} // namespace linnet::process
