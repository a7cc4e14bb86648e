// Time calls: which clock shows what, sleeps with their restart classes, interval timers.
#include <algorithm>
#include <core/clock_discipline.hpp>
#include <process/cpu_clock.hpp>
#include <process/process.hpp>
#include <process/timers.hpp>
#include <syscalls/time.hpp>
#include <vfs/credentials.hpp>

#include "clock_values.hpp"
#include "usage.hpp"

namespace linnet::syscalls {

using process::Thread;

namespace {

constexpr u64 ns_per_us = 1000;

Result<u64> cpu_clock_ns(Thread& thread, int clock) { return TRY(process::CpuClock::open(thread, clock)).now_ns(); }

Result<u64> clock_ns(Thread& thread, int clock) {
    switch (clock) {
    case abi::CLOCK_MONOTONIC_RAW:
        return core::raw_ns();
    case abi::CLOCK_MONOTONIC:
    case abi::CLOCK_MONOTONIC_COARSE:
    case abi::CLOCK_BOOTTIME: // the machine doesn't suspend
    case abi::CLOCK_BOOTTIME_ALARM:
        return core::monotonic_ns();
    case abi::CLOCK_REALTIME:
    case abi::CLOCK_REALTIME_COARSE:
    case abi::CLOCK_REALTIME_ALARM:
        return core::realtime_ns();
    case abi::CLOCK_TAI:
        return core::tai_ns();
    default:
        return cpu_clock_ns(thread, clock);
    }
}

} // namespace

Result<void> check_clock(Thread& thread, int clock) {
    TRY(clock_ns(thread, clock));
    return {};
}

Result<long> sys_clock_gettime(Thread& thread, int clock, TimeSpecOut time) {
    TRY(time.copy_out(to_timespec(TRY(clock_ns(thread, clock)))));
    return 0;
}

Result<long> sys_clock_getres(Thread& thread, int clock, TimeSpecOut resolution) {
    TRY(clock_ns(thread, clock));
    if (resolution) TRY(resolution.copy_out({.tv_sec = 0, .tv_nsec = 1}));
    return 0;
}

Result<long> sys_gettimeofday(Thread&, mm::UserPtr<mm::Out, abi::timeval> time,
                              mm::UserPtr<mm::Out, abi::timezone> zone) {
    if (time) TRY(time.copy_out(to_timeval(core::realtime_ns())));
    if (zone) {
        const core::TimeZone set = core::time_zone();
        TRY(zone.copy_out({.tz_minuteswest = set.minutes_west, .tz_dsttime = set.dst_time}));
    }
    return 0;
}

Result<long> sys_time(Thread&, mm::UserPtr<mm::Out, i64> time) {
    auto seconds = static_cast<i64>(core::realtime_ns() / core::ns_per_second);
    if (time) TRY(time.copy_out(seconds));
    return seconds;
}

namespace {

/// Linux keeps thirty years of running time free at the end of its clock.
constexpr i64 most_set_seconds = most_clock_seconds - i64{30} * 365 * 86'400;

Result<void> check_may_set(Thread& thread) {
    if (!thread.own_credentials().has(vfs::Capability::SysTime)) return error(Errno::EPERM);
    return {};
}

template <typename Time>
Result<void> set_real_time(Thread& thread, const Time& time) {
    const u64 ns = TRY(to_ns(time));
    if (time.tv_sec >= most_set_seconds) return error(Errno::EINVAL);
    TRY(check_may_set(thread));
    return core::set_realtime(ns);
}

constinit std::atomic<bool> zone_was_set{false};

/// The first call after boot, if it sets no time, says that the machine's clock runs at local time (settimeofday(2)).
Result<void> set_zone(const abi::timezone& zone, bool sets_time) {
    constexpr i32 most_minutes = 15 * 60;
    if (zone.tz_minuteswest < -most_minutes || zone.tz_minuteswest > most_minutes) return error(Errno::EINVAL);
    core::set_time_zone({.minutes_west = zone.tz_minuteswest, .dst_time = zone.tz_dsttime});
    if (zone_was_set.exchange(true) || sets_time || zone.tz_minuteswest == 0) return {};
    const i64 step_s = i64{zone.tz_minuteswest} * 60;
    return core::set_realtime(core::realtime_ns() + static_cast<u64>(step_s) * core::ns_per_second);
}

} // namespace

Result<long> sys_clock_settime(Thread& thread, int clock, TimeSpecIn time) {
    if (clock < 0) TRY(cpu_clock_ns(thread, clock));
    if (clock > 0) return error(Errno::EINVAL);
    const abi::timespec wanted = TRY(time.copy_in());
    if (clock < 0) return error(Errno::EPERM); // a CPU clock: nobody may
    TRY(set_real_time(thread, wanted));
    return 0;
}

Result<long> sys_settimeofday(Thread& thread, mm::UserPtr<mm::In, abi::timeval> time,
                              mm::UserPtr<mm::In, abi::timezone> zone) {
    abi::timeval wanted{};
    abi::timezone wanted_zone{};
    if (time) {
        wanted = TRY(time.copy_in());
        TRY(to_ns(wanted));
    }
    if (zone) wanted_zone = TRY(zone.copy_in());
    TRY(check_may_set(thread));
    if (zone) TRY(set_zone(wanted_zone, !time.is_null()));
    if (time) TRY(set_real_time(thread, wanted));
    return 0;
}

// ---- sleeping ----

namespace {

constinit core::WaitQueue nobody_wakes;

/// Saves how a relative sleep goes on: until the same deadline, telling what is left to the same place.
Result<long> sleep_to(core::Deadline deadline, TimeSpecOut left);

Result<long> resume_sleep(Thread& thread) {
    return sleep_to(core::Deadline{thread.restart.data[0]}, TimeSpecOut(VirtAddr{thread.restart.data[1]}));
}

Result<long> sleep_to(core::Deadline deadline, TimeSpecOut left) {
    core::WaitResult result =
        core::wait_until(nobody_wakes, core::Sleep::Interruptible, deadline, [] { return false; });
    if (result == core::WaitResult::TimedOut) return 0;
    u64 now = core::monotonic_ns();
    if (now >= deadline.ns) return 0;
    if (left) TRY(left.copy_out(to_timespec(deadline.ns - now)));
    process::current().restart = {.resume = resume_sleep, .data = {deadline.ns, left.address().value}};
    return error(Errno::RestartBlock);
}

/// The same on a CPU-time clock.
Result<long> sleep_on_cpu(const process::CpuClock& clock, int id, u64 expiry_ns, TimeSpecOut left);

Result<long> resume_cpu_sleep(Thread& thread) {
    const u64* saved = thread.restart.data;
    const int id = static_cast<int>(saved[0]);
    return sleep_on_cpu(TRY(process::CpuClock::open(thread, id)), id, saved[1], TimeSpecOut(VirtAddr{saved[2]}));
}

Result<long> sleep_on_cpu(const process::CpuClock& clock, int id, u64 expiry_ns, TimeSpecOut left) {
    if (TRY(process::sleep_on_cpu_clock(clock, expiry_ns)) == core::WaitResult::Ready) return 0;
    const u64 now = clock.now_ns();
    if (now >= expiry_ns) return 0;
    if (left) TRY(left.copy_out(to_timespec(expiry_ns - now)));
    process::current().restart = {.resume = resume_cpu_sleep,
                                  .data = {static_cast<u64>(id), expiry_ns, left.address().value}};
    return error(Errno::RestartBlock);
}

Result<long> sleep_on_cpu_clock(Thread& thread, int id, bool is_absolute, u64 ns, TimeSpecOut left) {
    const process::CpuClock clock = TRY(process::CpuClock::open(thread, id));
    if (clock.is_of(thread)) return error(Errno::EINVAL); // it would never pass
    if (!is_absolute) return sleep_on_cpu(clock, id, clock.now_ns() + ns, left);
    const core::WaitResult result = TRY(process::sleep_on_cpu_clock(clock, ns));
    return result == core::WaitResult::Interrupted ? Result<long>(error(Errno::RestartNoHandler)) : 0;
}

/// Absolute sleeps are simply begun anew. When the clock is set the wait looks at it again.
Result<long> sleep_until(core::Deadline deadline) {
    core::WaitResult result =
        core::wait_until(nobody_wakes, core::Sleep::Interruptible, deadline, [] { return false; });
    return result == core::WaitResult::Interrupted ? Result<long>(error(Errno::RestartNoHandler)) : 0;
}

} // namespace

Result<long> sys_nanosleep(Thread&, TimeSpecIn time, TimeSpecOut left) {
    u64 ns = TRY(to_ns(TRY(time.copy_in())));
    return sleep_to(core::Deadline::after(ns), left);
}

Result<long> sys_clock_nanosleep(Thread& thread, int clock, u32 flags, TimeSpecIn time, TimeSpecOut left) {
    auto deadline_clock = core::DeadlineClock::Monotonic;
    switch (clock) {
    case abi::CLOCK_REALTIME:
        deadline_clock = core::DeadlineClock::Realtime;
        break;
    case abi::CLOCK_TAI:
        deadline_clock = core::DeadlineClock::Tai;
        break;
    case abi::CLOCK_MONOTONIC:
    case abi::CLOCK_BOOTTIME:
        break;
    case abi::CLOCK_PROCESS_CPUTIME_ID:
        break;
    case abi::CLOCK_MONOTONIC_RAW:
    case abi::CLOCK_REALTIME_COARSE:
    case abi::CLOCK_MONOTONIC_COARSE:
        return error(Errno::EOPNOTSUPP);
    default:
        if (clock >= 0) return error(Errno::EINVAL);
    }
    u64 ns = TRY(to_ns(TRY(time.copy_in())));
    if (process::is_cpu_clock(clock)) return sleep_on_cpu_clock(thread, clock, flags & abi::TIMER_ABSTIME, ns, left);
    if (!(flags & abi::TIMER_ABSTIME)) return sleep_to(core::Deadline::after(ns), left);
    return sleep_until({.ns = ns, .clock = deadline_clock});
}

// ---- interval timers ----

namespace {

abi::itimerval to_itimerval(const process::IntervalTimerValue& value) {
    // A timer that is set never reads as zero.
    u64 remaining = value.remaining_ns && value.remaining_ns < ns_per_us ? ns_per_us : value.remaining_ns;
    return {.it_interval = to_timeval(value.interval_ns), .it_value = to_timeval(remaining)};
}

} // namespace

Result<long> sys_getitimer(Thread& thread, int which, mm::UserPtr<mm::Out, abi::itimerval> value) {
    if (which < abi::ITIMER_REAL || which > abi::ITIMER_PROF) return error(Errno::EINVAL);
    TRY(value.copy_out(to_itimerval(process::get_interval_timer(thread.process(), which))));
    return 0;
}

Result<long> sys_setitimer(Thread& thread, int which, mm::UserPtr<mm::In, abi::itimerval> value,
                           mm::UserPtr<mm::Out, abi::itimerval> old) {
    abi::itimerval wanted{};
    if (value) wanted = TRY(value.copy_in()); // null means off, as Linux has it
    if (which < abi::ITIMER_REAL || which > abi::ITIMER_PROF) return error(Errno::EINVAL);
    process::IntervalTimerValue fresh{.remaining_ns = TRY(to_ns(wanted.it_value)),
                                      .interval_ns = TRY(to_ns(wanted.it_interval))};
    process::IntervalTimerValue previous = TRY(process::set_interval_timer(thread.process(), which, fresh));
    if (old) TRY(old.copy_out(to_itimerval(previous)));
    return 0;
}

Result<long> sys_alarm(Thread& thread, u32 seconds) {
    process::IntervalTimerValue old = TRY(process::set_interval_timer(thread.process(), abi::ITIMER_REAL,
                                                                      {.remaining_ns = seconds * core::ns_per_second}));
    if (old.remaining_ns == 0) return 0;
    // Rounded to the nearest second, but never to "none was set".
    return static_cast<long>(std::max<u64>((old.remaining_ns + core::ns_per_second / 2) / core::ns_per_second, 1));
}

} // namespace linnet::syscalls
