// Attributes, symlinks and directories.
#include "inode.hpp"

#include "attributes.hpp"
#include "directory.hpp"
#include "ext4_superblock.hpp"

#include <abi/linux/stat.hpp>
#include <cstring>

namespace linnet::fs {

using ext4::DiskInode;
using ext4::RawInode;

namespace {

/// The number of a device: in the first word as it once was, in the second as it is now.
vfs::DeviceNumber device_of(const DiskInode& disk) {
    if (!abi::S_ISCHR(disk.raw.mode) && !abi::S_ISBLK(disk.raw.mode)) return {};
    u32 words[2];
    std::memcpy(words, disk.raw.block, sizeof(words));
    if (words[0]) return {words[0] >> 8 & 0xff, words[0] & 0xff};
    return {words[1] >> 8 & 0xfff, (words[1] & 0xff) | (words[1] >> 12 & 0xf'ff00)};
}

/// `extra` has two more bits of the seconds and, above them, the nanoseconds.
vfs::Timestamp time_of(u32 seconds, u32 extra) {
    constexpr u32 epoch_bits = 2;
    const i64 epoch = extra & ((1u << epoch_bits) - 1);
    return {static_cast<i32>(seconds) + (epoch << 32), extra >> epoch_bits};
}

template <auto Field>
u32 extra_of(const DiskInode& disk, usize place) {
    return disk.reaches(place + sizeof(u32)) ? disk.raw.*Field : 0;
}

} // namespace

Ext4Inode::Ext4Inode(Ext4SuperBlock& superblock, DiskInode disk)
    : Inode(superblock, disk.number, disk.raw.mode, disk.raw.uid_low | u32{disk.raw.uid_high} << 16,
            disk.raw.gid_low | u32{disk.raw.gid_high} << 16, device_of(disk)),
      disk_(std::move(disk)) {
    const RawInode& raw = disk_.raw;
    set_link_count(raw.link_count);
    set_size(disk_.size());
    access_time_.store(
        time_of(raw.access_time, extra_of<&RawInode::access_time_extra>(disk_, offsetof(RawInode, access_time_extra))));
    modify_time_.store(
        time_of(raw.modify_time, extra_of<&RawInode::modify_time_extra>(disk_, offsetof(RawInode, modify_time_extra))));
    change_time_.store(
        time_of(raw.change_time, extra_of<&RawInode::change_time_extra>(disk_, offsetof(RawInode, change_time_extra))));
    birth_time_ = {};
    if (disk_.reaches(offsetof(RawInode, birth_time) + sizeof(u32)))
        birth_time_ =
            time_of(raw.birth_time, extra_of<&RawInode::birth_time_extra>(disk_, offsetof(RawInode, birth_time_extra)));
}

Ext4Inode::~Ext4Inode() { ext4().forget(*this); }

Ext4SuperBlock& Ext4Inode::ext4() const { return static_cast<Ext4SuperBlock&>(superblock()); }

Result<RefPtr<Ext4Inode>> Ext4Inode::create(Ext4SuperBlock& superblock, DiskInode disk) {
    const u32 mode = disk.raw.mode;
    const bool has_blocks = abi::S_ISREG(mode) || abi::S_ISDIR(mode);
    if (has_blocks && !disk.has(ext4::inode_inline_data)) TRY(ext4::check_block_map(disk));
    Ext4Inode* inode = nullptr;
    switch (mode & abi::S_IFMT) {
    case abi::S_IFREG: {
        auto* file = new (std::nothrow) Ext4File(superblock, std::move(disk));
        if (!file) return error(Errno::ENOMEM);
        RefPtr<Ext4Inode> result = RefPtr<Ext4Inode>::adopt(*file);
        TRY(file->start());
        return result;
    }
    case abi::S_IFDIR:
        inode = new (std::nothrow) Ext4Directory(superblock, std::move(disk));
        break;
    case abi::S_IFLNK:
        inode = new (std::nothrow) Ext4Symlink(superblock, std::move(disk));
        break;
    case abi::S_IFCHR:
    case abi::S_IFBLK:
    case abi::S_IFIFO:
    case abi::S_IFSOCK:
        inode = new (std::nothrow) Ext4Inode(superblock, std::move(disk));
        break;
    default:
        return error(Errno::EUCLEAN);
    }
    if (!inode) return error(Errno::ENOMEM);
    return RefPtr<Ext4Inode>::adopt(*inode);
}

Result<vfs::Attributes> Ext4Inode::attributes() {
    vfs::Attributes result = TRY(Inode::attributes());
    const ext4::Volume& volume = ext4().volume();
    u64 blocks = disk_.raw.blocks_low;
    if (volume.superblock().feature_ro_compat & ext4::ro_compat_huge_file) {
        blocks |= u64{disk_.raw.blocks_high} << 32;
        if (disk_.has(ext4::inode_huge_file)) blocks <<= volume.block_shift() - 9;
    }
    result.blocks = blocks;
    if (disk_.has(ext4::inode_immutable)) result.attribute_flags |= abi::STATX_ATTR_IMMUTABLE;
    if (disk_.has(ext4::inode_append)) result.attribute_flags |= abi::STATX_ATTR_APPEND;
    if (disk_.has(ext4::inode_no_dump)) result.attribute_flags |= abi::STATX_ATTR_NODUMP;
    return result;
}

Result<usize> Ext4Inode::get_extended_attribute(std::string_view name, std::span<u8> value) {
    Result<usize> found = error(Errno::ENODATA);
    TRY(ext4::list_attributes(ext4().volume(), disk_, [&](const ext4::Attribute& attribute) {
        const usize prefix = attribute.prefix.size();
        if (name.substr(0, prefix) != attribute.prefix || name.substr(prefix) != attribute.name) return true;
        if (!value.empty() && attribute.value.size() > value.size())
            found = error(Errno::ERANGE);
        else
            found = attribute.value.size();
        if (found && !value.empty()) std::memcpy(value.data(), attribute.value.data(), attribute.value.size());
        return false;
    }));
    return found;
}

Result<usize> Ext4Inode::list_extended_attributes(std::span<char> names) {
    usize size = 0;
    TRY(ext4::list_attributes(ext4().volume(), disk_, [&](const ext4::Attribute& attribute) {
        const usize length = attribute.prefix.size() + attribute.name.size() + 1;
        if (size + length <= names.size()) {
            char* out = names.data() + size;
            std::memcpy(out, attribute.prefix.data(), attribute.prefix.size());
            std::memcpy(out + attribute.prefix.size(), attribute.name.data(), attribute.name.size());
            out[length - 1] = '\0';
        }
        size += length;
        return true;
    }));
    if (!names.empty() && size > names.size()) return error(Errno::ERANGE);
    return size;
}

Result<vfs::LinkTarget> Ext4Symlink::read_link() {
    const u64 length = size();
    const auto* inside = reinterpret_cast<const char*>(disk().raw.block);
    if (length == 0 || length > ext4().volume().block_size()) return error(Errno::EUCLEAN);
    if (length < ext4::inode_block_bytes) return vfs::LinkTarget{{inside, length}, nullptr};
    OwnPtr<char[]> text(new (std::nothrow) char[length]);
    if (!text) return error(Errno::ENOMEM);
    if (disk().has(ext4::inode_inline_data)) {
        const auto rest = TRY(ext4::inline_data_behind_inode(disk()));
        if (rest.size() < length - ext4::inode_block_bytes) return error(Errno::EUCLEAN);
        std::memcpy(text.get(), inside, ext4::inode_block_bytes);
        std::memcpy(text.get() + ext4::inode_block_bytes, rest.data(), length - ext4::inode_block_bytes);
    } else {
        const ext4::Block block = TRY(ext4::read_file_block(ext4().volume(), disk(), 0));
        std::memcpy(text.get(), block.bytes().data(), length);
    }
    const std::string_view view(text.get(), length);
    return vfs::LinkTarget{view, std::move(text)};
}

Result<RefPtr<vfs::Inode>> Ext4Directory::lookup(std::string_view name) {
    const u32 number = TRY(ext4::Directory(ext4().volume(), disk()).find(name));
    return RefPtr<vfs::Inode>(TRY(ext4().inode(number)));
}

Result<void> Ext4Directory::read_directory(u64 position, vfs::DirectorySink sink) {
    constexpr u8 types[] = {abi::DT_UNKNOWN, abi::DT_REG,  abi::DT_DIR,  abi::DT_CHR,
                            abi::DT_BLK,     abi::DT_FIFO, abi::DT_SOCK, abi::DT_LNK};
    const u64 start = position <= 2 ? 0 : position;
    return ext4::Directory(ext4().volume(), disk()).list(start, [&](const ext4::Entry& entry) {
        const u8 type = entry.type < std::size(types) ? types[entry.type] : u8{abi::DT_UNKNOWN};
        return sink({entry.name, entry.inode, type, entry.position});
    });
}

} // namespace linnet::fs
