// The interval timers of setitimer(2). Those of CPU time are CPU timers (cpu_timers.hpp).
#include <abi/linux/time.hpp>
#include <algorithm>

#include "process_timers.hpp"

namespace linnet::process {
namespace {
constinit core::LockClass timers_class{"process timers"};
} // namespace

ProcessTimers::RealTimer::RealTimer(ProcessTimers& timers)
    : Timer([](core::Timer& timer) { static_cast<RealTimer&>(timer).owner.on_real_timer(); }), owner(timers) {}

ProcessTimers::ProcessTimers(Process& process) : lock(timers_class), cpu(process), process_(process), real_(*this) {}

void ProcessTimers::on_real_timer() {
    {
        core::InterruptSpinGuard guard(lock);
        if (stopped_ || !real_.is_set) return;
        u64 now = core::monotonic_ns();
        if (now < real_.expiry_ns) return; // set anew meanwhile
        real_.is_set = real_.interval_ns != 0;
        if (real_.is_set) {
            real_.expiry_ns += ((now - real_.expiry_ns) / real_.interval_ns + 1) * real_.interval_ns;
            real_.stands_still = is_pending_or_ignored(process_, abi::SIGALRM);
            const u64 pause = real_.stands_still ? ignored_ns : core::shortest_period_ns;
            core::arm_timer(real_, std::max(real_.expiry_ns, now + pause));
        }
    }
    send_kernel_signal(process_, abi::SIGALRM);
}

void ProcessTimers::real_timer_goes_on() {
    core::InterruptSpinGuard guard(lock);
    if (stopped_ || !real_.is_set || !std::exchange(real_.stands_still, false)) return;
    const u64 now = core::monotonic_ns();
    if (now > real_.expiry_ns) real_.expiry_ns += (now - real_.expiry_ns) / real_.interval_ns * real_.interval_ns;
    core::arm_timer(real_, std::max(real_.expiry_ns, now + core::shortest_period_ns));
}

IntervalTimerValue ProcessTimers::real_value_locked() const {
    if (!real_.is_set) return {};
    const u64 now = core::monotonic_ns();
    if (real_.expiry_ns > now) return {real_.expiry_ns - now, real_.interval_ns};
    // A timer that is set never reads as off.
    const u64 left = real_.interval_ns ? real_.interval_ns - (now - real_.expiry_ns) % real_.interval_ns : 0;
    return {std::max(left, u64{1000}), real_.interval_ns};
}

IntervalTimerValue ProcessTimers::get(int which) {
    core::InterruptSpinGuard guard(lock);
    if (which == abi::ITIMER_REAL) return real_value_locked();
    const CpuTimerValue value = cpu_timer_value(which == abi::ITIMER_VIRTUAL ? virtual_ : profiling_);
    return value.remaining_ns ? IntervalTimerValue{value.remaining_ns, value.interval_ns} : IntervalTimerValue{};
}

IntervalTimerValue ProcessTimers::set_cpu_timer(CpuIntervalTimer& timer, CpuClock::Which which,
                                                const IntervalTimerValue& value) {
    const CpuClock clock{RefPtr<Process>(process_), nullptr, which};
    core::InterruptSpinGuard guard(lock);
    const CpuTimerValue old = cpu_timer_value(timer);
    if (stopped_) return {};
    timer.measure(clock); // until stop()
    cpu.set(timer, value.remaining_ns ? clock.now_ns() + value.remaining_ns : 0, value.interval_ns);
    return old.remaining_ns ? IntervalTimerValue{old.remaining_ns, old.interval_ns} : IntervalTimerValue{};
}

IntervalTimerValue ProcessTimers::set(int which, const IntervalTimerValue& value) {
    if (which == abi::ITIMER_VIRTUAL) return set_cpu_timer(virtual_, CpuClock::Which::Virtual, value);
    if (which == abi::ITIMER_PROF) return set_cpu_timer(profiling_, CpuClock::Which::Profiling, value);
    core::InterruptSpinGuard guard(lock);
    IntervalTimerValue old = real_value_locked();
    if (stopped_) return old;
    core::cancel_timer(real_);
    real_.interval_ns = value.interval_ns;
    real_.is_set = value.remaining_ns != 0;
    real_.stands_still = false;
    real_.expiry_ns = core::Deadline::after(value.remaining_ns).ns;
    if (real_.is_set) core::arm_timer(real_, real_.expiry_ns);
    return old;
}

void ProcessTimers::stop() {
    {
        core::InterruptSpinGuard guard(lock);
        stopped_ = true;
    }
    core::cancel_timer_sync(real_);
    cpu.stop();
    virtual_.process = profiling_.process = nullptr; // they kept it alive
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

void real_timer_goes_on(Process& process) {
    if (ProcessTimers* timers = process.timers.load(std::memory_order_acquire)) timers->real_timer_goes_on();
}

Result<void> apply_cpu_limit(Process& process) {
    if (process.limits.soft(abi::RLIMIT_CPU) == abi::RLIM_INFINITY && !process.timers.load()) return {};
    TRY(timers_of(process))->cpu.limit_changed();
    return {};
}

void drop_all_timers(Process& process) {
    if (ProcessTimers* timers = process.timers.load(std::memory_order_acquire)) timers->stop();
}

void drop_posix_timers(Process& process) {
    if (ProcessTimers* timers = process.timers.load(std::memory_order_acquire)) timers->delete_posix_timers();
}

} // namespace linnet::process
