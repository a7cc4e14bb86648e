// What is counted for each real user id: tasks (RLIMIT_NPROC), queued signals (RLIMIT_SIGPENDING), what POSIX
// message queues may need (RLIMIT_MSGQUEUE), pages of buffers of performance events, and descriptors in messages of
// Unix sockets.
#pragma once

#include <core/spinlock.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>
#include <vfs/identity.hpp>

namespace linnet::process {

class UserAccount final : public RefCounted<UserAccount>, public vfs::UserCharge {
public:
    void ref() const override { RefCounted<UserAccount>::ref(); }
    void unref() const override { RefCounted<UserAccount>::unref(); }

    /// The account of `uid`, made when it is the first; ENOMEM.
    static Result<RefPtr<UserAccount>> of(u32 uid);
    [[nodiscard]] u32 uid() const { return uid_; }
    void last_reference_dropped();

    std::atomic<u64> tasks{0};
    std::atomic<u64> queued_signals{0};
    std::atomic<u64> message_queue_bytes{0};
    std::atomic<u64> perf_pages{0};
    ListNode node;

private:
    explicit UserAccount(u32 uid) : uid_(uid) {}
    u32 uid_;
};

} // namespace linnet::process
