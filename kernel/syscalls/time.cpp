// Time calls: which clock shows what, sleeps with their restart classes, interval timers.
#include <algorithm>
#include <process/process.hpp>
#include <process/timerfd.hpp>
#include <process/timers.hpp>
#include <syscalls/time.hpp>
#include <vfs/credentials.hpp>

#include "clock_values.hpp"
#include "usage.hpp"

namespace linnet::syscalls {

using process::Process;
using process::Thread;

namespace {

constexpr u64 ns_per_us = 1000;

/// Dynamic clock ids (clock_getcpuclockid(3)): the pid inverted above three bits: thread or process, and
/// which of its times.
struct CpuClock {
    process::Pid pid;
    bool per_thread;
    enum class Which : u8 { Profiling, Virtual, Scheduler } which;
};

Result<CpuClock> decode_cpu_clock(int clock) {
    if (clock == abi::CLOCK_PROCESS_CPUTIME_ID) return CpuClock{0, false, CpuClock::Which::Scheduler};
    if (clock == abi::CLOCK_THREAD_CPUTIME_ID) return CpuClock{0, true, CpuClock::Which::Scheduler};
    if (clock >= 0 || (clock & 3) == 3) return error(Errno::EINVAL);
    return CpuClock{~(clock >> 3), (clock & 4) != 0, static_cast<CpuClock::Which>(clock & 3)};
}

u64 select_time(const core::CpuTimes& times, CpuClock::Which which) {
    return core::ticks_to_ns(which == CpuClock::Which::Virtual ? times.user : times.user + times.system);
}

Result<u64> cpu_clock_ns(Thread& thread, int clock) {
    CpuClock decoded = TRY(decode_cpu_clock(clock));
    if (decoded.per_thread) {
        NullableRefPtr<Thread> target(&thread);
        if (decoded.pid != 0) target = process::find_thread(decoded.pid);
        if (!target || &target->process() != &thread.process()) return error(Errno::EINVAL);
        return select_time(target->cpu_times(), decoded.which);
    }
    NullableRefPtr<Process> target(&thread.process());
    if (decoded.pid != 0) target = process::find_process(decoded.pid);
    if (!target) return error(Errno::EINVAL);
    return select_time(target->usage().times, decoded.which);
}

Result<u64> clock_ns(Thread& thread, int clock) {
    switch (clock) {
    case abi::CLOCK_MONOTONIC:
    case abi::CLOCK_MONOTONIC_RAW:
    case abi::CLOCK_MONOTONIC_COARSE:
    case abi::CLOCK_BOOTTIME: // the machine doesn't suspend
    case abi::CLOCK_BOOTTIME_ALARM:
        return core::monotonic_ns();
    case abi::CLOCK_REALTIME:
    case abi::CLOCK_REALTIME_COARSE:
    case abi::CLOCK_REALTIME_ALARM:
    case abi::CLOCK_TAI: // its offset is 0 until adjtimex(2) sets one
        return core::realtime_ns();
    default:
        return cpu_clock_ns(thread, clock);
    }
}

} // namespace

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
    if (zone) TRY(zone.copy_out({.tz_minuteswest = 0, .tz_dsttime = 0}));
    return 0;
}

Result<long> sys_time(Thread&, mm::UserPtr<mm::Out, i64> time) {
    auto seconds = static_cast<i64>(core::realtime_ns() / core::ns_per_second);
    if (time) TRY(time.copy_out(seconds));
    return seconds;
}

namespace {

Result<long> set_real_time(Thread& thread, u64 ns) {
    if (!thread.own_credentials().has(vfs::Capability::SysTime)) return error(Errno::EPERM);
    u64 now = core::monotonic_ns();
    if (ns < now) return error(Errno::EINVAL); // the clock would have been before 1970 at boot
    core::set_realtime_offset_ns(ns - now);
    process::wall_clock_was_set();
    return 0;
}

} // namespace

Result<long> sys_clock_settime(Thread& thread, int clock, TimeSpecIn time) {
    u64 ns = TRY(to_ns(TRY(time.copy_in())));
    if (clock != abi::CLOCK_REALTIME) return error(Errno::EINVAL);
    return set_real_time(thread, ns);
}

Result<long> sys_settimeofday(Thread& thread, mm::UserPtr<mm::In, abi::timeval> time,
                              mm::UserPtr<mm::In, abi::timezone> zone) {
    if (zone) {
        // The kernel's time zone is obsolete (settimeofday(2)); UTC is the only one there is.
        abi::timezone wanted = TRY(zone.copy_in());
        if (!thread.own_credentials().has(vfs::Capability::SysTime)) return error(Errno::EPERM);
        if (wanted.tz_minuteswest != 0) return error(Errno::EINVAL);
    }
    if (!time) return 0;
    return set_real_time(thread, TRY(to_ns(TRY(time.copy_in()))));
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

/// Absolute sleeps are simply begun anew; those on the realtime clock follow it when it is set, at the latest
/// each second.
Result<long> sleep_until_realtime(u64 target_ns) {
    for (;;) {
        u64 now = core::realtime_ns();
        if (now >= target_ns) return 0;
        u64 step = std::min(target_ns - now, core::ns_per_second);
        core::WaitResult result = core::wait_until(nobody_wakes, core::Sleep::Interruptible,
                                                   core::Deadline::after(step), [] { return false; });
        if (result == core::WaitResult::Interrupted) return error(Errno::RestartNoHandler);
    }
}

Result<long> sleep_until_monotonic(u64 target_ns) {
    core::WaitResult result =
        core::wait_until(nobody_wakes, core::Sleep::Interruptible, core::Deadline{target_ns}, [] { return false; });
    return result == core::WaitResult::Interrupted ? Result<long>(error(Errno::RestartNoHandler)) : 0;
}

} // namespace

Result<long> sys_nanosleep(Thread&, TimeSpecIn time, TimeSpecOut left) {
    u64 ns = TRY(to_ns(TRY(time.copy_in())));
    return sleep_to(core::Deadline::after(ns), left);
}

Result<long> sys_clock_nanosleep(Thread& thread, int clock, u32 flags, TimeSpecIn time, TimeSpecOut left) {
    bool is_realtime = false;
    switch (clock) {
    case abi::CLOCK_REALTIME:
    case abi::CLOCK_TAI:
        is_realtime = true;
        break;
    case abi::CLOCK_MONOTONIC:
    case abi::CLOCK_BOOTTIME:
        break;
    case abi::CLOCK_THREAD_CPUTIME_ID:
        return error(Errno::EINVAL);
    case abi::CLOCK_MONOTONIC_RAW:
    case abi::CLOCK_REALTIME_COARSE:
    case abi::CLOCK_MONOTONIC_COARSE:
        return error(Errno::EOPNOTSUPP);
    default:
        TRY(cpu_clock_ns(thread, clock));
        return error(Errno::EOPNOTSUPP);
    }
    u64 ns = TRY(to_ns(TRY(time.copy_in())));
    if (!(flags & abi::TIMER_ABSTIME)) return sleep_to(core::Deadline::after(ns), left);
    return is_realtime ? sleep_until_realtime(ns) : sleep_until_monotonic(ns);
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
