// Clocks, sleeping, interval timers: clock_gettime(2), nanosleep(2), setitimer(2) …
#pragma once

#include <abi/linux/timex.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using TimeSpecIn = mm::UserPtr<mm::In, abi::timespec>;
using TimeSpecOut = mm::UserPtr<mm::Out, abi::timespec>;
using TimexInOut = mm::UserPtr<mm::InOut, abi::timex>;

/// EINVAL when there is no such clock.
Result<void> check_clock(process::Thread& thread, int clock);

Result<long> sys_adjtimex(process::Thread&, TimexInOut timex);
Result<long> sys_alarm(process::Thread&, u32 seconds);
Result<long> sys_clock_adjtime(process::Thread&, int clock, TimexInOut timex);
Result<long> sys_clock_getres(process::Thread&, int clock, TimeSpecOut resolution);
Result<long> sys_clock_gettime(process::Thread&, int clock, TimeSpecOut time);
Result<long> sys_clock_nanosleep(process::Thread&, int clock, u32 flags, TimeSpecIn time, TimeSpecOut left);
Result<long> sys_clock_settime(process::Thread&, int clock, TimeSpecIn time);
Result<long> sys_getitimer(process::Thread&, int which, mm::UserPtr<mm::Out, abi::itimerval> value);
Result<long> sys_gettimeofday(process::Thread&, mm::UserPtr<mm::Out, abi::timeval> time,
                              mm::UserPtr<mm::Out, abi::timezone> zone);
Result<long> sys_nanosleep(process::Thread&, TimeSpecIn time, TimeSpecOut left);
Result<long> sys_setitimer(process::Thread&, int which, mm::UserPtr<mm::In, abi::itimerval> value,
                           mm::UserPtr<mm::Out, abi::itimerval> old);
Result<long> sys_settimeofday(process::Thread&, mm::UserPtr<mm::In, abi::timeval> time,
                              mm::UserPtr<mm::In, abi::timezone> zone);
Result<long> sys_time(process::Thread&, mm::UserPtr<mm::Out, i64> time);

inline constexpr Entry time_calls[] = {
    entry<sys_adjtimex>("adjtimex", nr::adjtimex),
    entry<sys_alarm>("alarm", nr::alarm),
    entry<sys_clock_adjtime>("clock_adjtime", nr::clock_adjtime),
    entry<sys_clock_getres>("clock_getres", nr::clock_getres),
    entry<sys_clock_gettime>("clock_gettime", nr::clock_gettime),
    entry<sys_clock_nanosleep>("clock_nanosleep", nr::clock_nanosleep),
    entry<sys_clock_settime>("clock_settime", nr::clock_settime),
    entry<sys_getitimer>("getitimer", nr::getitimer),
    entry<sys_gettimeofday>("gettimeofday", nr::gettimeofday),
    entry<sys_nanosleep>("nanosleep", nr::nanosleep),
    entry<sys_setitimer>("setitimer", nr::setitimer),
    entry<sys_settimeofday>("settimeofday", nr::settimeofday),
    entry<sys_time>("time", nr::time),
};

} // namespace linnet::syscalls
