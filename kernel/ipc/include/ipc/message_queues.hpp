// System V message queues (msgget(2), msgop(2), msgctl(2)).
#pragma once

#include <ipc/keyed_object.hpp>
#include <mm/usercopy.hpp>
#include <process/thread.hpp>

namespace linnet::ipc {

/// /proc/sys/kernel/msg*.
struct MessageLimits {
    std::atomic<u64> most_in_message{8192}; // msgmax: bytes
    std::atomic<u64> most_in_queue{16384};  // msgmnb: bytes, what a new queue may hold
    std::atomic<u64> most_queues{32000};    // msgmni
};
MessageLimits& message_limits();

/// msgget(2).
Result<i32> get_queue(i32 key, u32 flags, const vfs::Credentials& who);
/// msgsnd(2) by the current thread. EINVAL, EFAULT, EACCES, EIDRM, EAGAIN, ENOMEM, RestartNoHandler.
Result<void> send_message(process::Thread& self, i32 id, i64 type, mm::UserSpan text, u32 flags);
/// msgrcv(2): the number of bytes received; `place` is where the type goes, the text behind it.
Result<usize> receive_message(process::Thread& self, i32 id, VirtAddr place, usize size, i64 type, u32 flags);

// ---- msgctl(2) ----
struct QueueStatus {
    i32 id;
    abi::msqid_ds data;
};
Result<QueueStatus> queue_status(i32 id, Lookup lookup, const vfs::Credentials& who);
Result<void> change_queue(i32 id, const abi::msqid_ds& wanted, const vfs::Credentials& who);
Result<void> remove_queue(i32 id, const vfs::Credentials& who);
struct QueueTotals {
    i32 highest_index = 0;
    i32 queues = 0;
    u64 messages = 0, bytes = 0;
};
QueueTotals queue_totals();

} // namespace linnet::ipc
