// Emptying the file of orphans ("ext4 Data Structures and Algorithms", orphan file).
#include "orphan_file.hpp"

#include "block_map.hpp"
#include "volume_edit.hpp"
#include <core/log.hpp>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

constexpr u32 orphan_block_magic = 0x0b10'ca04;

/// Behind the numbers of inodes in each block.
struct Tail {
    u32 magic;
    u32 checksum;
};

u32 checksum_of(const DiskInode& file, u64 number, std::span<const u8> block) {
    const u32 value = crc32c_of(file.checksum_seed, number);
    return crc32c(value, block.first(block.size() - sizeof(Tail)));
}

class OrphanFile {
public:
    OrphanFile(Volume& volume, OrphanList& orphans, const DiskInode& file)
        : volume_(volume), orphans_(orphans), file_(file) {}

    /// Some of those in a block; how many are left.
    Result<usize> move_some(u64 index, MetadataWriter& writer) {
        const Run run = TRY(map_blocks(volume_, file_, index, 1));
        if (run.kind != Run::Kind::Data) return error(Errno::EUCLEAN);
        MutableBlock block = TRY(writer.change(run.first));
        TRY(check(run.first, block.bytes()));
        constexpr usize most_moved = 16; // each in another block, and with the superblock
        usize moved = 0, left = 0;
        Result<void> done;
        for (usize at = 0; at < block.size() - sizeof(Tail); at += sizeof(u32)) {
            const u32 number = block.at<u32>(at);
            if (number == 0) continue;
            if (done && moved < most_moved) done = move(number, writer);
            if (!done || moved == most_moved) {
                ++left;
                continue;
            }
            block.at<u32>(at) = 0;
            ++moved;
        }
        seal(run.first, block);
        TRY(std::move(done));
        return left;
    }

private:
    Result<void> check(u64 number, std::span<const u8> block) const {
        const auto tail = object_at<Tail>(block, block.size() - sizeof(Tail));
        if (tail.magic != orphan_block_magic) return error(Errno::EUCLEAN);
        const bool is_right = !volume_.has_checksums() || tail.checksum == checksum_of(file_, number, block);
        return is_right ? Result<void>{} : error(Errno::EBADMSG);
    }
    void seal(u64 number, MutableBlock& block) const {
        if (!volume_.has_checksums()) return;
        block.at<Tail>(block.size() - sizeof(Tail)).checksum = checksum_of(file_, number, block.bytes());
    }
    Result<void> move(u32 number, MetadataWriter& writer) {
        if (orphans_.contains(number)) return {};
        const auto inode = volume_.read_orphan(number);
        if (!inode && (inode.error() == Errno::ENOMEM || inode.error() == Errno::EINTR)) return error(inode.error());
        if (!inode) {
            core::log_warning("EXT4-fs ({}): {} is no inode that could be an orphan", volume_.name(), number);
            return {};
        }
        InodePlace place = TRY(InodePlace::change(volume_, writer, number));
        return orphans_.add(writer, number, place);
    }

    Volume& volume_;
    OrphanList& orphans_;
    const DiskInode& file_;
};

} // namespace

Result<void> move_orphans_from_file(Volume& volume, OrphanList& orphans, Transactions run) {
    if (!(volume.superblock().feature_ro_compat & ro_compat_orphans_in_file)) return {};
    const DiskInode inode = TRY(volume.read_reserved_inode(volume.superblock().orphan_file_inode));
    OrphanFile file(volume, orphans, inode);
    const u64 blocks = inode.size() >> volume.block_shift();
    if (blocks > volume.blocks()) return error(Errno::EUCLEAN);
    for (u64 index = 0; index < blocks; ++index) {
        usize left = 1;
        while (left > 0)
            TRY(run([&](MetadataWriter& writer) -> Result<void> {
                left = TRY(file.move_some(index, writer));
                return {};
            }));
    }
    return run([&](MetadataWriter& writer) {
        return change_superblock(
            volume, writer, [](Superblock& superblock) { superblock.feature_ro_compat &= ~ro_compat_orphans_in_file; });
    });
}

} // namespace linnet::ext4
