// What the reader and the writer of a journal share: its superblock, and how tags and checksums are laid out by its
// features.
#pragma once

#include "journal_layout.hpp"
#include "volume.hpp"

#include <optional>
#include <span>

namespace linnet::ext4 {

/// How blocks of the log look.
class JournalFormat {
public:
    /// A block that follows in the log, as a descriptor speaks of it.
    struct Tag {
        u64 block = 0; // where it belongs
        u32 flags = 0;
        u32 checksum = 0; // as data_checksum() gives it; 0 without checksums
        usize length = 0; // of the tag itself; not asked for by put_tag()
    };

    JournalFormat() = default;
    explicit JournalFormat(const JournalSuperblock& superblock);

    [[nodiscard]] bool has(u32 feature) const { return (features_ & feature) != 0; }
    [[nodiscard]] bool has_checksums() const { return has(journal_checksum_v2 | journal_checksum_v3); }
    /// What tags or revoked numbers may fill of a descriptor or a block of revokes.
    [[nodiscard]] usize end_of_room() const { return block_size_ - (has_checksums() ? sizeof(u32) : 0); }
    [[nodiscard]] usize revoke_length() const { return has(journal_64bit) ? 8 : 4; }
    /// How many blocks one descriptor speaks of, and one block of revokes.
    [[nodiscard]] usize tags_in_block() const;
    [[nodiscard]] usize revokes_in_block() const { return (end_of_room() - sizeof(RevokeHeader)) / revoke_length(); }

    /// The tag at `offset` of a descriptor; nothing where there is no room for one.
    [[nodiscard]] std::optional<Tag> tag_at(std::span<const u8> bytes, usize offset) const;
    /// Writes a tag, with the journal's own UUID behind it where its flags don't say tag_same_uuid; where it ends.
    usize put_tag(std::span<u8> bytes, usize offset, const Tag& tag) const;

    /// Of a block of data as it lies in the log, for its tag.
    [[nodiscard]] u32 data_checksum(u32 sequence, std::span<const u8> bytes) const;
    /// Whether the block's own checksum is right: in the last word, or in a commit block's header.
    [[nodiscard]] bool is_whole(std::span<const u8> bytes, JournalBlock type) const;
    /// Puts it there.
    void seal(std::span<u8> bytes, JournalBlock type) const;

private:
    [[nodiscard]] usize tag_length() const;
    [[nodiscard]] u32 block_checksum(std::span<const u8> bytes, usize place) const;

    u32 features_ = 0; // JournalSuperblock.feature_incompat
    u32 block_size_ = 0;
    u32 checksum_seed_ = 0;
    u8 uuid_[16] = {};
};

/// The checksum that a journal's superblock should have.
u32 checksum_of(const JournalSuperblock& superblock);

/// The journal of a volume, in its inode.
struct JournalFile {
    DiskInode inode;
    JournalSuperblock superblock{};
    JournalFormat format;
    u32 end = 0; // the log's blocks are [superblock.first, end)

    /// EOPNOTSUPP: it is on another device, or has unknown features. EUCLEAN, EBADMSG, EIO, ENOMEM, EINTR.
    static Result<OwnPtr<JournalFile>> open(Volume& volume);
    [[nodiscard]] u32 behind(u32 block) const { return block + 1 < end ? block + 1 : u32{superblock.first}; }
};

} // namespace linnet::ext4
