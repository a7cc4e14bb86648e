// System V IPC: numbers and structures of shmget(2) and its relatives (asm-generic layouts; the four architectures
// share them).
#pragma once

#include <cstddef>
#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr i32 IPC_PRIVATE = 0;
inline constexpr u32 IPC_CREAT = 01000, IPC_EXCL = 02000;
inline constexpr i32 IPC_RMID = 0, IPC_SET = 1, IPC_STAT = 2, IPC_INFO = 3;

inline constexpr u32 SHM_HUGETLB = 04000, SHM_NORESERVE = 010000; // shmget
inline constexpr u32 SHM_HUGE_SHIFT = 26, SHM_HUGE_MASK = 0x3f;   // with SHM_HUGETLB: log2 of the size
inline constexpr u32 SHM_RDONLY = 010000, SHM_RND = 020000, SHM_REMAP = 040000, SHM_EXEC = 0100000; // shmat
inline constexpr u32 SHM_DEST = 01000, SHM_LOCKED = 02000;                                          // in shm_perm.mode
inline constexpr i32 SHM_LOCK = 11, SHM_UNLOCK = 12, SHM_STAT = 13, SHM_INFO = 14, SHM_STAT_ANY = 15;

struct ipc_perm {
    i32 key;
    u32 uid, gid;
    u32 cuid, cgid;
    u32 mode;
    u16 seq;
    u16 pad;
    u64 unused[2];
};
static_assert(sizeof(ipc_perm) == 48 && offsetof(ipc_perm, seq) == 24);

struct shmid_ds {
    ipc_perm shm_perm;
    u64 shm_segsz;
    i64 shm_atime, shm_dtime, shm_ctime;
    i32 shm_cpid, shm_lpid;
    u64 shm_nattch;
    u64 unused[2];
};
static_assert(sizeof(shmid_ds) == 112 && offsetof(shmid_ds, shm_nattch) == 88);

struct shminfo {
    u64 shmmax, shmmin, shmmni, shmseg, shmall;
    u64 unused[4];
};
static_assert(sizeof(shminfo) == 72);

struct shm_info {
    i32 used_ids;
    u32 pad;
    u64 shm_tot, shm_rss, shm_swp;
    u64 swap_attempts, swap_successes;
};
static_assert(sizeof(shm_info) == 48);

} // namespace linnet::abi
