// POSIX message queues (mq_overview(7)): files of a file system of their own, "mqueue".
#pragma once

#include <abi/linux/mqueue.hpp>
#include <abi/linux/time.hpp>
#include <atomic>
#include <core/time.hpp>
#include <mm/usercopy.hpp>
#include <optional>
#include <process/thread.hpp>
#include <vfs/file.hpp>

namespace linnet::ipc {

/// /proc/sys/fs/mqueue/*.
struct PosixQueueLimits {
    std::atomic<u64> most_queues{256};     // queues_max
    std::atomic<u64> most_messages{10};    // msg_max
    std::atomic<u64> most_bytes{8192};     // msgsize_max
    std::atomic<u64> default_messages{10}; // msg_default
    std::atomic<u64> default_bytes{8192};  // msgsize_default
};
PosixQueueLimits& posix_queue_limits();
/// No privilege goes beyond these.
inline constexpr u64 hard_most_messages = 65536, hard_most_bytes = 16 << 20;

/// mq_open(3). ENOENT, EEXIST, EACCES, EINVAL, ENOSPC, EMFILE (RLIMIT_MSGQUEUE), ENAMETOOLONG, ENOMEM.
Result<RefPtr<vfs::File>> open_posix_queue(process::Thread& self, std::string_view name, u32 flags, u32 mode,
                                           const std::optional<abi::mq_attr>& attributes);
Result<void> unlink_posix_queue(std::string_view name);

// ---- `file`: EBADF when it is no queue, or not open for that ----
Result<void> send_posix(process::Thread& self, vfs::File& file, mm::UserSpan text, u32 priority,
                        core::Deadline deadline);
/// The number of bytes; `priority` may be null. EMSGSIZE.
Result<usize> receive_posix(process::Thread& self, vfs::File& file, mm::UserSpan room,
                            mm::UserPtr<mm::Out, u32> priority, core::Deadline deadline);
/// Tells a process by other means than a signal (mq_notify(3), SIGEV_THREAD).
class Messenger {
public:
    enum class News : u8 { MessageCame = 1, NotToldAnyMore = 2 };
    virtual ~Messenger() = default;
    /// Once; doesn't block.
    virtual void tell(News news) = 0;
};

/// mq_notify(3): null ends it. `messenger` is for SIGEV_THREAD. EBUSY.
Result<void> notify_posix(process::Thread& self, vfs::File& file, const abi::sigevent* event,
                          OwnPtr<Messenger> messenger);
/// mq_getattr(3), and mq_setattr(3) when `fresh` is there: what it was before.
Result<abi::mq_attr> exchange_posix_attributes(vfs::File& file, const abi::mq_attr* fresh);

} // namespace linnet::ipc
