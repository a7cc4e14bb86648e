// What lies on an ext4 disk: the structures and numbers of "ext4 Data Structures and Algorithms" (Linux's documentation
// of file systems). All numbers are little-endian, as our architectures are; structures are copied out of blocks or
// looked at in place, where they are aligned.
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <lib/types.hpp>
#include <span>

namespace linnet::ext4 {

static_assert(std::endian::native == std::endian::little);

inline constexpr u64 superblock_offset = 1024;
inline constexpr u16 superblock_magic = 0xef53;
inline constexpr u32 root_inode = 2;

// Superblock.feature_compat
inline constexpr u32 compat_has_journal = 0x4, compat_attributes = 0x8, compat_directory_index = 0x20;
// Superblock.feature_incompat
inline constexpr u32 incompat_file_type = 0x2, incompat_recover = 0x4, incompat_meta_bg = 0x10, incompat_extents = 0x40,
                     incompat_64bit = 0x80, incompat_mmp = 0x100, incompat_flex_bg = 0x200,
                     incompat_checksum_seed = 0x2000, incompat_large_directory = 0x4000, incompat_inline_data = 0x8000;
// Superblock.feature_ro_compat
inline constexpr u32 ro_compat_sparse_super = 0x1, ro_compat_large_file = 0x2, ro_compat_huge_file = 0x8,
                     ro_compat_group_checksum = 0x10, ro_compat_many_links = 0x20, ro_compat_extra_size = 0x40,
                     ro_compat_quota = 0x100, ro_compat_clusters = 0x200, ro_compat_metadata_checksum = 0x400,
                     ro_compat_read_only = 0x1000, ro_compat_project = 0x2000, ro_compat_orphans_in_file = 0x1'0000;

inline constexpr u16 state_clean = 1, state_has_errors = 2;

struct Superblock {
    u32 inodes_count;
    u32 blocks_count_low;
    u32 reserved_blocks_count_low;
    u32 free_blocks_count_low;
    u32 free_inodes_count;
    u32 first_data_block;
    u32 log_block_size; // of 1024 bytes
    u32 log_cluster_size;
    u32 blocks_per_group;
    u32 clusters_per_group;
    u32 inodes_per_group;
    u32 mount_time;
    u32 write_time;
    u16 mount_count;
    u16 max_mount_count;
    u16 magic;
    u16 state;
    u16 errors;
    u16 minor_revision;
    u32 last_check;
    u32 check_interval;
    u32 creator_os;
    u32 revision; // 1: the fields from first_inode on count
    u16 reserved_uid;
    u16 reserved_gid;
    u32 first_inode;
    u16 inode_size;
    u16 block_group;
    u32 feature_compat;
    u32 feature_incompat;
    u32 feature_ro_compat;
    u8 uuid[16];
    char volume_name[16];
    char last_mounted[64];
    u32 algorithms;
    u8 preallocated_blocks;
    u8 preallocated_directory_blocks;
    u16 reserved_descriptor_blocks;
    u8 journal_uuid[16];
    u32 journal_inode;
    u32 journal_device;
    u32 last_orphan;
    u32 hash_seed[4];
    u8 default_hash_version;
    u8 journal_backup_type;
    u16 descriptor_size;
    u32 default_mount_options;
    u32 first_meta_group;
    u32 creation_time;
    u32 journal_blocks[17];
    u32 blocks_count_high;
    u32 reserved_blocks_count_high;
    u32 free_blocks_count_high;
    u16 least_extra_size;
    u16 wanted_extra_size;
    u32 flags;
    u16 raid_stride;
    u16 mmp_interval;
    u64 mmp_block;
    u32 raid_stripe_width;
    u8 log_groups_per_flex;
    u8 checksum_type;
    u16 reserved_padding;
    u64 kilobytes_written;
    u32 of_snapshots[5];
    u32 error_count;
    u32 first_error_time;
    u32 first_error_inode;
    u64 first_error_block;
    char first_error_function[32];
    u32 first_error_line;
    u32 last_error_time;
    u32 last_error_inode;
    u32 last_error_line;
    u64 last_error_block;
    char last_error_function[32];
    char mount_options[64];
    u32 user_quota_inode;
    u32 group_quota_inode;
    u32 overhead_clusters;
    u32 backup_groups[2];
    u8 encryption[20];
    u32 lost_and_found_inode;
    u32 project_quota_inode;
    u32 checksum_seed;
    u8 high_parts_of_times[4];
    u8 first_error_time_high;
    u8 last_error_time_high;
    u8 first_error_code;
    u8 last_error_code;
    u16 encoding;
    u16 encoding_flags;
    u32 orphan_file_inode;
    u32 reserved[94];
    u32 checksum;
};
static_assert(sizeof(Superblock) == 1024 && offsetof(Superblock, uuid) == 0x68 &&
              offsetof(Superblock, hash_seed) == 0xec && offsetof(Superblock, blocks_count_high) == 0x150 &&
              offsetof(Superblock, error_count) == 0x194 && offsetof(Superblock, last_error_function) == 0x1e0 &&
              offsetof(Superblock, first_error_code) == 0x27a && offsetof(Superblock, user_quota_inode) == 0x240 &&
              offsetof(Superblock, checksum_seed) == 0x270);

// Superblock.flags
inline constexpr u32 flag_unsigned_hash = 2;

/// Only the first half where the descriptor size is 32.
struct GroupDescriptor {
    u32 block_bitmap_low;
    u32 inode_bitmap_low;
    u32 inode_table_low;
    u16 free_blocks_low;
    u16 free_inodes_low;
    u16 used_directories_low;
    u16 flags;
    u32 exclude_bitmap_low;
    u16 block_bitmap_checksum_low;
    u16 inode_bitmap_checksum_low;
    u16 unused_inodes_low;
    u16 checksum;
    u32 block_bitmap_high;
    u32 inode_bitmap_high;
    u32 inode_table_high;
    u16 free_blocks_high;
    u16 free_inodes_high;
    u16 used_directories_high;
    u16 unused_inodes_high;
    u32 exclude_bitmap_high;
    u16 block_bitmap_checksum_high;
    u16 inode_bitmap_checksum_high;
    u32 reserved;
};
static_assert(sizeof(GroupDescriptor) == 64);
inline constexpr usize small_descriptor = 32;

// GroupDescriptor.flags, which count where descriptors have checksums: what has not been written yet.
inline constexpr u16 group_inodes_unwritten = 0x1, group_blocks_unwritten = 0x2;

// RawInode.flags
inline constexpr u32 inode_sync = 0x8, inode_immutable = 0x10, inode_append = 0x20, inode_no_dump = 0x40,
                     inode_no_access_time = 0x80, inode_encrypted = 0x800, inode_indexed = 0x1000,
                     inode_huge_file = 0x4'0000, inode_extents = 0x8'0000, inode_attribute_value = 0x20'0000,
                     inode_inline_data = 0x1000'0000, inode_casefold = 0x4000'0000;
inline constexpr u32 inode_journal_data = 0x4000, inode_directory_sync = 0x1'0000, inode_top_directory = 0x2'0000,
                     inode_inherits_project = 0x2000'0000;
/// Those that programs see, and those that they may change without any change of how data is kept.
inline constexpr u32 inode_visible = 0x705b'dfff, inode_changeable = 0x3'80ff;

inline constexpr usize inode_block_bytes = 60;

/// What every inode has; the fields behind `reserved` are there as far as 128 + extra_size reaches.
struct RawInode {
    u16 mode;
    u16 uid_low;
    u32 size_low;
    u32 access_time;
    u32 change_time;
    u32 modify_time;
    u32 deletion_time;
    u16 gid_low;
    u16 link_count;
    u32 blocks_low;
    u32 flags;
    u32 version_low;
    u8 block[inode_block_bytes]; // block numbers, extents, a short symlink's target, inline data, or a device's number
    u32 generation;
    u32 attributes_low;
    u32 size_high;
    u32 fragment;
    u16 blocks_high;
    u16 attributes_high;
    u16 uid_high;
    u16 gid_high;
    u16 checksum_low;
    u16 reserved;
    u16 extra_size;
    u16 checksum_high;
    u32 change_time_extra;
    u32 modify_time_extra;
    u32 access_time_extra;
    u32 birth_time;
    u32 birth_time_extra;
    u32 version_high;
    u32 project;
};
static_assert(sizeof(RawInode) == 160 && offsetof(RawInode, extra_size) == 128);
inline constexpr usize small_inode = 128;

// What RawInode.mode says of the kind of file, as inode(7) has it.
inline constexpr u16 mode_kind = 0170000, mode_directory = 0040000, mode_regular = 0100000, mode_symlink = 0120000;

struct ExtentHeader {
    u16 magic;
    u16 entries;
    u16 max_entries;
    u16 depth;
    u32 generation;
};
inline constexpr u16 extent_magic = 0xf30a;
inline constexpr u16 most_extent_depth = 5;

struct Extent {
    u32 first; // in the file
    u16 length;
    u16 start_high;
    u32 start_low;
};
/// An extent longer than this is not written yet: it reads as zeros, and is as much shorter.
inline constexpr u16 most_written_length = 32768;

struct ExtentIndex {
    u32 first;
    u32 block_low;
    u16 block_high;
    u16 unused;
};
static_assert(sizeof(ExtentHeader) == 12 && sizeof(Extent) == 12 && sizeof(ExtentIndex) == 12);

struct RawEntry {
    u32 inode;
    u16 record_length;
    u8 name_length; // with its high byte in file_type on disks without that feature, where names are short anyway
    u8 file_type;
};
static_assert(sizeof(RawEntry) == 8);
/// The type of the entry that hides a block's checksum at its end.
inline constexpr u8 checksum_entry_type = 0xde;
inline constexpr usize checksum_entry_bytes = 12;

struct AttributeHeader {
    u32 magic;
    u32 reference_count;
    u32 blocks;
    u32 hash;
    u32 checksum;
    u32 reserved[3];
};
inline constexpr u32 attribute_magic = 0xea02'0000;
struct AttributeEntry {
    u8 name_length;
    u8 name_index;
    u16 value_offset;
    u32 value_inode;
    u32 value_size;
    u32 hash;
};
static_assert(sizeof(AttributeHeader) == 32 && sizeof(AttributeEntry) == 16);

/// The object at `offset` of some bytes, which need not be aligned.
template <typename T>
T object_at(std::span<const u8> bytes, usize offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
}

/// A number stored in two halves.
constexpr u64 joined(u32 low, u32 high) { return low | u64{high} << 32; }

} // namespace linnet::ext4
