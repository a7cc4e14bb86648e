// Times and clocks (clock_gettime(2), timer_create(2), setitimer(2)).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

struct timespec {
    i64 tv_sec;
    i64 tv_nsec;
};
struct timeval {
    i64 tv_sec;
    i64 tv_usec;
};
struct timezone {
    i32 tz_minuteswest;
    i32 tz_dsttime;
};
struct itimerspec {
    timespec it_interval;
    timespec it_value;
};
struct itimerval {
    timeval it_interval;
    timeval it_value;
};
static_assert(sizeof(timespec) == 16 && sizeof(timeval) == 16 && sizeof(itimerspec) == 32);

inline constexpr int CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1, CLOCK_PROCESS_CPUTIME_ID = 2, CLOCK_THREAD_CPUTIME_ID = 3,
                     CLOCK_MONOTONIC_RAW = 4, CLOCK_REALTIME_COARSE = 5, CLOCK_MONOTONIC_COARSE = 6, CLOCK_BOOTTIME = 7,
                     CLOCK_REALTIME_ALARM = 8, CLOCK_BOOTTIME_ALARM = 9, CLOCK_TAI = 11;
inline constexpr int TIMER_ABSTIME = 1;
inline constexpr int ITIMER_REAL = 0, ITIMER_VIRTUAL = 1, ITIMER_PROF = 2;
inline constexpr int TFD_TIMER_ABSTIME = 1, TFD_TIMER_CANCEL_ON_SET = 2, TFD_CLOEXEC = 02000000, TFD_NONBLOCK = 04000;

inline constexpr int SIGEV_SIGNAL = 0, SIGEV_NONE = 1, SIGEV_THREAD = 2, SIGEV_THREAD_ID = 4;
struct sigevent {
    u64 sigev_value;
    i32 sigev_signo;
    i32 sigev_notify;
    i32 sigev_notify_thread_id;
    i32 padding[11];
};
static_assert(sizeof(sigevent) == 64);

} // namespace linnet::abi
