// What lies in a journal (jbd2), by Linux's documentation of ext4. All numbers are big-endian.
#pragma once

#include <bit>
#include <cstddef>
#include <lib/types.hpp>

namespace linnet::ext4 {

/// A number as the journal stores it.
template <typename T>
struct BigEndian {
    T stored;
    BigEndian() = default;
    constexpr BigEndian(T value) : stored(std::byteswap(value)) {}
    constexpr operator T() const { return std::byteswap(stored); }
};

inline constexpr u32 journal_magic = 0xc03b3998;
enum class JournalBlock : u32 { Descriptor = 1, Commit = 2, Superblock = 3, SuperblockWithFeatures = 4, Revoke = 5 };

struct JournalHeader {
    BigEndian<u32> magic;
    BigEndian<u32> type; // JournalBlock
    BigEndian<u32> sequence;
};

struct JournalSuperblock {
    JournalHeader header;
    BigEndian<u32> block_size;
    BigEndian<u32> blocks;
    BigEndian<u32> first;          // block of the log
    BigEndian<u32> first_sequence; // of the first transaction to be replayed
    BigEndian<u32> start;          // where that begins; 0: nothing is to be replayed
    BigEndian<u32> error;
    BigEndian<u32> feature_compat;
    BigEndian<u32> feature_incompat;
    BigEndian<u32> feature_ro_compat;
    u8 uuid[16];
    BigEndian<u32> users;
    BigEndian<u32> dynamic_superblock;
    BigEndian<u32> most_in_transaction;
    BigEndian<u32> most_data_in_transaction;
    u8 checksum_type;
    u8 padding[3];
    BigEndian<u32> fast_commit_blocks; // at the end of the journal
    BigEndian<u32> head;
    BigEndian<u32> reserved[40];
    BigEndian<u32> checksum;
    u8 of_users[16 * 48];
};
static_assert(sizeof(JournalSuperblock) == 1024 && offsetof(JournalSuperblock, checksum) == 0xfc);

inline constexpr u32 journal_compat_checksum = 1; // JournalSuperblock.feature_compat
inline constexpr u8 journal_checksum_crc32c = 4;  // JournalSuperblock.checksum_type
// JournalSuperblock.feature_incompat
inline constexpr u32 journal_revoke = 1, journal_64bit = 2, journal_async_commit = 4, journal_checksum_v2 = 8,
                     journal_checksum_v3 = 0x10, journal_fast_commit = 0x20;

// Flags of a tag, which stands in a descriptor for a block that follows.
inline constexpr u32 tag_escaped = 1, tag_same_uuid = 2, tag_last = 8;

/// With checksums of version 3.
struct JournalTag3 {
    BigEndian<u32> block;
    BigEndian<u32> flags;
    BigEndian<u32> block_high;
    BigEndian<u32> checksum;
};
/// Otherwise; two bytes longer with checksums of version 2, four shorter without 64-bit numbers.
struct JournalTag {
    BigEndian<u32> block;
    BigEndian<u16> checksum;
    BigEndian<u16> flags;
    BigEndian<u32> block_high;
};
static_assert(sizeof(JournalTag3) == 16 && sizeof(JournalTag) == 12);

struct RevokeHeader {
    JournalHeader header;
    BigEndian<u32> bytes; // of the block, with this header
};

struct CommitHeader {
    JournalHeader header;
    u8 checksum_type;
    u8 checksum_size;
    u8 padding[2];
    BigEndian<u32> checksum[8];
    BigEndian<u64> seconds;
    BigEndian<u32> nanoseconds;
};
static_assert(offsetof(CommitHeader, seconds) == 0x30);
inline constexpr u8 commit_checksum_crc32 = 1;

/// What begins each block of the area of fast commits; little-endian.
struct FastCommitHead {
    u16 tag;
    u16 length;
    u32 features;
    u32 sequence;
};
inline constexpr u16 fast_commit_head_tag = 9;

} // namespace linnet::ext4
