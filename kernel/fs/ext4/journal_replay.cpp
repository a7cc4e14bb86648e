// The three passes over the log: find its end, gather what was revoked, and write the rest.
#include "journal_replay.hpp"

#include "error_notes.hpp"

#include "block_map.hpp"
#include "journal_format.hpp"

#include <algorithm>
#include <core/log.hpp>
#include <cstring>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

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

class Replay {
public:
    Replay(Volume& volume, mm::FileObject& device) : volume_(volume), device_(device) {}
    Result<void> open();
    [[nodiscard]] bool is_empty() const { return file_->superblock.start == 0; }
    Result<void> run();
    Result<void> mark_empty();
    [[nodiscard]] u32 replayed() const { return replayed_; }

private:
    enum class Pass : u8 { FindEnd, GatherRevoked, Write };
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

    Result<Block> read(u32 block);
    Result<void> write(u64 block, std::span<const u8> bytes, bool is_escaped);
    Result<void> scan(Pass pass);
    Result<u32> take_descriptor(Pass pass, const Block& block, u32 place, u32 sequence);
    Result<void> take_revokes(const Block& block, u32 sequence);
    [[nodiscard]] const JournalFormat& format() const { return file_->format; }
    [[nodiscard]] bool is_revoked(u64 block, u32 sequence) const;
    Result<bool> take_commit(const Block& block);
    Result<bool> has_fast_commits();
    /// Of whole transactions, and only in commit blocks.
    [[nodiscard]] bool has_old_checksums() const {
        return !format().has_checksums() && (file_->superblock.feature_compat & journal_compat_checksum) != 0;
    }

    Volume& volume_;
    mm::FileObject& device_;
    OwnPtr<JournalFile> file_;
    u32 end_sequence_ = 0;     // of the first transaction that was not committed
    bool is_doubtful_ = false; // a block of the transaction has a wrong checksum
    u32 old_checksum_ = ~0u;   // of the transaction's blocks so far
    CommitTime last_commit_{};
    ArrayList<Revoked> revoked_; // sorted before the last pass
    u32 replayed_ = 0;
};

Result<void> Replay::open() {
    file_ = TRY(JournalFile::open(volume_));
    return {};
}

Result<Block> Replay::read(u32 block) { return read_file_block(volume_, file_->inode, block); }

Result<void> Replay::write(u64 block, std::span<const u8> bytes, bool is_escaped) {
    if (block >= volume_.blocks()) return error(Errno::EUCLEAN);
    const u64 offset = block << volume_.block_shift();
    mm::PageRef page = TRY(device_.get_page(offset >> arch::page_shift, arch::Access::Write));
    u8* to = page.data<u8>() + (offset & (arch::page_size - 1));
    std::memcpy(to, bytes.data(), bytes.size());
    // A block of data that looked like one of the journal's had its first word taken away.
    const BigEndian<u32> magic = journal_magic;
    if (is_escaped) std::memcpy(to, &magic, sizeof(magic));
    mm::note_dirty(*page);
    return {};
}

bool Replay::is_revoked(u64 block, u32 sequence) const {
    auto it = std::ranges::upper_bound(revoked_, block, {}, &Revoked::block);
    for (; it != revoked_.begin() && std::prev(it)->block == block; --it)
        if (!is_later(sequence, std::prev(it)->sequence)) return true;
    return false;
}

/// Goes through the blocks that a descriptor tells of; where the log goes on behind them.
Result<u32> Replay::take_descriptor(Pass pass, const Block& block, u32 place, u32 sequence) {
    const bool sums_up = pass == Pass::FindEnd && has_old_checksums();
    if (sums_up) old_checksum_ = crc32_upwards(old_checksum_, block.bytes());
    for (usize offset = sizeof(JournalHeader);;) {
        const auto tag = format().tag_at(block.bytes(), offset);
        if (!tag) break;
        offset += tag->length;
        place = file_->behind(place);
        if (sums_up) old_checksum_ = crc32_upwards(old_checksum_, TRY(read(place)).bytes());
        if (pass == Pass::Write && !is_revoked(tag->block, sequence)) {
            const Block data = TRY(read(place));
            if (format().has_checksums() && tag->checksum != format().data_checksum(sequence, data.bytes()))
                return error(Errno::EBADMSG);
            TRY(write(tag->block, data.bytes(), (tag->flags & tag_escaped) != 0));
            ++replayed_;
        }
        if (tag->flags & tag_last) break;
    }
    return place;
}

