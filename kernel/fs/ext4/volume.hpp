// Volume: an ext4 file system as its disk describes it: the superblock, the groups of blocks, and the inodes in them.
// Everything is looked at with distrust: a damaged or forged image gives errors, EUCLEAN where it contradicts itself
// and EBADMSG where a checksum is wrong, as on Linux.
//
// Metadata is read through the page cache of the device, so programs that read the device see the same. Nothing here
// knows of vfs: host tests run all of it on image files.
#pragma once

#include "layout.hpp"

#include <core/mutex.hpp>
#include <core/spinlock.hpp>
#include <lib/array_list.hpp>
#include <lib/own_ptr.hpp>
#include <mm/page_cache.hpp>

namespace linnet::ext4 {

/// A block of metadata, as long as it is held.
class Block {
public:
    Block() = default;
    Block(mm::PageRef page, usize offset, usize size) : page_(std::move(page)), offset_(offset), size_(size) {}
    [[nodiscard]] std::span<const u8> bytes() const { return {page_.data<const u8>() + offset_, size_}; }
    [[nodiscard]] usize size() const { return size_; }
    /// Whether it was found whole since it was read from the disk. Whoever changes it leaves it whole.
    [[nodiscard]] bool is_checked() const { return page_->has(checked_flag()); }
    void set_checked() const { page_->set(checked_flag()); }
    /// The object at `offset`, which must lie within the block and be aligned.
    template <typename T>
    const T& at(usize offset) const {
        VERIFY(offset + sizeof(T) <= size_ && offset % alignof(T) == 0);
        return *reinterpret_cast<const T*>(bytes().data() + offset);
    }

private:
    [[nodiscard]] mm::PageFlag checked_flag() const {
        static_assert(arch::page_size / 1024 <= 16);
        return static_cast<mm::PageFlag>(mm::page_first_block_checked << offset_ / size_);
    }
    mm::PageRef page_;
    usize offset_ = 0;
    usize size_ = 0;
};

/// An inode as it lies on the disk, whole.
struct DiskInode {
    u32 number = 0;
    u32 checksum_seed = 0; // of the metadata that belongs to it
    RawInode raw{};
    ArrayList<u8> bytes; // all of its place in the table: attributes may follow the fields

    [[nodiscard]] u64 size() const { return joined(raw.size_low, raw.size_high); }
    void set_size(u64 size) { raw.size_low = static_cast<u32>(size), raw.size_high = static_cast<u32>(size >> 32); }
    [[nodiscard]] bool has(u32 flag) const { return (raw.flags & flag) != 0; }
    /// Whether a field that ends `end` bytes into the inode is there.
    [[nodiscard]] bool reaches(usize end) const { return end <= small_inode + raw.extra_size; }
};

u32 checksum_of(const Superblock& superblock);

class Volume {
public:
    /// Reads and checks the superblock and the groups' descriptors. As long as there is a journal to be replayed, the
    /// superblock's checksum may be wrong. EINVAL: no ext4, or features that are not known (named in the log).
    static Result<OwnPtr<Volume>> open(mm::FileObject& device, u64 device_bytes, std::string_view name);

    [[nodiscard]] const Superblock& superblock() const { return superblock_; }
    [[nodiscard]] u32 block_size() const { return 1024u << superblock_.log_block_size; }
    [[nodiscard]] u32 block_shift() const { return 10 + superblock_.log_block_size; }
    [[nodiscard]] u64 blocks() const { return blocks_; }
    [[nodiscard]] u32 groups() const { return static_cast<u32>(descriptors_.size()); }
    /// The largest size of a file whose blocks are in extents, and of one whose blocks are in lists.
    [[nodiscard]] u64 most_extent_bytes() const { return (u64{1} << 32) * block_size() - block_size(); }
    [[nodiscard]] std::string_view name() const { return {name_, name_length_}; }
    [[nodiscard]] bool has_checksums() const {
        return (superblock_.feature_ro_compat & ro_compat_metadata_checksum) != 0;
    }
    [[nodiscard]] u32 checksum_seed() const { return checksum_seed_; }
    /// Whether the journal holds what is not in its place yet.
    [[nodiscard]] bool needs_recovery() const { return (superblock_.feature_incompat & incompat_recover) != 0; }

    /// Whether data or metadata of a file may lie there: EUCLEAN if not.
    Result<void> check_blocks(u64 first, u64 count) const;
    /// May sleep. EUCLEAN, EIO, ENOMEM, EINTR when the caller is killed.
    Result<Block> read_block(u64 number);
    /// EUCLEAN for a number that no file can have, ESTALE for an unused inode.
    Result<DiskInode> read_inode(u32 number);
    /// The same for the inodes that the file system keeps to itself: the journal.
    Result<DiskInode> read_reserved_inode(u32 number) { return read_inode(number, Links::Some); }
    /// The same for a file that may have no name any more.
    Result<DiskInode> read_orphan(u32 number);

