// tmpfs inodes other than directories: data, symlinks, extended attributes.
#include "tmpfs_superblock.hpp"

#include <abi/linux/fcntl.hpp>
#include <abi/linux/fs.hpp>
#include <algorithm>
#include <cstring>
#include <mm/statistics.hpp>

namespace linnet::fs {

TmpfsInode::TmpfsInode(TmpfsSuperBlock& superblock, const vfs::CreateRequest& request)
    : Inode(superblock, superblock.next_inode_number(), request.mode, request.uid, request.gid, request.device),
      accounting_(superblock.accounting()) {}

TmpfsInode::~TmpfsInode() {
    if (has_handle) tmpfs().forget_handle(*this);
    accounting_->inodes.give_back(1);
}

TmpfsSuperBlock& TmpfsInode::tmpfs() const { return static_cast<TmpfsSuperBlock&>(superblock()); }

Result<vfs::Attributes> TmpfsInode::attributes() {
    vfs::Attributes result = TRY(Inode::attributes());
    result.known_attribute_flags = abi::STATX_ATTR_IMMUTABLE | abi::STATX_ATTR_APPEND | abi::STATX_ATTR_NODUMP;
    result.attribute_flags |= flags() & result.known_attribute_flags; // which have the numbers of the flags
    return result;
}

Result<void> TmpfsInode::change_flags(u32 wanted) {
    constexpr u32 known = abi::FS_IMMUTABLE_FL | abi::FS_APPEND_FL | abi::FS_NODUMP_FL | abi::FS_NOATIME_FL;
    if (wanted & ~known) return error(Errno::EOPNOTSUPP);
    set_flags(wanted);
    return {};
}

ExtendedAttribute* TmpfsInode::find_attribute(std::string_view name) {
    for (ExtendedAttribute& attribute : attributes_)
        if (attribute.view() == name) return &attribute;
    return nullptr;
}

Result<usize> TmpfsInode::get_extended_attribute(std::string_view name, std::span<u8> value) {
    ExtendedAttribute* attribute = find_attribute(name);
    if (!attribute) return error(Errno::ENODATA);
    usize size = attribute->value.size();
    if (value.empty()) return size;
    if (size > value.size()) return error(Errno::ERANGE);
    std::memcpy(value.data(), attribute->value.begin(), size);
    return size;
}

Result<void> TmpfsInode::set_extended_attribute(std::string_view name, std::span<const u8> value, u32 flags) {
    // What one inode may hold, so that attributes, which no quota counts, can't fill memory.
    constexpr usize most_attributes = 64;
    constexpr usize most_bytes = 128 * 1024;
    ExtendedAttribute* existing = find_attribute(name);
    if (existing && (flags & abi::XATTR_CREATE)) return error(Errno::EEXIST);
    if (!existing && (flags & abi::XATTR_REPLACE)) return error(Errno::ENODATA);
    usize held = value.size();
    for (const ExtendedAttribute& attribute : attributes_)
        if (&attribute != existing) held += attribute.value.size();
    if (held > most_bytes || (!existing && attributes_.size() >= most_attributes)) return error(Errno::ENOSPC);

    ArrayList<u8> bytes;
    TRY(bytes.try_resize(value.size()));
    std::memcpy(bytes.begin(), value.data(), value.size());
    if (existing) {
        existing->value = std::move(bytes);
    } else {
        ExtendedAttribute fresh;
        TRY(fresh.name.try_resize(name.size()));
        std::memcpy(fresh.name.begin(), name.data(), name.size());
        fresh.value = std::move(bytes);
        TRY(attributes_.try_push(std::move(fresh)));
    }
    touch_changed();
    return {};
}

Result<usize> TmpfsInode::list_extended_attributes(std::span<char> names) {
    usize size = 0;
    for (const ExtendedAttribute& attribute : attributes_) size += attribute.name.size() + 1;
    if (names.empty()) return size;
    if (size > names.size()) return error(Errno::ERANGE);
    char* out = names.data();
    for (const ExtendedAttribute& attribute : attributes_) {
        std::memcpy(out, attribute.name.begin(), attribute.name.size());
        out += attribute.name.size();
        *out++ = '\0';
    }
    return size;
}

Result<void> TmpfsInode::remove_extended_attribute(std::string_view name) {
    for (usize i = 0; i < attributes_.size(); ++i)
        if (attributes_[i].view() == name) {
            attributes_.remove_at(i);
            touch_changed();
            return {};
        }
    return error(Errno::ENODATA);
}

Result<RefPtr<TmpfsFile>> TmpfsFile::create(TmpfsSuperBlock& superblock, const vfs::CreateRequest& request) {
    auto object = TRY(MemoryObject::create(superblock.accounting(), superblock.home()));
    auto* file = new (std::nothrow) TmpfsFile(superblock, request, std::move(object));
    if (!file) return error(Errno::ENOMEM);
    return adopt_ref(*file);
}

Result<void> TmpfsFile::truncate(u64 size) {
    set_size(size);
    object_->set_size(size);
    object_->settle();
    return {};
}

/// Makes pages for whole [begin, end), all or an error; what is there already stays.
Result<void> TmpfsFile::allocate_pages(u64 begin, u64 end) {
    u64 first = begin >> arch::page_shift;
    u64 last = divide_up<u64>(end, arch::page_size);
    // Nothing is begun that can't be finished: neither the file system's room nor the machine's memory.
    u64 room = std::min(tmpfs().accounting()->pages.available(), mm::memory_statistics().available);
    if (last - first > room + object_->resident_pages()) return error(Errno::ENOSPC);
    for (u64 index = first; index < last; ++index)
        mm::PageRef page = TRY(object_->get_page(index, arch::Access::Write));
    return {};
}

Result<void> TmpfsFile::allocate_range(u32 mode, u64 offset, u64 length) {
    u64 end = offset + length;
    if (mode & (abi::FALLOC_FL_COLLAPSE_RANGE | abi::FALLOC_FL_INSERT_RANGE | abi::FALLOC_FL_UNSHARE_RANGE))
        return error(Errno::EOPNOTSUPP);
    if (mode & (abi::FALLOC_FL_PUNCH_HOLE | abi::FALLOC_FL_ZERO_RANGE)) {
        object_->punch_hole(offset, end);
        object_->settle();
    }
    if (mode & abi::FALLOC_FL_PUNCH_HOLE) return {};
    auto allocated = allocate_pages(offset, end);
    if (allocated && !(mode & abi::FALLOC_FL_KEEP_SIZE) && end > size()) {
        object_->set_size(end);
        set_size(end);
    }
    return allocated;
}

Result<u64> TmpfsFile::seek_data(u64 offset) {
    u64 end = size();
    if (offset >= end) return error(Errno::ENXIO);
    u64 index = object_->next_resident(offset >> arch::page_shift);
    if (index >= divide_up<u64>(end, arch::page_size)) return error(Errno::ENXIO);
    return std::max(offset, index << arch::page_shift);
}

Result<u64> TmpfsFile::seek_hole(u64 offset) {
    u64 end = size();
    if (offset >= end) return error(Errno::ENXIO);
    u64 index = offset >> arch::page_shift;
    u64 last = divide_up<u64>(end, arch::page_size);
    while (index < last && object_->next_resident(index) == index) ++index;
    return std::min(end, std::max(offset, index << arch::page_shift));
}

Result<RefPtr<TmpfsSymlink>> TmpfsSymlink::create(TmpfsSuperBlock& superblock, const vfs::CreateRequest& request) {
    OwnPtr<char[]> target(new (std::nothrow) char[request.link_target.size() + 1]);
    if (!target) return error(Errno::ENOMEM);
    std::memcpy(target.get(), request.link_target.data(), request.link_target.size());
    auto* link = new (std::nothrow) TmpfsSymlink(superblock, request, std::move(target));
    if (!link) return error(Errno::ENOMEM);
    return adopt_ref(*link);
}

} // namespace linnet::fs
