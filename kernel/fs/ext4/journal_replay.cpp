// The three passes over the log: find its end, gather what was revoked, and write the rest.
#include "journal_replay.hpp"

#include "block_map.hpp"
#include "journal_layout.hpp"

#include <algorithm>
#include <core/log.hpp>
#include <cstring>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

constexpr u32 journal_inode_flags_known = journal_revoke | journal_64bit | journal_async_commit | journal_checksum_v2 |
                                          journal_checksum_v3 | journal_fast_commit;

/// Sequence numbers wrap.
bool is_later(u32 first, u32 second) { return static_cast<i32>(first - second) > 0; }

/// CRC-32 with the highest bit first (polynomial 0x04c11db7), no inversion: of the oldest checksums.
u32 crc32_upwards(u32 value, std::span<const u8> bytes) {
    for (u8 byte : bytes) {
        value ^= u32{byte} << 24;
        for (int bit = 0; bit < 8; ++bit) value = value << 1 ^ (value >> 31 ? 0x04c1'1db7u : 0);
    }
    return value;
}

template <typename T>
T object_at(std::span<const u8> bytes, usize offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
}

class Replay {
public:
    Replay(Volume& volume, mm::FileObject& device) : volume_(volume), device_(device) {}
    Result<void> open();
    [[nodiscard]] bool is_empty() const { return superblock_.start == 0; }
    Result<void> run();
    Result<void> mark_empty();
    [[nodiscard]] u32 replayed() const { return replayed_; }

private:
    enum class Pass : u8 { FindEnd, GatherRevoked, Write };
    struct Tag {
        u64 block;
        u32 flags;
        u32 checksum;
        usize length; // of the tag itself
    };
    struct CommitTime {
        u64 seconds;
        u32 nanoseconds;
        auto operator<=>(const CommitTime&) const = default;
    };
    struct Revoked {
        u64 block;
        u32 sequence;
        auto operator<=>(const Revoked&) const = default;
    };

    [[nodiscard]] bool has(u32 feature) const { return (superblock_.feature_incompat & feature) != 0; }
    [[nodiscard]] bool has_checksums() const { return has(journal_checksum_v2 | journal_checksum_v3); }
    Result<Block> read(u32 block);
    Result<void> write(u64 block, std::span<const u8> bytes, bool is_escaped);
    [[nodiscard]] u32 own_checksum() const;
    [[nodiscard]] u32 behind(u32 block) const { return block + 1 < end_ ? block + 1 : u32{superblock_.first}; }
    Result<void> scan(Pass pass);
    Result<u32> take_descriptor(Pass pass, const Block& block, u32 place, u32 sequence);
    Result<void> take_revokes(const Block& block, u32 sequence);
    [[nodiscard]] bool is_whole(const Block& block, JournalBlock type) const;
    [[nodiscard]] std::optional<Tag> tag_at(std::span<const u8> bytes, usize offset) const;
    [[nodiscard]] bool is_revoked(u64 block, u32 sequence) const;
    Result<bool> take_commit(const Block& block);
    Result<bool> has_fast_commits();
    /// Of whole transactions, and only in commit blocks.
    [[nodiscard]] bool has_old_checksums() const {
        return !has_checksums() && (superblock_.feature_compat & journal_compat_checksum) != 0;
    }

    Volume& volume_;
    mm::FileObject& device_;
    DiskInode inode_;
    JournalSuperblock superblock_{};
    u32 end_ = 0; // the log's blocks are [first, end_)
    u32 checksum_seed_ = 0;
    u32 end_sequence_ = 0;     // of the first transaction that was not committed
    bool is_doubtful_ = false; // a block of the transaction has a wrong checksum
    u32 old_checksum_ = ~0u;   // of the transaction's blocks so far
    CommitTime last_commit_{};
    ArrayList<Revoked> revoked_; // sorted before the last pass
    u32 replayed_ = 0;
};

Result<void> Replay::open() {
    const Superblock& on_disk = volume_.superblock();
    if (!(on_disk.feature_compat & compat_has_journal) || on_disk.journal_inode == 0) return error(Errno::EOPNOTSUPP);
    inode_ = TRY(volume_.read_reserved_inode(on_disk.journal_inode));
    Block first = TRY(read_file_block(volume_, inode_, 0));
    std::memcpy(&superblock_, first.bytes().data(), sizeof(superblock_));
    const JournalSuperblock& journal = superblock_;
    const auto type = static_cast<JournalBlock>(u32{journal.header.type});
    if (journal.header.magic != journal_magic || type != JournalBlock::SuperblockWithFeatures)
        return error(Errno::EUCLEAN);
    if (journal.block_size != volume_.block_size()) return error(Errno::EUCLEAN);
    if (journal.feature_incompat & ~journal_inode_flags_known) return error(Errno::EOPNOTSUPP);
    if (has(journal_checksum_v2) && has(journal_checksum_v3)) return error(Errno::EUCLEAN);
    const u32 fast = has(journal_fast_commit) ? u32{journal.fast_commit_blocks} : 0;
    const u32 blocks = journal.blocks;
    if (blocks > inode_.size() >> volume_.block_shift() || fast >= blocks) return error(Errno::EUCLEAN);
    end_ = blocks - fast;
    if (journal.first == 0 || journal.first >= end_ || journal.start >= end_) return error(Errno::EUCLEAN);
    if (!has_checksums()) return {};
    if (own_checksum() != journal.checksum) return error(Errno::EBADMSG);
    checksum_seed_ = crc32c(~0u, journal.uuid);
    return {};
}

u32 Replay::own_checksum() const {
    constexpr usize place = offsetof(JournalSuperblock, checksum);
    const std::span<const u8> bytes(reinterpret_cast<const u8*>(&superblock_), sizeof(superblock_));
    const u32 value = crc32c_of(crc32c(~0u, bytes.first(place)), u32{0});
    return crc32c(value, bytes.subspan(place + sizeof(u32)));
}

Result<Block> Replay::read(u32 block) { return read_file_block(volume_, inode_, block); }

Result<void> Replay::write(u64 block, std::span<const u8> bytes, bool is_escaped) {
    if (block >= volume_.blocks()) return error(Errno::EUCLEAN);
    const u64 offset = block << volume_.block_shift();
    mm::PageRef page = TRY(device_.get_page(offset >> arch::page_shift, arch::Access::Write));
    u8* to = page.data<u8>() + (offset & (arch::page_size - 1));
    std::memcpy(to, bytes.data(), bytes.size());
    // A block of data that looked like one of the journal's had its first word taken away.
    const BigEndian<u32> magic = journal_magic;
    if (is_escaped) std::memcpy(to, &magic, sizeof(magic));
    page->set(mm::page_dirty);
    return {};
}

/// Whether the block's own checksum is right: in the last word, or in a commit block's header.
bool Replay::is_whole(const Block& block, JournalBlock type) const {
    if (!has_checksums()) return true;
    const auto bytes = block.bytes();
    const usize place = type == JournalBlock::Commit ? offsetof(CommitHeader, checksum) : bytes.size() - sizeof(u32);
    u32 value = crc32c(checksum_seed_, bytes.first(place));
    value = crc32c_of(value, u32{0});
    value = crc32c(value, bytes.subspan(place + sizeof(u32)));
    return value == object_at<BigEndian<u32>>(bytes, place);
}

std::optional<Replay::Tag> Replay::tag_at(std::span<const u8> bytes, usize offset) const {
    constexpr usize uuid_bytes = 16;
    Tag tag{};
    tag.length = sizeof(JournalTag3);
    if (!has(journal_checksum_v3))
        tag.length = sizeof(JournalTag) + (has(journal_checksum_v2) ? 2 : 0) - (has(journal_64bit) ? 0 : 4);
    const usize end = bytes.size() - (has_checksums() ? sizeof(u32) : 0);
    if (offset + sizeof(JournalTag3) > bytes.size() || offset + tag.length > end) return std::nullopt;
    u32 high;
    if (has(journal_checksum_v3)) {
        const auto raw = object_at<JournalTag3>(bytes, offset);
        tag.block = raw.block;
        tag.flags = raw.flags;
        tag.checksum = raw.checksum;
        high = raw.block_high;
    } else {
        const auto raw = object_at<JournalTag>(bytes, offset);
        tag.block = raw.block;
        tag.flags = raw.flags;
        tag.checksum = raw.checksum;
        high = raw.block_high;
    }
    if (has(journal_64bit)) tag.block |= u64{high} << 32;
    if (!(tag.flags & tag_same_uuid)) tag.length += uuid_bytes;
    return tag;
}

bool Replay::is_revoked(u64 block, u32 sequence) const {
    auto it = std::ranges::upper_bound(revoked_, block, {}, &Revoked::block);
    for (; it != revoked_.begin() && std::prev(it)->block == block; --it)
        if (!is_later(sequence, std::prev(it)->sequence)) return true;
    return false;
}

/// Goes through the blocks that a descriptor tells of; where the log goes on behind them.
Result<u32> Replay::take_descriptor(Pass pass, const Block& block, u32 place, u32 sequence) {
    const BigEndian<u32> on_disk_sequence = sequence;
    const u32 seed = crc32c_of(checksum_seed_, on_disk_sequence);
    const bool sums_up = pass == Pass::FindEnd && has_old_checksums();
    if (sums_up) old_checksum_ = crc32_upwards(old_checksum_, block.bytes());
    for (usize offset = sizeof(JournalHeader);;) {
        const auto tag = tag_at(block.bytes(), offset);
        if (!tag) break;
        offset += tag->length;
        place = behind(place);
        if (sums_up) old_checksum_ = crc32_upwards(old_checksum_, TRY(read(place)).bytes());
        if (pass == Pass::Write && !is_revoked(tag->block, sequence)) {
            const Block data = TRY(read(place));
            const u32 value = has_checksums() ? crc32c(seed, data.bytes()) : 0;
            const u32 wanted = has(journal_checksum_v3) ? value : value & 0xffff;
            if (has_checksums() && tag->checksum != wanted) return error(Errno::EBADMSG);
            TRY(write(tag->block, data.bytes(), (tag->flags & tag_escaped) != 0));
            ++replayed_;
        }
        if (tag->flags & tag_last) break;
    }
    return place;
}

Result<void> Replay::take_revokes(const Block& block, u32 sequence) {
    const auto bytes = block.bytes();
    const usize length = has(journal_64bit) ? 8 : 4;
    const usize room = bytes.size() - (has_checksums() ? sizeof(u32) : 0);
    const usize end = object_at<RevokeHeader>(bytes, 0).bytes;
    if (end > room) return error(Errno::EUCLEAN);
    for (usize at = sizeof(RevokeHeader); at + length <= end; at += length) {
        const u64 number =
            length == 8 ? u64{object_at<BigEndian<u64>>(bytes, at)} : u64{object_at<BigEndian<u32>>(bytes, at)};
        TRY(revoked_.try_push({number, sequence}));
    }
    return {};
}

/// A commit block of the transaction that is being looked for, in the first pass: whether the transaction counts. False
/// for what an earlier round of the log has left there; EUCLEAN when one that was committed is damaged.
Result<bool> Replay::take_commit(const Block& block) {
    const auto commit = object_at<CommitHeader>(block.bytes(), 0);
    bool is_right = is_whole(block, JournalBlock::Commit);
    if (has_old_checksums()) {
        const bool has_one = commit.checksum_type != 0 || commit.checksum_size != 0 || commit.checksum[0] != 0;
        is_right = !has_one || (commit.checksum_type == commit_checksum_crc32 && commit.checksum[0] == old_checksum_);
    }
    const CommitTime time{commit.seconds, commit.nanoseconds};
    if (is_right && !is_doubtful_) {
        last_commit_ = time;
        old_checksum_ = ~0u;
        return true;
    }
    if (time < last_commit_ || has(journal_async_commit)) return false;
    core::log_error("EXT4-fs ({}): transaction {} of the journal is corrupt", volume_.name(),
                    u32{commit.header.sequence});
    return error(Errno::EUCLEAN);
}

/// From the beginning of the log to where a transaction is not whole; in later passes to the end that was found.
Result<void> Replay::scan(Pass pass) {
    u32 sequence = superblock_.first_sequence;
    u32 place = superblock_.start;
    // A forged log could lead in a circle: no block is looked at twice.
    for (u32 left = end_; left > 0; --left) {
        if (pass != Pass::FindEnd && sequence == end_sequence_) break;
        const Block block = TRY(read(place));
        const auto header = object_at<JournalHeader>(block.bytes(), 0);
        if (header.magic != journal_magic || header.sequence != sequence) break;
        const auto type = static_cast<JournalBlock>(u32{header.type});
        if (type == JournalBlock::Commit) {
            if (pass == Pass::FindEnd && !TRY(take_commit(block))) break;
            ++sequence;
        } else if (type == JournalBlock::Descriptor || type == JournalBlock::Revoke) {
            // Bad only if a commit block says that all of it had been written.
            if (!is_whole(block, type)) is_doubtful_ = true;
            if (type == JournalBlock::Descriptor)
                place = TRY(take_descriptor(pass, block, place, sequence));
            else if (pass == Pass::GatherRevoked)
                TRY(take_revokes(block, sequence));
        } else {
            break;
        }
        place = behind(place);
    }
    if (pass == Pass::FindEnd)
        end_sequence_ = sequence;
    else if (sequence != end_sequence_)
        return error(Errno::EIO); // what was whole a moment ago is not
    return {};
}

/// Whether the area behind the log has something for the transaction that comes next.
Result<bool> Replay::has_fast_commits() {
    if (!has(journal_fast_commit) || end_ >= superblock_.blocks) return false;
    const Block block = TRY(read(end_));
    const auto head = object_at<FastCommitHead>(block.bytes(), 0);
    return head.tag == fast_commit_head_tag && head.sequence == end_sequence_;
}

Result<void> Replay::run() {
    TRY(scan(Pass::FindEnd));
    if (TRY(has_fast_commits())) return error(Errno::EOPNOTSUPP);
    TRY(scan(Pass::GatherRevoked));
    std::ranges::sort(revoked_);
    return scan(Pass::Write);
}

Result<void> Replay::mark_empty() {
    // Blocks of a transaction that was not committed must not be taken for a later one's.
    if (!is_empty()) superblock_.first_sequence = end_sequence_ + 1;
    superblock_.start = 0;
    if (has_checksums()) superblock_.checksum = own_checksum();
    const Run run = TRY(map_blocks(volume_, inode_, 0, 1));
    return write(run.first, {reinterpret_cast<const u8*>(&superblock_), sizeof(superblock_)}, false);
}

/// The superblock may be among what was replayed: it is changed where it lies.
Result<void> mark_recovered(mm::FileObject& device) {
    mm::PageRef page = TRY(device.get_page(0, arch::Access::Write));
    auto& superblock = *reinterpret_cast<Superblock*>(page.data<u8>() + superblock_offset);
    superblock.feature_incompat &= ~incompat_recover;
    if (superblock.feature_ro_compat & ro_compat_metadata_checksum)
        superblock.checksum = crc32c(~0u, {reinterpret_cast<const u8*>(&superblock), offsetof(Superblock, checksum)});
    page->set(mm::page_dirty);
    return {};
}

} // namespace

Result<void> replay_journal(Volume& volume, mm::FileObject& device, FunctionRef<Result<void>()> store) {
    auto replay = TRY(try_make<Replay>(volume, device)); // too large for the stack
    TRY(replay->open());
    if (!replay->is_empty()) {
        TRY(replay->run());
        TRY(store());
        core::log_info("EXT4-fs ({}): recovery complete, {} blocks of the journal replayed", volume.name(),
                       replay->replayed());
    }
    TRY(replay->mark_empty());
    TRY(mark_recovered(device));
    return store();
}

} // namespace linnet::ext4
