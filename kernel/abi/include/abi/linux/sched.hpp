// Scheduling and clone ABI, the same on all four architectures (sched(7), clone(2), sched_setattr(2)).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u64 CSIGNAL = 0xff;
inline constexpr u64 CLONE_NEWTIME = 0x80; // clone3 only: the low byte is clone's exit signal
inline constexpr u64 CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800,
                     CLONE_PIDFD = 0x1000, CLONE_PTRACE = 0x2000, CLONE_VFORK = 0x4000, CLONE_PARENT = 0x8000,
                     CLONE_THREAD = 0x10000, CLONE_NEWNS = 0x20000, CLONE_SYSVSEM = 0x40000, CLONE_SETTLS = 0x80000,
                     CLONE_PARENT_SETTID = 0x100000, CLONE_CHILD_CLEARTID = 0x200000, CLONE_DETACHED = 0x400000,
                     CLONE_UNTRACED = 0x800000, CLONE_CHILD_SETTID = 0x1000000, CLONE_NEWCGROUP = 0x2000000,
                     CLONE_NEWUTS = 0x4000000, CLONE_NEWIPC = 0x8000000, CLONE_NEWUSER = 0x10000000,
                     CLONE_NEWPID = 0x20000000, CLONE_NEWNET = 0x40000000, CLONE_IO = 0x80000000;
inline constexpr u64 CLONE_CLEAR_SIGHAND = u64{1} << 32, CLONE_INTO_CGROUP = u64{1} << 33; // clone3 only

/// clone3's argument; it has grown, so its size is an argument of the call too.
struct clone_args {
    u64 flags;
    u64 pidfd;
    u64 child_tid;
    u64 parent_tid;
    u64 exit_signal;
    u64 stack;
    u64 stack_size;
    u64 tls;
    u64 set_tid;
    u64 set_tid_size;
    u64 cgroup;
};
static_assert(sizeof(clone_args) == 88);
inline constexpr usize CLONE_ARGS_SIZE_VER0 = 64, CLONE_ARGS_SIZE_VER1 = 80, CLONE_ARGS_SIZE_VER2 = 88;

inline constexpr int SCHED_OTHER = 0, SCHED_FIFO = 1, SCHED_RR = 2, SCHED_BATCH = 3, SCHED_IDLE = 5, SCHED_DEADLINE = 6;
inline constexpr int SCHED_RESET_ON_FORK = 0x40000000;
inline constexpr u64 SCHED_FLAG_RESET_ON_FORK = 0x01, SCHED_FLAG_RECLAIM = 0x02, SCHED_FLAG_DL_OVERRUN = 0x04,
                     SCHED_FLAG_KEEP_POLICY = 0x08, SCHED_FLAG_KEEP_PARAMS = 0x10, SCHED_FLAG_UTIL_CLAMP_MIN = 0x20,
                     SCHED_FLAG_UTIL_CLAMP_MAX = 0x40;

struct sched_param {
    i32 sched_priority;
};
struct sched_attr {
    u32 size;
    u32 sched_policy;
    u64 sched_flags;
    i32 sched_nice;
    u32 sched_priority;
    u64 sched_runtime;
    u64 sched_deadline;
    u64 sched_period;
    u32 sched_util_min;
    u32 sched_util_max;
};
static_assert(sizeof(sched_attr) == 56);
inline constexpr usize SCHED_ATTR_SIZE_VER0 = 48;

} // namespace linnet::abi
