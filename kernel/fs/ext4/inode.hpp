// Inodes of ext4 as vfs sees them: one class a kind.
//
// What is in vfs's fields (mode, owner, times, links) is the truth, and is copied to the inode of the disk when that is
// stored: with what else changes in a transaction, or some seconds later.
#pragma once

#include "block_ranges.hpp"
#include "error_notes.hpp"
#include "file_blocks.hpp"
#include "journal.hpp"

#include <block/request.hpp>
#include <lib/intrusive_tree.hpp>
#include <vfs/inode.hpp>

namespace linnet::block {
class BackgroundRead;
}

namespace linnet::fs {

class Ext4SuperBlock;
class Ext4Writing;

/// Sets all four times of an inode in memory.
void set_new_times(ext4::DiskInode& disk, vfs::Timestamp now);
struct DoomedInode;

/// Also serves as the inode of device nodes, FIFOs and sockets.
class Ext4Inode : public vfs::Inode {
public:
    Ext4Inode(Ext4SuperBlock& superblock, ext4::DiskInode disk);
    ~Ext4Inode() override;
    /// Of the kind that the mode says. EUCLEAN for a mode of no kind, or blocks that can't be found.
    static Result<RefPtr<Ext4Inode>> create(Ext4SuperBlock& superblock, ext4::DiskInode disk);

    Ext4SuperBlock& ext4() const;
    /// Under disk_lock.
    [[nodiscard]] const ext4::DiskInode& disk() const { return disk_; }
    [[nodiscard]] ext4::DiskInode& disk_to_change() { return disk_; }
    /// Held to look at disk() and what it leads to; exclusive, with a handle open, where it changes.
    core::RwMutex disk_lock;

    Result<vfs::Attributes> attributes() override;
    Result<void> set_attributes(const vfs::AttributeChange& change) override;
    Result<u32> kept_flags() override;
    Result<void> change_flags(u32 wanted) override;
    std::optional<u32> generation() override;
    void attributes_changed() override;
    Result<void> sync() override;
    Result<usize> get_extended_attribute(std::string_view name, std::span<u8> value) override;
    Result<usize> list_extended_attributes(std::span<char> names) override;
    Result<void> set_extended_attribute(std::string_view name, std::span<const u8> value, u32 flags) override;
    Result<void> remove_extended_attribute(std::string_view name) override;
    Result<KeptAcls> load_acls() override;

    /// Stores what has changed, some time durably. May sleep. EIO, EROFS, ENOSPC.
    Result<void> store();
    /// Copies vfs's fields to disk() and stores that at `place`; disk_lock is held exclusively.
    void store_at(ext4::InodePlace& place, const ext4::Handle& handle);
    /// One link more, after it was asked whether there can be (EMLINK), or less. Who takes the last has called
    /// prepare_to_doom(). A directory with more children than can be counted has the count 1.
    [[nodiscard]] Result<void> check_links() const;
    void add_link();
    void remove_link();
    void remove_all_links() { change_links(0); }
    /// Puts it among the orphans, unless a truncation that failed has left it there. Errors of OrphanList::add().
    Result<void> make_orphan(ext4::Handle& handle, ext4::InodePlace& place);
    /// Room for the news that nobody uses it any more. ENOMEM.
    Result<void> prepare_to_doom();

    struct NumberOf {
        using type = u64;
        u64 operator()(const Ext4Inode& inode) const { return inode.number(); }
    };
    TreeNode table_node; // Ext4SuperBlock's table of inodes, its lock
    bool is_in_table = false;
    ListNode changed_node; // Ext4Writing's list, its lock

protected:
    /// Ext4SuperBlock::heed() for an outcome that concerns this inode.
    template <typename T>
    Result<T> heed(Result<T> result, const char* function = __builtin_FUNCTION(), u32 line = __builtin_LINE()) const {
        if (!result && ext4::tells_of_damage(result.error())) note_damage(result.error(), function, line);
        return result;
    }
    /// The data of a file.
    virtual Result<void> store_data() { return {}; }
    /// The last transaction that the inode has a part in.
    void note_transaction(u64 number) { last_change_.store(number, std::memory_order_relaxed); }

private:
    Result<void> store_attributes();
    void change_links(u32 count);
    void note_damage(Errno code, const char* function, u32 line) const;
    Result<usize> copy_names(std::span<char> names);
    Result<usize> find_value(std::string_view name, std::span<u8> value);
    Result<ArrayList<u8>> find_acl(std::string_view name);
    Result<void> change_extended_attributes(FunctionRef<Result<void>(const ext4::InodeEdit&)> change);
    void copy_fields();

