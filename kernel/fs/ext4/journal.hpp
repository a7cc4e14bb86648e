// Journal: what is changed together reaches the disk together, whenever the machine stops.
//
// Changes are made in the device's page cache through handles, which together make up the running transaction. A commit
// waits for the handles that are open, copies the changed blocks, and writes the copies to the log. The pages stay
// pinned, and are never marked dirty, until a checkpoint has written the copies to their places: never the pages
// themselves, which may hold changes of a later transaction by then.
//
// Lock order:
//   commit_lock_ (sleeping): one commits or checkpoints at a time; guards the log and the copies to be checkpointed
//     state_lock_ (sleeping): shared by handles, exclusive where the running transaction changes
//       lock_ (spinlock): the running transaction's blocks
// Who has a handle must not begin another, nor commit.
#pragma once

#include "journal_format.hpp"
#include "metadata_writer.hpp"

#include <core/mutex.hpp>
#include <core/wait_queue.hpp>
#include <lib/function_ref.hpp>
#include <lib/intrusive_tree.hpp>

namespace linnet::ext4 {

/// The disk below the journal. Blocks are numbered as the file system does.
class JournalDisk {
public:
    /// Writes blocks that lie behind each other from `first` on; `blocks` are where their contents are. May sleep. EIO.
    virtual Result<void> write(u64 first, std::span<const u8* const> blocks) = 0;
    /// The same, but perhaps only begun: the contents stay as they are until finish_writes(), by the same thread.
    virtual Result<void> begin_write(u64 first, std::span<const u8* const> blocks) { return write(first, blocks); }
    /// What was begun is done. May sleep. EIO of any of it.
    virtual Result<void> finish_writes() { return {}; }
    /// The same as write() for blocks of the log: unlike others they have no newer contents in the device's cache.
    virtual Result<void> write_log(u64 first, std::span<const u8* const> blocks) { return write(first, blocks); }
    /// What was written before stays, whatever happens. May sleep. EIO.
    virtual Result<void> flush() = 0;
    /// CLOCK_REALTIME, in nanoseconds: what commits are dated with.
    virtual u64 now_ns() = 0;
    /// All transactions up to this one have been committed. Called with the journal's commit_lock_.
    virtual void committed(u64) {}
    /// The journal takes no changes any more, since something went wrong. Must not sleep.
    virtual void aborted(Errno) {}

protected:
    ~JournalDisk() = default;
};

class Journal;

/// A block of metadata as a transaction changes it.
struct ChangedBlock {
    TreeNode node;
    u64 block = 0;
    mm::PageRef page;  // of the device's cache
    usize offset = 0;  // in it
    OwnPtr<u8[]> copy; // as it was when the transaction was committed
    bool is_escaped = false;

    struct BlockOf {
        using type = u64;
        const u64& operator()(const ChangedBlock& changed) const { return changed.block; }
    };
};
using ChangedBlocks = IntrusiveTree<ChangedBlock, &ChangedBlock::node, ChangedBlock::BlockOf>;

struct Transaction {
    u64 number = 0;
    ChangedBlocks changed;  // owned
    usize count = 0;        // of them
    usize reserved = 0;     // what open handles may still add
    ArrayList<u64> revoked; // sorted
    usize to_revoke = 0;    // what open handles may still revoke: `revoked` has room for it
    std::atomic<u32> data_in_flight{0};

    ~Transaction();
    [[nodiscard]] bool is_empty() const { return count == 0 && revoked.is_empty(); }
    /// There is room for it.
    void revoke(u64 block);
    void take_back_revoke(u64 block);

private:
    [[nodiscard]] usize place_of_revoke(u64 block) const;
};

/// Data that is on its way to blocks which a transaction makes reachable: it is not committed before this has gone.
class [[nodiscard]] DataInFlight {
public:
    DataInFlight() = default;
    DataInFlight(DataInFlight&& other) noexcept
        : journal_(std::exchange(other.journal_, nullptr)), transaction_(other.transaction_) {}
    DataInFlight& operator=(DataInFlight&& other) noexcept {
        return std::swap(journal_, other.journal_), std::swap(transaction_, other.transaction_), *this;
    }
    ~DataInFlight();

private:
    friend class Handle;
    DataInFlight(Journal& journal, Transaction& transaction) : journal_(&journal), transaction_(&transaction) {
        transaction.data_in_flight.fetch_add(1, std::memory_order_relaxed);
    }
    Journal* journal_ = nullptr;
    Transaction* transaction_ = nullptr;
};

/// Changes that are committed together or not at all; open until it goes.
class Handle final : public MetadataWriter {
public:
    Handle(Handle&& other) noexcept
        : journal_(std::exchange(other.journal_, nullptr)), left_(std::exchange(other.left_, 0)),
          to_revoke_(std::exchange(other.to_revoke_, 0)) {}
    Handle(const Handle&) = delete;
    ~Handle() { end(); }
    void end();