    struct FreeCounts {
        u64 blocks = 0;
        u64 inodes = 0;
    };
    /// Summed over the groups.
    [[nodiscard]] FreeCounts free_counts() const;
    /// Blocks that hold no files: descriptors, bitmaps, tables of inodes, the journal (statfs(2) leaves them out).
    [[nodiscard]] u64 overhead_blocks() const;

    /// Where an object lies on the disk; it does not reach beyond its block.
    struct Place {
        u64 block;
        usize offset;
        usize size;
    };
    [[nodiscard]] Place superblock_place() const {
        return {superblock_offset >> block_shift(), superblock_offset & (block_size() - 1), sizeof(Superblock)};
    }
    [[nodiscard]] Place descriptor_place(u32 group) const;
    /// `number` is that of an inode there is.
    [[nodiscard]] Place inode_place(u32 number) const;
    [[nodiscard]] u32 inode_size() const { return inode_size_; }
    /// The first that is not kept for the file system itself.
    [[nodiscard]] u32 first_inode() const {
        constexpr u32 first_of_old = 11;
        return superblock_.revision == 0 ? first_of_old : superblock_.first_inode;
    }
    [[nodiscard]] u64 first_block_of(u32 group) const {
        return superblock_.first_data_block + u64{group} * superblock_.blocks_per_group;
    }
    [[nodiscard]] u64 inode_table(u32 group) const {
        return joined(descriptors_[group].inode_table_low, descriptors_[group].inode_table_high);
    }
    [[nodiscard]] u64 inode_table_blocks() const {
        return divide_up<u64>(u64{superblock_.inodes_per_group} * inode_size_, block_size());
    }
    /// Blocks at the beginning of a group that hold copies of the superblock and descriptors.
    [[nodiscard]] u32 superblocks_and_descriptors(u32 group) const;
    [[nodiscard]] bool has_descriptor_checksums() const {
        return (superblock_.feature_ro_compat & (ro_compat_metadata_checksum | ro_compat_group_checksum)) != 0;
    }
    /// What a descriptor's checksum should be; its place among `bytes` is left out.
    [[nodiscard]] u16 descriptor_checksum(u32 group, std::span<const u8> bytes) const;
    /// The same for inodes. Old ones have room for the lower half of it only.
    enum class Halves : u8 { Lower, Both };
    [[nodiscard]] u32 inode_checksum(u32 seed, std::span<const u8> bytes, Halves halves) const;
    [[nodiscard]] u32 inode_checksum(const DiskInode& inode) const {
        const bool has_both = inode.reaches(offsetof(RawInode, checksum_high) + sizeof(u16));
        return inode_checksum(inode.checksum_seed, inode.bytes.span(), has_both ? Halves::Both : Halves::Lower);
    }
    [[nodiscard]] u32 inode_checksum_seed(u32 number, u32 generation) const;

    /// As they are in memory. Whoever changes a descriptor holds the allocator's lock, and stores it (GroupPlace).
    GroupDescriptor& descriptor(u32 group) { return descriptors_[group]; }
    [[nodiscard]] const GroupDescriptor& descriptor(u32 group) const { return descriptors_[group]; }
    /// Only change_superblock() writes to it.
    Superblock& superblock_to_change() { return superblock_; }
    core::Mutex superblock_lock; // over changes of the superblock
    core::Mutex attributes_lock; // over blocks of attributes, which inodes may share: before the allocator's
    core::SpinLock inodes_lock;  // over the copying of an inode into its place

private:
    Volume(mm::FileObject& device, std::string_view name);
    Result<void> check_features() const;
    Result<void> check_geometry(u64 device_bytes);
    Result<void> read_descriptors();
    [[nodiscard]] usize descriptor_size() const;
    [[nodiscard]] u64 descriptor_block(u32 index) const;
    [[nodiscard]] bool has_superblock(u32 group) const;
    Result<void> check_descriptor(u32 group, std::span<const u8> bytes) const;
    enum class Links : u8 { Some, None };
    Result<DiskInode> read_inode(u32 number, Links links);
    Result<void> check_inode(DiskInode& inode, Links links) const;

    mm::FileObject& device_;
    Superblock superblock_{};
    ArrayList<GroupDescriptor> descriptors_;
    u64 blocks_ = 0;
    u32 inode_size_ = small_inode;
    u32 checksum_seed_ = 0;
    char name_[16] = {};
    usize name_length_ = 0;
};

} // namespace linnet::ext4
