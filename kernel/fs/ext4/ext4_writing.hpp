// Ext4Writing: what a file system has that is mounted for writing: the journal, the allocator, the inodes that are to
// be stored, those that are to be freed, and the thread that does so.
//
// Lock order:
//   Inode::lock of vfs
//     flush_lock_ (sleeping): one stores the changed inodes at a time
//       an open handle of the journal
//         Ext4Inode::disk_lock (sleeping)
//           Allocator's lock
//   lists_lock_ (spinlock): a leaf
// Nobody commits, nor begins another handle, who has a handle or a disk_lock.
#pragma once

#include "allocator.hpp"
#include "error_notes.hpp"
#include "inode.hpp"
#include "journal.hpp"
#include "orphan_list.hpp"

#include <block/batch.hpp>
#include <mm/statistics.hpp>

namespace linnet::fs {

class Ext4SuperBlock;

/// An inode without names that nobody uses any more.
struct DoomedInode {
    ListNode node;
    ext4::DiskInode disk;
};

class Ext4Writing final : private ext4::JournalDisk {
public:
    /// Opens the journal, marks the file system as in use, and frees what a crash has left without names. EROFS for
    /// what can't be written, with the reason in the log.
    static Result<OwnPtr<Ext4Writing>> start(Ext4SuperBlock& superblock);
    ~Ext4Writing();
    /// Goes on after stop(). The same errors as start().
    Result<void> resume() { return open(); }
    /// Stores everything and marks the file system as clean; nothing can be changed afterwards. EIO, EROFS.
    Result<void> stop();

    /// A handle for about so many blocks of metadata. May sleep. EROFS, ENOMEM.
    Result<ext4::Handle> begin(usize blocks);
    ext4::Allocator& allocator() { return *allocator_; }
    ext4::OrphanList& orphans() { return orphans_; }
    ext4::Journal& journal() { return *journal_; }
    /// Takes no changes any more; what has been changed may be lost.
    [[nodiscard]] bool is_aborted() const { return journal_->is_aborted(); }
    /// Something went wrong, after which nothing is written until the file system is mounted anew.
    [[nodiscard]] bool has_failed() const { return has_failed_.load(); }
    /// Ext4SuperBlock has errors to be stored. Doesn't sleep.
    void errors_noted() { kick(); }

    /// Promises blocks to data that has none yet. ENOSPC.
    Result<void> reserve(u64 blocks, ext4::Privilege privilege);
    void unreserve(u64 blocks) { reserved_.fetch_sub(blocks, std::memory_order_relaxed); }
    [[nodiscard]] u64 reserved() const { return reserved_.load(std::memory_order_relaxed); }
    /// Whether an attempt that found no space is worth another: what is free but not committed is so now. Nobody has
    /// locks. May sleep.
    bool make_space();

    /// The inode is to be stored before long. Doesn't sleep.
    void note_changed(Ext4Inode& inode);
    /// So many bytes more wait in files' pages: when they are many, the thread begins to store them. Doesn't sleep.
    void note_written(u64 bytes);
    /// Whether more waits than the thread should be left alone with: a sixteenth of memory since it began to store.
    [[nodiscard]] bool is_behind() const {
        return unstored_.load(std::memory_order_relaxed) > mm::total_memory_pages() / 16 * arch::page_size;
    }
    /// It need not be stored; the caller has a reference.
    void forget_changed(Ext4Inode& inode);
    /// The inode is to be freed. Doesn't sleep.
    void doom(OwnPtr<DoomedInode> inode);
    /// Inodes without names that are in use.
    std::atomic<u32> nameless{0};
    /// Frees the blocks of an inode from `first` on, in as many transactions as it takes. `lock` is its disk_lock,
    /// which is not held.
    Result<void> free_blocks(ext4::DiskInode& inode, u64 first, core::RwMutex& lock);
    /// Frees what is doomed. May sleep.
    void free_doomed();
    /// Stores all that has changed, durably. May sleep. EIO, EROFS, ENOSPC.
    Result<void> sync();
    /// Makes transactions up to `transaction` durable, and data that was stored before. May sleep. EIO, EROFS.
    Result<void> commit(u64 transaction);

private:
    explicit Ext4Writing(Ext4SuperBlock& superblock);
    Result<void> open();
    Result<void> mark(bool is_in_use);
    Result<void> free_orphans();
    Result<void> store_changed();
    Result<void> store_totals();
    void store_errors();
    Result<void> store_errors_beside_journal(const ext4::ErrorNotes& notes);
    Result<void> free_inode(ext4::DiskInode& inode);
    void stop_thread();
    static void run(void* self);
    void run_rounds();
    void kick();

    template <typename Write>
    Result<void> write_blocks(u64 first, std::span<const u8* const> blocks, Write write);
    Result<void> write(u64 first, std::span<const u8* const> blocks) override;
    Result<void> begin_write(u64 first, std::span<const u8* const> blocks) override;
    Result<void> finish_writes() override { return places_.finish(); }
    Result<void> write_log(u64 first, std::span<const u8* const> blocks) override;
    Result<void> flush() override;
    u64 now_ns() override;
    void aborted(Errno reason) override;

    Ext4SuperBlock& superblock_;
    ext4::OrphanList orphans_;
    OwnPtr<ext4::Allocator> allocator_;
    OwnPtr<ext4::Journal> journal_;
    block::Batch places_; // what a checkpoint writes: the journal's commit_lock_
    std::atomic<u64> reserved_{0};
    u64 kept_blocks_ = 0; // for metadata of what is promised

    core::Mutex flush_lock_;
    core::Mutex doomed_lock_; // one frees at a time
    core::SpinLock lists_lock_;
    IntrusiveList<Ext4Inode, &Ext4Inode::changed_node> changed_; // lists_lock_; has a reference to each
    IntrusiveList<DoomedInode, &DoomedInode::node> doomed_;      // lists_lock_; owned

    core::WaitQueue wake_up_;
    std::atomic<u32> kicks_{0};
    std::atomic<u64> unstored_{0}; // bytes written since the last round
    std::atomic<bool> is_stopping_{false}, has_stopped_{true}, has_failed_{false};
};

} // namespace linnet::fs
