// Resource limits, usage and priorities (getrlimit(2), getrusage(2), getpriority(2)).
#pragma once

#include <abi/linux/time.hpp>

namespace linnet::abi {

inline constexpr u32 RLIMIT_CPU = 0, RLIMIT_FSIZE = 1, RLIMIT_DATA = 2, RLIMIT_STACK = 3, RLIMIT_CORE = 4,
                     RLIMIT_RSS = 5, RLIMIT_NPROC = 6, RLIMIT_NOFILE = 7, RLIMIT_MEMLOCK = 8, RLIMIT_AS = 9,
                     RLIMIT_LOCKS = 10, RLIMIT_SIGPENDING = 11, RLIMIT_MSGQUEUE = 12, RLIMIT_NICE = 13,
                     RLIMIT_RTPRIO = 14, RLIMIT_RTTIME = 15, RLIM_NLIMITS = 16;
inline constexpr u64 RLIM_INFINITY = ~u64{0};

struct rlimit64 {
    u64 rlim_cur;
    u64 rlim_max;
};
static_assert(sizeof(rlimit64) == 16);

inline constexpr int RUSAGE_SELF = 0, RUSAGE_CHILDREN = -1, RUSAGE_THREAD = 1;
struct rusage {
    timeval ru_utime;
    timeval ru_stime;
    i64 ru_maxrss; // KiB
    i64 ru_ixrss;
    i64 ru_idrss;
    i64 ru_isrss;
    i64 ru_minflt;
    i64 ru_majflt;
    i64 ru_nswap;
    i64 ru_inblock;
    i64 ru_oublock;
    i64 ru_msgsnd;
    i64 ru_msgrcv;
    i64 ru_nsignals;
    i64 ru_nvcsw;
    i64 ru_nivcsw;
};
static_assert(sizeof(rusage) == 144);

inline constexpr int PRIO_PROCESS = 0, PRIO_PGRP = 1, PRIO_USER = 2;

struct tms {
    i64 tms_utime;
    i64 tms_stime;
    i64 tms_cutime;
    i64 tms_cstime;
};
inline constexpr u64 user_hz = 100; // clock ticks per second of times(2), /proc and AT_CLKTCK

} // namespace linnet::abi
