// prctl(2), personality(2), membarrier(2), capabilities(7) and rseq numbers.
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr int PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4,
                     PR_GET_UNALIGN = 5, PR_SET_UNALIGN = 6, PR_GET_KEEPCAPS = 7, PR_SET_KEEPCAPS = 8,
                     PR_GET_TIMING = 13, PR_SET_TIMING = 14, PR_SET_NAME = 15, PR_GET_NAME = 16, PR_GET_SECCOMP = 21,
                     PR_SET_SECCOMP = 22, PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24, PR_GET_TSC = 25, PR_SET_TSC = 26,
                     PR_GET_SECUREBITS = 27, PR_SET_SECUREBITS = 28, PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30,
                     PR_SET_MM = 35, PR_SET_CHILD_SUBREAPER = 36, PR_GET_CHILD_SUBREAPER = 37, PR_SET_NO_NEW_PRIVS = 38,
                     PR_GET_NO_NEW_PRIVS = 39, PR_GET_TID_ADDRESS = 40, PR_SET_THP_DISABLE = 41,
                     PR_GET_THP_DISABLE = 42, PR_CAP_AMBIENT = 47, PR_SET_VMA = 0x53564d41, PR_GET_AUXV = 0x41555856;
inline constexpr int PR_CAP_AMBIENT_IS_SET = 1, PR_CAP_AMBIENT_RAISE = 2, PR_CAP_AMBIENT_LOWER = 3,
                     PR_CAP_AMBIENT_CLEAR_ALL = 4;

inline constexpr u32 PER_LINUX = 0, PER_MASK = 0xff, ADDR_NO_RANDOMIZE = 0x0040000, MMAP_PAGE_ZERO = 0x0100000,
                     ADDR_COMPAT_LAYOUT = 0x0200000, READ_IMPLIES_EXEC = 0x0400000,
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
