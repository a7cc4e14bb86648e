// Which blocks and inodes are in use: the bitmaps of the groups, and the numbers of free ones.
//
// What is freed in a transaction that is not yet on the disk must not be written to by anybody else: after a crash it
// would be its old owner's again. Such blocks are busy: free on the disk, but not given out.
//
// Lock order: Allocator's lock -> Volume::superblock_lock. Both are held over calls of the writer and reads of the
// device, so who holds them may sleep, and who writes file pages for reclaim must not wait for them.
#pragma once

#include "block_map.hpp"
#include "volume_edit.hpp"

#include <atomic>
#include <lib/intrusive_list.hpp>

namespace linnet::ext4 {

/// Some blocks are kept for root and the user and group that the superblock names.
enum class Privilege : u8 { None, MayUseReserved };
enum class InodeKind : u8 { Directory, Other };
/// Whether the journal may know the block.
enum class BlockContents : u8 { Data, Metadata };
/// When freed blocks may be given out again: at once is for who undoes what it did in the same transaction.
enum class Reuse : u8 { AfterCommit, AtOnce };

class Allocator {
public:
    /// EROFS: the file system has features that a change would have to heed and this code doesn't know.
    static Result<OwnPtr<Allocator>> create(Volume& volume);
    ~Allocator();
    Allocator(const Allocator&) = delete;

    /// Between 1 and `most` blocks behind each other, at `goal` or as near as is reasonable; their contents are as they
    /// were. ENOSPC: there are none, or what there is stays busy (then a commit helps, see has_busy_blocks()). The
    /// writer's errors. With an error nothing has changed.
    Result<Run> allocate_blocks(MetadataWriter& writer, u64 goal, u64 most, Privilege privilege);
    /// Gives up what was allocated in the same transaction.
    Result<void> undo_blocks(MetadataWriter& writer, const Run& run);
    /// A number; what lies in its place is of no meaning. Directories of the root are spread, others and files come
    /// near their parent. ENOSPC and the writer's errors, with which nothing has changed.
    Result<u32> allocate_inode(MetadataWriter& writer, u32 parent, InodeKind kind);
    /// EUCLEAN: it was free, or is one of the file system's own. With an error nothing has changed.
    Result<void> free_inode(MetadataWriter& writer, u32 number, InodeKind kind);

    [[nodiscard]] bool has_busy_blocks() const { return busy_blocks_.load(std::memory_order_relaxed) != 0; }
    /// Busy blocks count as free.
    [[nodiscard]] Volume::FreeCounts free_counts() const {
        return {free_blocks_.load(std::memory_order_relaxed), free_inodes_.load(std::memory_order_relaxed)};
    }
    /// Writes the totals to the superblock, which is not done with each change: for the mount, sync and unmount.
    Result<void> store_totals(MetadataWriter& writer);
    [[nodiscard]] Volume& volume() { return volume_; }

private:
    friend class BlockFreeing;
    /// Blocks [begin, end) with metadata of groups.
    struct Zone {
        u64 begin, end;
    };
    struct Group {
        enum class State : u8 { Unknown, Good, Damaged };
        State blocks = State::Unknown, inodes = State::Unknown;
        u32 busy_count = 0;
        u32 freeings = 0;       // that are going to need `busy`
        OwnPtr<u8[]> busy = {}; // a bitmap; absent when none are
    };
    /// Blocks of a group that are busy until a transaction is on the disk.
    struct Busy {
        ListNode node;
        u64 transaction = 0;
        u32 group = 0, first = 0, count = 0;
    };
    struct Edit {
        GroupPlace place;
        MutableBlock bitmap;
    };
    struct Bits {
        usize first = 0, count = 0;
    };