    ext4::DiskInode disk_;
    std::atomic<bool> must_store_{false};
    std::atomic<u64> last_change_{0};
    OwnPtr<DoomedInode> doomed_; // lock held
};

class Ext4File final : public Ext4Inode, private mm::PageSource {
public:
    Ext4File(Ext4SuperBlock& superblock, ext4::DiskInode disk) : Ext4Inode(superblock, std::move(disk)) {}
    ~Ext4File() override;
    Result<void> start();

    mm::VmObject* pages() override { return pages_.get(); }
    Result<vfs::Attributes> attributes() override;
    Result<u64> seek_data(u64 offset) override;
    Result<u64> seek_hole(u64 offset) override;
    Result<void> prepare_write(u64 offset, usize length) override;
    Result<void> truncate(u64 size) override;
    Result<void> allocate_range(u32 mode, u64 offset, u64 length) override;
    std::optional<vfs::DirectAlignment> direct_alignment() override;
    Result<usize> read_direct(vfs::IoBuffer& to, u64 offset) override;
    Result<usize> write_direct(vfs::IoBuffer& from, u64 offset, usize wanted) override;

private:
    enum class Wanted : u8 { Data, Hole };
    using Pages = std::span<mm::Page* const>;
    Result<u64> seek(u64 offset, Wanted wanted);
    Result<void> read_page(u64 index, mm::Page& page) override;
    Result<void> write_page(u64 index, mm::Page& page) override;
    Result<void> read_pages(u64 index, Pages pages) override;
    Result<void> write_pages(u64 index, Pages pages) override;
    bool reads_in_background() const override { return true; }
    u64 read_ahead_pages() const override;
    usize begin_reading(mm::FileObject& object, u64 index, Pages pages) override;
    Result<void> prepare_write(u64 index, mm::Page& page) override;
    void pages_dirtied() override;
    Result<void> read_blocks(u64 index, Pages pages);
    Result<void> read_inline(u64 index, Pages pages);
    usize begin_reading_locked(mm::FileObject& object, u64 index, Pages pages);
    bool add_blocks(block::BackgroundRead& read, u64 index, Pages pages);

    Result<void> store_data() override;
    Result<void> store_pages(u64 index, Pages pages);
    Result<void> change_size(u64 size);
    [[nodiscard]] u64 blocks_in(u64 bytes) const;
    Result<void> check_writable() const;
    Result<void> promise(ext4::BlockRange range);
    Result<u64> promise_some(ext4::BlockRange range, Ext4Writing& writing);
    void give_up_promised(ext4::BlockRange range);
    Result<void> zero_behind_end();
    /// Dirty pages, the first of which begins at block `base` of the file.
    struct Dirty {
        u64 base;
        Pages pages;
    };
    [[nodiscard]] ext4::BlockRange wanted_in(const Dirty& dirty, ext4::BlockRange hole);
    Result<bool> has_places(const Dirty& dirty, ext4::BlockRange range);
    Result<u64> place(const Dirty& dirty, ext4::BlockRange range, ext4::DataInFlight& in_flight);
    Result<u64> place_some(const Dirty& dirty, ext4::BlockRange range, const ext4::InodeEdit& edit);
    Result<void> store_blocks(const Dirty& dirty, ext4::BlockRange range);

    [[nodiscard]] ext4::Privilege own_privilege() const;
    Result<u64> preallocate(ext4::BlockRange range);
    Result<void> punch(u64 begin, u64 end);
    Result<void> free_blocks(ext4::BlockRange range);

