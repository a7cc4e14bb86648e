// prctl(2), personality(2), membarrier(2), capabilities(7) and rseq numbers.
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr int PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4,
                     PR_GET_UNALIGN = 5, PR_SET_UNALIGN = 6, PR_GET_KEEPCAPS = 7, PR_SET_KEEPCAPS = 8,
                     PR_GET_TIMING = 13, PR_SET_TIMING = 14, PR_SET_NAME = 15, PR_GET_NAME = 16, PR_GET_SECCOMP = 21,
                     PR_SET_SECCOMP = 22, PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24, PR_GET_TSC = 25, PR_SET_TSC = 26,
                     PR_GET_SECUREBITS = 27, PR_SET_SECUREBITS = 28, PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30,
                     PR_TASK_PERF_EVENTS_DISABLE = 31, PR_TASK_PERF_EVENTS_ENABLE = 32, PR_MCE_KILL = 33,
                     PR_MCE_KILL_GET = 34, PR_SET_MM = 35, PR_SET_CHILD_SUBREAPER = 36, PR_GET_CHILD_SUBREAPER = 37,
                     PR_SET_NO_NEW_PRIVS = 38, PR_GET_NO_NEW_PRIVS = 39, PR_GET_TID_ADDRESS = 40,
                     PR_SET_THP_DISABLE = 41, PR_GET_THP_DISABLE = 42, PR_CAP_AMBIENT = 47, PR_SVE_SET_VL = 50,
                     PR_SVE_GET_VL = 51, PR_SET_IO_FLUSHER = 57, PR_GET_IO_FLUSHER = 58, PR_SET_MDWE = 65,
                     PR_GET_MDWE = 66, PR_SET_VMA = 0x53564d41, PR_GET_AUXV = 0x41555856;
inline constexpr int PR_CAP_AMBIENT_IS_SET = 1, PR_CAP_AMBIENT_RAISE = 2, PR_CAP_AMBIENT_LOWER = 3,
                     PR_CAP_AMBIENT_CLEAR_ALL = 4;
inline constexpr u64 PR_SVE_VL_LEN_MASK = 0xffff, PR_SVE_VL_INHERIT = 1 << 17, PR_SVE_SET_VL_ONEXEC = 1 << 18;
inline constexpr u64 SVE_VL_MAX = 8192;
inline constexpr int PR_TSC_ENABLE = 1, PR_TSC_SIGSEGV = 2;
inline constexpr int PR_MCE_KILL_CLEAR = 0, PR_MCE_KILL_SET = 1;
inline constexpr int PR_MCE_KILL_LATE = 0, PR_MCE_KILL_EARLY = 1, PR_MCE_KILL_DEFAULT = 2;
inline constexpr u32 PR_MDWE_REFUSE_EXEC_GAIN = 1, PR_MDWE_NO_INHERIT = 2;

inline constexpr u64 PR_SET_MM_START_CODE = 1, PR_SET_MM_END_CODE = 2, PR_SET_MM_START_DATA = 3, PR_SET_MM_END_DATA = 4,
                     PR_SET_MM_START_STACK = 5, PR_SET_MM_START_BRK = 6, PR_SET_MM_BRK = 7, PR_SET_MM_ARG_START = 8,
                     PR_SET_MM_ARG_END = 9, PR_SET_MM_ENV_START = 10, PR_SET_MM_ENV_END = 11, PR_SET_MM_AUXV = 12,
                     PR_SET_MM_EXE_FILE = 13, PR_SET_MM_MAP = 14, PR_SET_MM_MAP_SIZE = 15;
struct prctl_mm_map {
    u64 start_code, end_code;
    u64 start_data, end_data;
    u64 start_brk, brk;
    u64 start_stack;
    u64 arg_start, arg_end;
    u64 env_start, env_end;
    u64 auxv;
    u32 auxv_size;
    u32 exe_fd;
};
static_assert(sizeof(prctl_mm_map) == 104);

inline constexpr u32 PER_LINUX = 0, PER_MASK = 0xff, UNAME26 = 0x0020000, ADDR_NO_RANDOMIZE = 0x0040000,
                     MMAP_PAGE_ZERO = 0x0100000, ADDR_COMPAT_LAYOUT = 0x0200000, READ_IMPLIES_EXEC = 0x0400000,
                     STICKY_TIMEOUTS = 0x4000000,
                     PER_CLEAR_ON_SETID = READ_IMPLIES_EXEC | ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT | MMAP_PAGE_ZERO;

inline constexpr u32 SECBIT_NOROOT = 1 << 0, SECBIT_NOROOT_LOCKED = 1 << 1, SECBIT_NO_SETUID_FIXUP = 1 << 2,
                     SECBIT_NO_SETUID_FIXUP_LOCKED = 1 << 3, SECBIT_KEEP_CAPS = 1 << 4,
                     SECBIT_KEEP_CAPS_LOCKED = 1 << 5, SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 6,
                     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED = 1 << 7;

inline constexpr u32 LINUX_CAPABILITY_VERSION_1 = 0x19980330, LINUX_CAPABILITY_VERSION_2 = 0x20071026,
                     LINUX_CAPABILITY_VERSION_3 = 0x20080522;
struct cap_user_header {
    u32 version;
    i32 pid;
};
struct cap_user_data {
    u32 effective;
    u32 permitted;
    u32 inheritable;
};

inline constexpr int MEMBARRIER_CMD_QUERY = 0, MEMBARRIER_CMD_GLOBAL = 1 << 0, MEMBARRIER_CMD_GLOBAL_EXPEDITED = 1 << 1,
                     MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED = 1 << 2, MEMBARRIER_CMD_PRIVATE_EXPEDITED = 1 << 3,
                     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 1 << 4,
                     MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE = 1 << 5,
                     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 1 << 6,
                     MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ = 1 << 7,
                     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ = 1 << 8, MEMBARRIER_CMD_GET_REGISTRATIONS = 1 << 9;
inline constexpr int MEMBARRIER_CMD_FLAG_CPU = 1 << 0;

/// The first 32 bytes of the area that rseq(2) registers.
struct rseq {
    u32 cpu_id_start;
    u32 cpu_id;
    u64 rseq_cs;
    u32 flags;
    u32 node_id;
    u32 mm_cid;
    u32 padding;
};
static_assert(sizeof(rseq) == 32);
struct rseq_cs {
    u32 version;
    u32 flags;
    u64 start_ip;
    u64 post_commit_offset;
    u64 abort_ip;
};
static_assert(sizeof(rseq_cs) == 32);
inline constexpr u32 RSEQ_CPU_ID_UNINITIALIZED = ~0u, RSEQ_CPU_ID_REGISTRATION_FAILED = ~0u - 1;
inline constexpr int RSEQ_FLAG_UNREGISTER = 1;
inline constexpr u32 RSEQ_CS_FLAG_NO_RESTART = 7; // on preemption, signal, migration: no longer taken

inline constexpr u32 GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4;

} // namespace linnet::abi
