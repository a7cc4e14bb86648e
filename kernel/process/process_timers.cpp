// Interval timers and the CPU-time limit. CPU time has no interrupt of its own: a check is armed for the
// moment at which an expiry could be reached if all threads of the process ran on all CPUs, and armed again
// as long as it hasn't been.
#include <abi/linux/time.hpp>
#include <algorithm>

#include "process_timers.hpp"

namespace linnet::process {
namespace {
constinit core::LockClass timers_class{"process timers"};
constexpr u64 shortest_check_ns = 100'000;
} // namespace

ProcessTimers::RealTimer::RealTimer(ProcessTimers& timers)
    : Timer([](core::Timer& timer) { static_cast<RealTimer&>(timer).owner.on_real_timer(); }), owner(timers) {}
ProcessTimers::CpuCheck::CpuCheck(ProcessTimers& timers)
    : Timer([](core::Timer& timer) { static_cast<CpuCheck&>(timer).owner.on_cpu_check(); }), owner(timers) {}

ProcessTimers::ProcessTimers(Process& process)
    : lock(timers_class), process_(process), real_(*this), cpu_check_(*this) {}

u64 ProcessTimers::user_ns_locked() const { return core::ticks_to_ns(process_.usage().times.user); }
u64 ProcessTimers::total_ns_locked() const {
    core::CpuTimes times = process_.usage().times;
    return core::ticks_to_ns(times.user + times.system);
}

void ProcessTimers::on_real_timer() {
    {
        core::InterruptSpinGuard guard(lock);
        if (stopped_ || !real_.is_set) return;
        u64 now = core::monotonic_ns();
        if (now < real_.deadline_ns) return; // set anew meanwhile
        real_.is_set = real_.interval_ns != 0;
        if (real_.is_set) {
            u64 missed = (now - real_.deadline_ns) / real_.interval_ns;
            u64 next = real_.deadline_ns + (missed + 1) * real_.interval_ns;
            core::arm_timer(real_, std::max(next, now + core::shortest_period_ns));
        }
    }
    send_kernel_signal(process_, abi::SIGALRM);
}

void ProcessTimers::expire_cpu_timer_locked(CpuTimer& timer, u64 now_ns, int signal) {
    if (timer.expiry_ns == 0 || now_ns < timer.expiry_ns) return;
    timer.expiry_ns = timer.interval_ns ? now_ns + timer.interval_ns : 0;
    send_kernel_signal(process_, signal);
}

/// RLIMIT_CPU (getrlimit(2)): SIGXCPU at the soft limit and each second after it, SIGKILL at the hard one.
void ProcessTimers::expire_cpu_limit_locked(u64 now_ns) {
    u64 soft = process_.limits.soft(abi::RLIMIT_CPU);
    u64 hard = process_.limits.hard(abi::RLIMIT_CPU);
    if (hard != abi::RLIM_INFINITY && now_ns / core::ns_per_second >= hard)
        return send_kernel_signal(process_, abi::SIGKILL);
    if (soft > ~u64{0} / core::ns_per_second) return; // RLIM_INFINITY too
    next_limit_signal_ns_ = std::max(next_limit_signal_ns_, soft * core::ns_per_second);
    if (now_ns < next_limit_signal_ns_) return;
    next_limit_signal_ns_ = now_ns + core::ns_per_second;
    send_kernel_signal(process_, abi::SIGXCPU);
}

void ProcessTimers::on_cpu_check() {
    core::InterruptSpinGuard guard(lock);
    if (stopped_) return;
    expire_cpu_timer_locked(virtual_, user_ns_locked(), abi::SIGVTALRM);
    u64 total = total_ns_locked();
    expire_cpu_timer_locked(profiling_, total, abi::SIGPROF);
    expire_cpu_limit_locked(total);
    arm_cpu_check_locked();
}

void ProcessTimers::arm_cpu_check_locked() {
    u64 total = total_ns_locked();
    u64 left = ~u64{0};
    auto consider = [&](u64 expiry, u64 now) { left = std::min(left, expiry > now ? expiry - now : 0); };
    if (virtual_.expiry_ns) consider(virtual_.expiry_ns, user_ns_locked());
    if (profiling_.expiry_ns) consider(profiling_.expiry_ns, total);
    u64 limit = process_.limits.soft(abi::RLIMIT_CPU);
    if (limit < ~u64{0} / core::ns_per_second)
        consider(std::max(next_limit_signal_ns_, limit * core::ns_per_second), total);
    if (left == ~u64{0}) return;
    u64 width = std::min<u64>(process_.thread_count(), core::cpu_count());
    core::arm_timer(cpu_check_, core::monotonic_ns() + std::max(left / std::max<u64>(width, 1), shortest_check_ns));
}

IntervalTimerValue ProcessTimers::value_locked(int which) const {
    if (which == abi::ITIMER_REAL) {
        if (!real_.is_set) return {};
        u64 now = core::monotonic_ns();
        // A timer that is set never reads as off.
        return {real_.deadline_ns > now ? real_.deadline_ns - now : 1000, real_.interval_ns};
    }
    const CpuTimer& timer = which == abi::ITIMER_VIRTUAL ? virtual_ : profiling_;
    if (timer.expiry_ns == 0) return {};
    u64 now = which == abi::ITIMER_VIRTUAL ? user_ns_locked() : total_ns_locked();
    return {timer.expiry_ns > now ? timer.expiry_ns - now : 1000, timer.interval_ns};
}

IntervalTimerValue ProcessTimers::get(int which) {
    core::InterruptSpinGuard guard(lock);
    return value_locked(which);
}

IntervalTimerValue ProcessTimers::set(int which, const IntervalTimerValue& value) {
    core::InterruptSpinGuard guard(lock);
    IntervalTimerValue old = value_locked(which);
    if (stopped_) return old;
    if (which == abi::ITIMER_REAL) {
        core::cancel_timer(real_);
        real_.interval_ns = value.interval_ns;
        real_.is_set = value.remaining_ns != 0;
        if (real_.is_set) core::arm_timer(real_, core::Deadline::after(value.remaining_ns).ns);
        return old;
    }
    CpuTimer& timer = which == abi::ITIMER_VIRTUAL ? virtual_ : profiling_;
    u64 now = which == abi::ITIMER_VIRTUAL ? user_ns_locked() : total_ns_locked();
    timer.expiry_ns = value.remaining_ns ? now + value.remaining_ns : 0;
    timer.interval_ns = value.interval_ns;
    arm_cpu_check_locked();
    return old;
}

void ProcessTimers::check_cpu_limit() {
    core::InterruptSpinGuard guard(lock);
    next_limit_signal_ns_ = 0;
    if (!stopped_) arm_cpu_check_locked();
}

void ProcessTimers::stop() {
    {
        core::InterruptSpinGuard guard(lock);
        stopped_ = true;
    }
    core::cancel_timer_sync(real_);
    core::cancel_timer_sync(cpu_check_);
    delete_posix_timers();
}

Result<ProcessTimers*> timers_of(Process& process) {
    ProcessTimers* timers = process.timers.load(std::memory_order_acquire);
    if (timers) return timers;
    auto* fresh = new (std::nothrow) ProcessTimers(process);
    if (!fresh) return error(Errno::ENOMEM);
    if (process.timers.compare_exchange_strong(timers, fresh)) return fresh;
    delete fresh;
    return timers;
}

IntervalTimerValue get_interval_timer(Process& process, int which) {
    ProcessTimers* timers = process.timers.load(std::memory_order_acquire);
    return timers ? timers->get(which) : IntervalTimerValue{};
}

Result<IntervalTimerValue> set_interval_timer(Process& process, int which, const IntervalTimerValue& value) {
    if (value.remaining_ns == 0 && !process.timers.load(std::memory_order_acquire)) return IntervalTimerValue{};
    return TRY(timers_of(process))->set(which, value);
}

Result<void> apply_cpu_limit(Process& process) {
    if (process.limits.soft(abi::RLIMIT_CPU) == abi::RLIM_INFINITY && !process.timers.load()) return {};
    TRY(timers_of(process))->check_cpu_limit();
    return {};
}

void drop_all_timers(Process& process) {
    if (ProcessTimers* timers = process.timers.load(std::memory_order_acquire)) timers->stop();
}

void drop_posix_timers(Process& process) {
    if (ProcessTimers* timers = process.timers.load(std::memory_order_acquire)) timers->delete_posix_timers();
}

} // namespace linnet::process