    struct DirectNeeds;
    Result<usize> move_all(block::Operation operation, vfs::IoBuffer& buffer, u64 offset, usize wanted);
    Result<void> move_segments(block::Operation operation, u64 offset, std::span<block::Segment> segments);
    Result<u64> move_run(block::Operation operation, u64 offset, u64 left, std::span<block::Segment>& segments);
    Result<void> read_run(const ext4::Run& run, u64 sector, u64 offset, std::span<const block::Segment> segments);
    Result<DirectNeeds> direct_needs(ext4::BlockRange range);
    Result<bool> may_write_directly(u64 begin, u64 end);
    Result<u64> write_part(vfs::IoBuffer& from, u64 begin, u64 end);
    Result<u64> allocate_all(ext4::BlockRange range);
    Result<void> finish_part(u64 begin, u64 end);
    Result<u64> mark_written(ext4::BlockRange range, u64 end);

    Result<void> move_behind(u32 mode, u64 offset, u64 length);
    Result<void> forget_pages(u64 begin);
    template <typename Step>
    Result<u64> move_some(u64 at, u64 end, Step step);
    Result<void> close_gap(u64 from, u64 distance, u64 new_size);
    Result<void> open_gap(u64 from, u64 distance, u64 new_size);

    NullableRefPtr<mm::FileObject> pages_;
    core::SpinLock promised_lock_;
    ext4::BlockRanges promised_;   // blocks that are holes on the disk, with data in memory
    std::atomic<u64> unstored_{0}; // bytes written since all was stored; about
    // What prepare_write() was told; lock held exclusively by the writer.
    std::atomic<core::Thread*> writer_{nullptr};
    u64 write_begin_ = 0, write_end_ = 0;
};

class Ext4Symlink final : public Ext4Inode {
public:
    using Ext4Inode::Ext4Inode;
    Result<vfs::LinkTarget> read_link() override;

private:
    Result<vfs::LinkTarget> read_target();
};

class Ext4Directory final : public Ext4Inode {
public:
    using Ext4Inode::Ext4Inode;
    Result<RefPtr<vfs::Inode>> lookup(std::string_view name) override;
    Result<void> read_directory(u64 position, vfs::DirectorySink sink) override;
    Result<RefPtr<vfs::Inode>> parent_directory() override;
    Result<RefPtr<vfs::Inode>> create(std::string_view name, const vfs::CreateRequest& request) override;
    Result<RefPtr<vfs::Inode>> create_unnamed(const vfs::CreateRequest& request) override;
    Result<void> link(std::string_view name, vfs::Inode& target) override;
    Result<void> unlink(std::string_view name, vfs::Inode& victim) override;
    Result<void> remove_directory(std::string_view name, vfs::Inode& victim) override;
    Result<void> rename(const RenameRequest& request) override;

private:
    struct Renaming;
    template <typename Operation>
    auto with_space(Operation operation, const char* function = __builtin_FUNCTION()) -> decltype(operation());
    Result<void> remove_file(std::string_view name, Ext4Inode& inode);
    Result<void> remove_empty(std::string_view name, Ext4Inode& inode);
    Result<ext4::DiskInode> make_disk_inode(u32 number, const vfs::CreateRequest& request);
    Result<void> fill_new(const ext4::InodeEdit& edit, const vfs::CreateRequest& request);
    Result<RefPtr<Ext4Inode>> make_inode(ext4::Handle& handle, const vfs::CreateRequest& request,
                                         FunctionRef<Result<void>(Ext4Inode&, ext4::InodePlace&)> enter);
    Result<void> move_entries(Renaming& names, const RenameRequest& request, const vfs::Inode* whiteout);
    Result<void> move_and_fill(Renaming& names, ext4::Handle& handle, const RenameRequest& request);
    Result<void> move_name(const RenameRequest& request);
    Result<void> exchange_entries(Renaming& names, const RenameRequest& request);
    Result<void> exchange_names(const RenameRequest& request);
};

} // namespace linnet::fs
