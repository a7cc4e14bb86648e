// Tags, checksums and the superblock of a journal.
#include "journal_format.hpp"

#include "block_map.hpp"

#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

constexpr u32 known_features = journal_revoke | journal_64bit | journal_async_commit | journal_checksum_v2 |
                               journal_checksum_v3 | journal_fast_commit;
constexpr usize uuid_bytes = 16;

template <typename T>
void put(std::span<u8> bytes, usize offset, const T& value) {
    std::memcpy(bytes.data() + offset, &value, sizeof(value));
}

usize place_of_checksum(std::span<const u8> bytes, JournalBlock type) {
    return type == JournalBlock::Commit ? offsetof(CommitHeader, checksum) : bytes.size() - sizeof(u32);
}

} // namespace

JournalFormat::JournalFormat(const JournalSuperblock& superblock)
    : features_(superblock.feature_incompat), block_size_(superblock.block_size),
      checksum_seed_(crc32c(~0u, superblock.uuid)) {
    std::memcpy(uuid_, superblock.uuid, sizeof(uuid_));
}

usize JournalFormat::tag_length() const {
    if (has(journal_checksum_v3)) return sizeof(JournalTag3);
    return sizeof(JournalTag) + (has(journal_checksum_v2) ? 2 : 0) - (has(journal_64bit) ? 0 : 4);
}

usize JournalFormat::tags_in_block() const {
    // Room for one more UUID stays free behind the last, as Linux leaves it.
    return (end_of_room() - sizeof(JournalHeader) - 2 * uuid_bytes) / tag_length();
}

std::optional<JournalFormat::Tag> JournalFormat::tag_at(std::span<const u8> bytes, usize offset) const {
    Tag tag;
    tag.length = tag_length();
    if (offset + sizeof(JournalTag3) > bytes.size() || offset + tag.length > end_of_room()) return std::nullopt;
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

usize JournalFormat::put_tag(std::span<u8> bytes, usize offset, const Tag& tag) const {
    const auto low = static_cast<u32>(tag.block), high = static_cast<u32>(tag.block >> 32);
    if (has(journal_checksum_v3)) {
        put(bytes, offset, JournalTag3{low, tag.flags, has(journal_64bit) ? high : 0, tag.checksum});
    } else {
        const JournalTag raw{low, static_cast<u16>(tag.checksum), static_cast<u16>(tag.flags), high};
        std::memcpy(bytes.data() + offset, &raw, has(journal_64bit) ? sizeof(raw) : offsetof(JournalTag, block_high));
    }
    offset += tag_length();
    if (tag.flags & tag_same_uuid) return offset;
    std::memcpy(bytes.data() + offset, uuid_, sizeof(uuid_));
    return offset + sizeof(uuid_);
}

u32 JournalFormat::data_checksum(u32 sequence, std::span<const u8> bytes) const {
    if (!has_checksums()) return 0;
    const BigEndian<u32> on_disk_sequence = sequence;
    const u32 value = crc32c(crc32c_of(checksum_seed_, on_disk_sequence), bytes);
    return has(journal_checksum_v3) ? value : value & 0xffff;
}

u32 JournalFormat::block_checksum(std::span<const u8> bytes, usize place) const {
    u32 value = crc32c(checksum_seed_, bytes.first(place));
    value = crc32c_of(value, u32{0});
    return crc32c(value, bytes.subspan(place + sizeof(u32)));
}

bool JournalFormat::is_whole(std::span<const u8> bytes, JournalBlock type) const {
    if (!has_checksums()) return true;
    const usize place = place_of_checksum(bytes, type);
    return block_checksum(bytes, place) == object_at<BigEndian<u32>>(bytes, place);
}

void JournalFormat::seal(std::span<u8> bytes, JournalBlock type) const {
    if (!has_checksums()) return;
    const usize place = place_of_checksum(bytes, type);
    put(bytes, place, BigEndian<u32>(block_checksum(bytes, place)));
}

u32 checksum_of(const JournalSuperblock& superblock) {
    constexpr usize place = offsetof(JournalSuperblock, checksum);
    const std::span<const u8> bytes(reinterpret_cast<const u8*>(&superblock), sizeof(superblock));
    const u32 value = crc32c_of(crc32c(~0u, bytes.first(place)), u32{0});
    return crc32c(value, bytes.subspan(place + sizeof(u32)));
}

Result<OwnPtr<JournalFile>> JournalFile::open(Volume& volume) {
    const Superblock& on_disk = volume.superblock();
    if (!(on_disk.feature_compat & compat_has_journal) || on_disk.journal_inode == 0) return error(Errno::EOPNOTSUPP);
    auto file = TRY(try_make<JournalFile>());
    file->inode = TRY(volume.read_reserved_inode(on_disk.journal_inode));
    const Block first = TRY(read_file_block(volume, file->inode, 0));
    JournalSuperblock& journal = file->superblock;
    std::memcpy(&journal, first.bytes().data(), sizeof(journal));
    const auto type = static_cast<JournalBlock>(u32{journal.header.type});
    if (journal.header.magic != journal_magic || type != JournalBlock::SuperblockWithFeatures)
        return error(Errno::EUCLEAN);
    if (journal.block_size != volume.block_size()) return error(Errno::EUCLEAN);
    if (journal.feature_incompat & ~known_features) return error(Errno::EOPNOTSUPP);
    file->format = JournalFormat(journal);
    const JournalFormat& format = file->format;
    if (format.has(journal_checksum_v2) && format.has(journal_checksum_v3)) return error(Errno::EUCLEAN);
    const u32 fast = format.has(journal_fast_commit) ? u32{journal.fast_commit_blocks} : 0;
    const u32 blocks = journal.blocks;
    if (blocks > file->inode.size() >> volume.block_shift() || fast >= blocks) return error(Errno::EUCLEAN);
    file->end = blocks - fast;
    if (journal.first == 0 || journal.first >= file->end || journal.start >= file->end) return error(Errno::EUCLEAN);
    if (format.has_checksums() && checksum_of(journal) != journal.checksum) return error(Errno::EBADMSG);
    return file;
}

} // namespace linnet::ext4