    explicit Allocator(Volume& volume) : volume_(volume) {}
    Result<void> check_features() const;
    Result<void> find_zones();
    [[nodiscard]] bool is_in_zone(u64 first, u64 count) const;
    [[nodiscard]] u32 group_of(u64 block) const;
    [[nodiscard]] usize blocks_in(u32 group) const;
    [[nodiscard]] u32 free_blocks_in(u32 group) const;
    [[nodiscard]] u32 free_inodes_in(u32 group) const;
    [[nodiscard]] bool is_unwritten(u32 group, u16 flag) const;
    void make_block_bitmap(u32 group, std::span<u8> bits) const;
    void make_inode_bitmap(std::span<u8> bits) const;
    Result<void> check_block_bitmap(u32 group, std::span<const u8> bits) const;
    Result<void> check_inode_bitmap(u32 group, std::span<const u8> bits) const;
    Result<bool> load_blocks(u32 group);
    Result<bool> load_inodes(u32 group);
    Result<bool> settle(Group::State& state, u32 group, Result<void> outcome);
    Result<Edit> change_block_bitmap(MetadataWriter& writer, u32 group);
    Result<Edit> change_inode_bitmap(MetadataWriter& writer, u32 group);
    void store_blocks(Edit& edit, i64 freed);
    void store_inodes(Edit& edit, i64 freed, InodeKind kind);

    Bits find_free(usize from, usize end, usize wanted) const;
    Result<Run> take(MetadataWriter& writer, u32 group, Bits bits);
    Result<Run> allocate_locked(MetadataWriter& writer, u64 goal, u64 most);
    Result<u32> find_inode_group(u32 parent, InodeKind kind) const;
    [[nodiscard]] std::optional<u32> group_for_top_directory() const;
    [[nodiscard]] std::optional<u32> group_near(u32 first, u32 least_inodes, u32 least_blocks) const;
    Result<std::optional<u32>> take_inode(MetadataWriter& writer, u32 group, InodeKind kind);
    void end_busy(u64 committed);
    Result<void> prepare_busy(Group& group) const;
    void drop_busy_if_unused(Group& group) const;

    Volume& volume_;
    core::Mutex lock_; // over all below, the descriptors and the bitmaps
    ArrayList<Group> groups_;
    ArrayList<Zone> zones_; // in order, apart from each other
    ArrayList<u8> scratch_; // the bitmap that load_…() was called for last; of blocks with the busy ones
    IntrusiveList<Busy, &Busy::node> busy_;
    std::atomic<u64> busy_blocks_{0};
    std::atomic<u64> free_blocks_{0}, free_inodes_{0};
};

/// Frees blocks in two steps, so that nothing can fail once the second has begun: the first finds out whether they may
/// be freed and asks the writer for all that changes.
///
///     BlockFreeing freeing(allocator, writer);
///     TRY(freeing.add(first, count, BlockContents::Data));
///     TRY(… what else can fail …);
///     TRY(freeing.finish());
class BlockFreeing {
public:
    BlockFreeing(Allocator& allocator, MetadataWriter& writer, Reuse reuse = Reuse::AfterCommit)
        : allocator_(allocator), writer_(writer), reuse_(reuse) {}
    BlockFreeing(const BlockFreeing&) = delete;
    ~BlockFreeing();
    /// EUCLEAN for blocks that are not in use, or no file's. The writer's errors.
    Result<void> add(u64 first, u64 count, BlockContents contents);
    /// Frees them. Metadata is forgotten first, which can fail: then nothing is freed.
    Result<void> finish();
    /// How many blocks have been added.
    [[nodiscard]] u64 count() const { return count_; }

private:
    struct Part {
        Allocator::Edit edit;
        u64 first;
        u32 count;
        BlockContents contents;
        OwnPtr<Allocator::Busy> busy; // absent where they are free at once
    };
    Result<void> add_in_group(u32 group, u64 first, u32 count, BlockContents contents);

    Allocator& allocator_;
    MetadataWriter& writer_;
    Reuse reuse_;
    u64 count_ = 0;
    ArrayList<Part> parts_;
};

} // namespace linnet::ext4
