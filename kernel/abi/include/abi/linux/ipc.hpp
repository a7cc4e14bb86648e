// System V IPC: numbers and structures of shmget(2), semget(2), msgget(2) and their relatives. The layouts are those of
// all four architectures, but for semid_ds: abi_arch/ipc.hpp.
#pragma once

#include <cstddef>
#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr i32 IPC_PRIVATE = 0;
inline constexpr u32 IPC_CREAT = 01000, IPC_EXCL = 02000;
inline constexpr u32 IPC_NOWAIT = 04000;
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

// ---- semaphores ----

inline constexpr i32 GETPID = 11, GETVAL = 12, GETALL = 13, GETNCNT = 14, GETZCNT = 15, SETVAL = 16, SETALL = 17,
                     SEM_STAT = 18, SEM_INFO = 19, SEM_STAT_ANY = 20;
inline constexpr i32 SEMVMX = 32767; // the greatest value of a semaphore
inline constexpr i32 SEMAEM = 32767; // and of what undoing changes it by
inline constexpr i32 SEMUME = 500, SEMUSZ = 20;
inline constexpr u32 SEM_UNDO = 0x1000;

struct sembuf {
    u16 sem_num;
    i16 sem_op;
    i16 sem_flg;
};
static_assert(sizeof(sembuf) == 6);

struct seminfo {
    i32 semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem;
};
static_assert(sizeof(seminfo) == 40);

/// semid_ds, where nothing lies between the times …
struct semid_ds_dense {
    ipc_perm sem_perm;
    i64 sem_otime, sem_ctime;
    u64 sem_nsems;
    u64 unused[2];
};
static_assert(sizeof(semid_ds_dense) == 88);
/// … and where a word follows each.
struct semid_ds_spaced {
    ipc_perm sem_perm;
    i64 sem_otime;
    u64 gap1;
    i64 sem_ctime;
    u64 gap2;
    u64 sem_nsems;
    u64 unused[2];
};
static_assert(sizeof(semid_ds_spaced) == 104);

// ---- message queues ----

inline constexpr i32 MSG_STAT = 11, MSG_INFO = 12, MSG_STAT_ANY = 13;
inline constexpr u32 MSG_NOERROR = 010000, MSG_EXCEPT = 020000, MSG_COPY = 040000;
inline constexpr i32 MSGSSZ = 16, MSGSEG = 0xffff;

struct msqid_ds {
    ipc_perm msg_perm;
    i64 msg_stime, msg_rtime, msg_ctime;
    u64 msg_cbytes, msg_qnum, msg_qbytes;
    i32 msg_lspid, msg_lrpid;
    u64 unused[2];
};
static_assert(sizeof(msqid_ds) == 120 && offsetof(msqid_ds, msg_lspid) == 96);

struct msginfo {
    i32 msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql;
    u16 msgseg;
};
static_assert(sizeof(msginfo) == 32);

} // namespace linnet::abi