Result<void> Replay::take_revokes(const Block& block, u32 sequence) {
    const auto bytes = block.bytes();
    const usize length = format().revoke_length();
    const usize end = object_at<RevokeHeader>(bytes, 0).bytes;
    if (end > format().end_of_room()) return error(Errno::EUCLEAN);
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
    bool is_right = format().is_whole(block.bytes(), JournalBlock::Commit);
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
    if (time < last_commit_ || format().has(journal_async_commit)) return false;
    core::log_error("EXT4-fs ({}): transaction {} of the journal is corrupt", volume_.name(),
                    u32{commit.header.sequence});
    return error(Errno::EUCLEAN);
}

/// From the beginning of the log to where a transaction is not whole; in later passes to the end that was found.
Result<void> Replay::scan(Pass pass) {
    u32 sequence = file_->superblock.first_sequence;
    u32 place = file_->superblock.start;
    // A forged log could lead in a circle: no block is looked at twice.
    for (u32 left = file_->end; left > 0; --left) {
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
            if (!format().is_whole(block.bytes(), type)) is_doubtful_ = true;
            if (type == JournalBlock::Descriptor)
                place = TRY(take_descriptor(pass, block, place, sequence));
            else if (pass == Pass::GatherRevoked)
                TRY(take_revokes(block, sequence));
        } else {
            break;
        }
        place = file_->behind(place);
    }
    if (pass == Pass::FindEnd)
        end_sequence_ = sequence;
    else if (sequence != end_sequence_)
        return error(Errno::EIO); // what was whole a moment ago is not
    return {};
}

/// Whether the area behind the log has something for the transaction that comes next.
Result<bool> Replay::has_fast_commits() {
    if (!format().has(journal_fast_commit) || file_->end >= file_->superblock.blocks) return false;
    const Block block = TRY(read(file_->end));
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
    JournalSuperblock& superblock = file_->superblock;
    // Blocks of a transaction that was not committed must not be taken for a later one's.
    if (!is_empty()) superblock.first_sequence = end_sequence_ + 1;
    superblock.start = 0;
    if (format().has_checksums()) superblock.checksum = checksum_of(superblock);
    const Run run = TRY(map_blocks(volume_, file_->inode, 0, 1));
    return write(run.first, {reinterpret_cast<const u8*>(&superblock), sizeof(superblock)}, false);
}

/// The superblock may be among what was replayed: it is changed where it lies.
Result<void> mark_recovered(mm::FileObject& device, const Superblock& before) {
    mm::PageRef page = TRY(device.get_page(0, arch::Access::Write));
    auto& superblock = *reinterpret_cast<Superblock*>(page.data<u8>() + superblock_offset);
    const bool has_checksum = (superblock.feature_ro_compat & ro_compat_metadata_checksum) != 0;
    if (has_checksum && checksum_of(superblock) != superblock.checksum) return error(Errno::EBADMSG);
    superblock.feature_incompat &= ~incompat_recover;
    keep_errors(before, superblock);
    if (has_checksum) superblock.checksum = checksum_of(superblock);
    mm::note_dirty(*page);
    return {};
}

} // namespace

bool has_log_to_replay(Volume& volume) {
    const auto file = JournalFile::open(volume);
    return file && (*file)->superblock.start != 0;
}

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
    TRY(store()); // first: Linux throws away a log that no mark tells of
    TRY(mark_recovered(device, volume.superblock()));
    return store();
}

} // namespace linnet::ext4