    /// ENOSPC, besides what MetadataWriter says, when neither the reservation nor the transaction has room for one
    /// more.
    Result<MutableBlock> change(u64 block) override;
    Result<MutableBlock> fresh(u64 block) override;
    Result<void> prepare_to_forget(u64 count) override;
    void forget(u64 block, u64 count) override;
    [[nodiscard]] u64 transaction() const override;
    [[nodiscard]] u64 last_committed() const override;
    /// The data of this transaction's blocks is being written from now on.
    DataInFlight data_in_flight();
    /// Reserves so many blocks more; false when the transaction is full: what is left is for another handle.
    [[nodiscard]] bool extend(usize blocks);

private:
    friend class Journal;
    Handle(Journal& journal, usize blocks) : journal_(&journal), left_(blocks) {}
    Journal* journal_;
    usize left_;          // of the reservation
    usize to_revoke_ = 0; // its part of the transaction's
};

class Journal {
public:
    /// The journal of a volume whose log is empty (replayed). Says on the disk that it is in use, in the form that the
    /// volume's features ask for. EUCLEAN when there is something to be replayed; EOPNOTSUPP without a journal.
    static Result<OwnPtr<Journal>> open(Volume& volume, mm::FileObject& device, JournalDisk& disk);
    ~Journal();

    /// A handle that may change `blocks` blocks. May sleep. EROFS once the journal was aborted; ENOSPC for more than
    /// most_blocks().
    Result<Handle> begin(usize blocks);
    [[nodiscard]] usize most_blocks() const { return most_blocks_; }

    /// The number of the running transaction, and of the last that has been committed.
    [[nodiscard]] u64 running() const { return running_number_.load(std::memory_order_acquire); }
    [[nodiscard]] u64 last_committed() const { return last_committed_.load(std::memory_order_acquire); }
    /// Makes durable what belongs to transactions up to `transaction`. Whether it was this call that committed, so that
    /// what was written to the disk before is durable, too. May sleep. EIO, EROFS.
    Result<bool> commit(u64 transaction);
    Result<void> commit_all() {
        TRY(commit(running()));
        return {};
    }
    /// Commits everything and writes it to its places; the log is empty then. May sleep. EIO, EROFS.
    Result<void> checkpoint();
    /// The same, and says on the disk that there is nothing to be replayed. Nobody begins a handle afterwards.
    Result<void> close();
    /// Goes on after close(), as open() begins; numbers of transactions grow on. Who came too late for the old one, and
    /// is still within, may find itself in this one. EUCLEAN when it could not be closed; the errors of open().
    Result<void> reopen();
    /// Takes no changes any more; what has been committed is left for who replays the log.
    void abort(Errno reason);
    [[nodiscard]] bool is_aborted() const { return aborted_.load(std::memory_order_acquire); }
    /// Blocks of the log in use, and copies that are held in memory.
    [[nodiscard]] u32 blocks_in_use() const { return used_; }

private:
    friend class Handle;
    friend class DataInFlight;
    class LogWriter;
    Journal(Volume& volume, mm::FileObject& device, JournalDisk& disk)
        : volume_(volume), device_(device), disk_(disk) {}
    Result<void> start();
    Result<void> map_log();
    [[nodiscard]] bool fits(const Transaction& transaction, usize more) const;
    [[nodiscard]] usize blocks_for(usize changed, usize revoked) const;
    [[nodiscard]] u64 place_of(u32 index) const;
    Result<OwnPtr<ChangedBlock>> make_changed(u64 block);
    Result<MutableBlock> change_block(u64 block, usize& left);

    Result<void> commit_running_locked();
    Result<OwnPtr<Transaction>> switch_transaction();
    Result<void> write_to_log(Transaction& transaction);
    Result<void> write_changed(LogWriter& writer, Transaction& transaction);
    Result<void> write_revokes(LogWriter& writer, const Transaction& transaction);
    Result<void> write_commit_block(LogWriter& writer);
    void keep_for_checkpoint(Transaction& transaction);
    Result<void> checkpoint_locked();
    Result<void> write_places();
    Result<void> write_superblock(u32 start);
    Result<void> or_abort(Result<void> result);

    struct LogRun {
        u32 index; // in the journal
        u32 count;
        u64 place;
    };

    Volume& volume_;
    mm::FileObject& device_;
    JournalDisk& disk_;
    OwnPtr<JournalFile> file_;
    OwnPtr<u8[]> superblock_block_; // the block with the journal's superblock
    OwnPtr<u8[]> own_block_;        // a descriptor, revokes or a commit on their way
    ArrayList<LogRun> log_;         // where the journal lies, by index
    usize most_blocks_ = 0;

    core::Mutex commit_lock_;
    u32 head_ = 0;            // commit_lock_: where the next transaction begins in the log
    u32 used_ = 0;            // commit_lock_: blocks of the log before it that are still wanted
    u32 sequence_ = 0;        // commit_lock_: of the next transaction that is written to the log
    ChangedBlocks committed_; // commit_lock_: owned; to be checkpointed
    usize committed_count_ = 0;

    core::RwMutex state_lock_;
    core::SpinLock lock_;
    OwnPtr<Transaction> running_; // changes with state_lock_ exclusive
    std::atomic<u64> running_number_{1}, last_committed_{0};
    std::atomic<bool> aborted_{false};
    core::WaitQueue data_queue_;
};

/// Changes the superblock without a transaction, while the journal is not open: once it returns, the disk keeps it.
/// Takes Volume::superblock_lock; may sleep. EIO, ENOMEM.
Result<void> store_superblock(Volume& volume, mm::FileObject& device, JournalDisk& disk,
                              FunctionRef<void(Superblock&)> change);

} // namespace linnet::ext4
