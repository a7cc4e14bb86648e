// Open directories: "." and "..", then what the file system lists.
#include "directory_file.hpp"

#include "attribute_rules.hpp"

#include <vfs/superblock.hpp>

namespace linnet::vfs {

Result<RefPtr<File>> DirectoryFile::create(const Path& path, u32 flags) {
    auto* file = new (std::nothrow) DirectoryFile(path, flags);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<File>(adopt_ref(*file));
}

Result<u64> DirectoryFile::seek(u64 position, i64 offset, u32 whence) {
    i64 base = whence == abi::SEEK_SET ? 0 : static_cast<i64>(position);
    if (whence != abi::SEEK_SET && whence != abi::SEEK_CUR) return error(Errno::EINVAL);
    i64 result;
    if (__builtin_add_overflow(base, offset, &result) || result < 0) return error(Errno::EINVAL);
    return static_cast<u64>(result);
}

Result<void> DirectoryFile::read_directory(u64& position, DirectorySink sink) {
    Dentry& dentry = *path().dentry;
    core::ReadGuard guard(inode().lock);
    if (dentry.is_unlinked()) return error(Errno::ENOENT);
    note_access(path());
    auto pass_on = [&](const DirectoryEntry& entry) {
        if (!sink(entry)) return false;
        position = entry.next_position;
        return true;
    };
    if (position == 0 && !pass_on({".", inode().number(), abi::DT_DIR, 1})) return {};
    if (position == 1) {
        RefPtr<Dentry> parent = dentry.parent();
        Inode* above = parent->inode();
        if (!pass_on({"..", above ? above->number() : inode().number(), abi::DT_DIR, 2})) return {};
    }
    return inode().read_directory(position, pass_on);
}

} // namespace linnet::vfs
