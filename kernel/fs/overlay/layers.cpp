// Names in a single layer.
#include "layers.hpp"

namespace linnet::overlay {

Result<RefPtr<vfs::Dentry>> find_in_layer(vfs::Dentry& directory, std::string_view name) {
    if (name.size() > directory.superblock().max_name_length()) return error(Errno::ENAMETOOLONG);
    return vfs::DentryCache::find_or_load(directory, name, vfs::NameHash::of(name));
}

namespace {

/// "x" says that empty files with a mark are whiteouts in this directory.
Result<bool> has_marked_whiteouts(const Marks& marks, vfs::Inode& directory) {
    const Marks::Value value = TRY(marks.read(directory, mark::opaque));
    return value && value->size() == 1 && (*value)[0] == 'x';
}

} // namespace

Result<bool> is_whiteout(const Marks& marks, vfs::Dentry& directory, vfs::Inode& inode) {
    if (abi::S_ISCHR(inode.mode())) return inode.special_device() == vfs::DeviceNumber{};
    if (!inode.is_regular() || inode.size() != 0) return false;
    if (!TRY(marks.read(inode, mark::whiteout))) return false;
    return has_marked_whiteouts(marks, *directory.inode());
}

} // namespace linnet::overlay
