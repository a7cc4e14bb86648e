// The file system "mqueue": one directory of message queues, however often it is mounted.
//
// Locks: Inode::lock of the directory guards its entries; a queue's own lock comes behind it.
#pragma once

#include <ipc/posix_queues.hpp>
#include <process/user_account.hpp>
#include <vfs/inode.hpp>
#include <vfs/superblock.hpp>

#include "posix_queue.hpp"

namespace linnet::ipc {

/// What a queue may need at most, charged to a user (RLIMIT_MSGQUEUE) as long as it lives; and its place among
/// queues_max.
class QueueCharge {
public:
    /// EINVAL, EMFILE, ENOSPC.
    static Result<QueueCharge> claim(process::Thread& self, u64 messages, u64 bytes);
    QueueCharge(QueueCharge&& other) noexcept = default;
    QueueCharge& operator=(QueueCharge&&) = delete;
    ~QueueCharge();

private:
    QueueCharge(RefPtr<process::UserAccount> account, u64 bytes) : account_(std::move(account)), bytes_(bytes) {}
    NullableRefPtr<process::UserAccount> account_; // null: moved away
    u64 bytes_;
};

class QueueInode final : public vfs::Inode {
public:
    QueueInode(vfs::SuperBlock& superblock, u64 number, const vfs::CreateRequest& request, QueueCharge charge,
               u64 messages, u64 bytes);
    Result<RefPtr<vfs::File>> open(const vfs::Path& path, u32 flags) override;
    void drop_name() { set_link_count(0); }
    PosixQueue queue;

private:
    QueueCharge charge_;
};

class QueueDirectory final : public vfs::Inode {
public:
    QueueDirectory(vfs::SuperBlock& superblock, u64 number);
    ~QueueDirectory() override;

    /// lock held exclusively, as for all that follows. `attributes`: as mq_open(3) is given them.
    Result<RefPtr<vfs::Inode>> make_queue(std::string_view name, const vfs::CreateRequest& request,
                                          const std::optional<abi::mq_attr>& attributes);

    Result<RefPtr<vfs::Inode>> lookup(std::string_view name) override;
    Result<RefPtr<vfs::Inode>> create(std::string_view name, const vfs::CreateRequest& request) override;
    Result<void> unlink(std::string_view name, vfs::Inode& victim) override;
    Result<void> read_directory(u64 position, vfs::DirectorySink sink) override;

private:
    struct Entry {
        ListNode node;
        NullableRefPtr<QueueInode> inode;
        u64 position = 0;
        u8 length = 0;
        char text[255];
        [[nodiscard]] std::string_view name() const { return {text, length}; }
    };
    Entry* find(std::string_view name);

    IntrusiveList<Entry, &Entry::node> entries_; // by position
    u64 last_position_ = 2;
    u64 last_number_;
};

/// Registers the file system; at boot.
Result<void> initialise_queue_file_system();

} // namespace linnet::ipc
