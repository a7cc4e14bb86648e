// System V semaphores (semget(2), semop(2), semctl(2)).
#pragma once

#include <abi_arch/ipc.hpp>
#include <core/time.hpp>
#include <ipc/keyed_object.hpp>
#include <lib/array_list.hpp>
#include <process/thread.hpp>

namespace linnet::ipc {

/// /proc/sys/kernel/sem.
struct SemaphoreLimits {
    std::atomic<u64> most_in_set{32000};  // SEMMSL
    std::atomic<u64> most{1'024'000'000}; // SEMMNS: of all sets together
    std::atomic<u64> most_steps{500};     // SEMOPM: of one semop
    std::atomic<u64> most_sets{32000};    // SEMMNI
};
SemaphoreLimits& semaphore_limits();

/// semget(2).
Result<i32> get_semaphores(i32 key, u32 count, u32 flags, const vfs::Credentials& who);
/// semop(2) of the current thread, which waits until `deadline`. EINVAL, EIDRM, EFBIG, EACCES, EAGAIN, EINTR, ERANGE,
/// ENOMEM.
Result<void> operate_semaphores(process::Thread& self, i32 id, std::span<const abi::sembuf> steps,
                                core::Deadline deadline);

// ---- semctl(2) ----
struct SemaphoreStatus {
    i32 id;
    abi::semid_ds data;
};
Result<SemaphoreStatus> semaphore_status(i32 id, Lookup lookup, const vfs::Credentials& who);
/// `command`: GETVAL, GETPID, GETNCNT, GETZCNT.
Result<i32> ask_semaphore(i32 id, i32 number, i32 command, const vfs::Credentials& who);
Result<void> set_semaphore(i32 id, i32 number, i32 value, const vfs::Credentials& who);
/// How many there are in the set, once `who` has these rights.
Result<u32> semaphore_count(i32 id, u32 rights, const vfs::Credentials& who);
/// GETALL into, and SETALL from as many as there are; EIDRM when the set is another by now.
Result<void> get_all_semaphores(i32 id, std::span<u16> values);
Result<void> set_all_semaphores(i32 id, std::span<const u16> values);
Result<void> change_semaphores(i32 id, const abi::ipc_perm& wanted, const vfs::Credentials& who);
Result<void> remove_semaphores(i32 id, const vfs::Credentials& who);
struct SemaphoreTotals {
    i32 highest_index = 0;
    i32 sets = 0;
    u64 semaphores = 0;
};
SemaphoreTotals semaphore_totals();

} // namespace linnet::ipc
