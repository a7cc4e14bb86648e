// From handles to places in the tree.
#include "dentry_sequence.hpp"

#include <abi/linux/fs.hpp>
#include <cstring>
#include <vfs/file_handle.hpp>
#include <vfs/mount.hpp>

namespace linnet::vfs {

namespace {

/// The name of `child` in the directory, looked up. ESTALE when it has none there.
Result<RefPtr<Dentry>> name_in(Dentry& directory, Inode& child) {
    char name[abi::NAME_MAX];
    usize length = 0;
    Inode& parent = *directory.inode();
    {
        core::ReadGuard guard(parent.lock);
        constexpr u64 start = 2;
        TRY(parent.read_directory(start, [&](const DirectoryEntry& entry) {
            if (entry.inode != child.number() || entry.name.size() > sizeof name) return true;
            std::memcpy(name, entry.name.data(), entry.name.size());
            length = entry.name.size();
            return false;
        }));
    }
    if (length == 0) return error(Errno::ESTALE);
    const std::string_view text(name, length);
    RefPtr<Dentry> found = TRY(DentryCache::find_or_load(directory, text, NameHash::of(text)));
    if (found->inode() != &child) return error(Errno::ESTALE); // renamed meanwhile
    return found;
}

/// Goes up to a directory whose place is known, which may be the root, and down again by the names.
Result<RefPtr<Dentry>> connect(RefPtr<Inode> directory) {
    constexpr usize deepest = abi::PATH_MAX / 2; // on a damaged disk the way may be a circle
    ArrayList<RefPtr<Inode>> way;
    NullableRefPtr<Dentry> place;
    for (;;) {
        place = Dentry::any_of(*directory);
        if (place && (place->is_connected() || way.size() == 0)) break;
        if (way.size() == deepest) return error(Errno::ESTALE);
        TRY(way.try_push(directory));
        directory = TRY(directory->parent_directory());
    }
    while (way.size() != 0) place = TRY(name_in(*place, *way.pop()));
    return RefPtr<Dentry>(std::move(place));
}

Result<RefPtr<Dentry>> place_of_directory(const RefPtr<Inode>& directory) {
    constexpr int attempts = 8;
    for (int i = 0;; ++i) {
        const u32 before = tree_sequence.load(std::memory_order_acquire);
        auto found = connect(directory);
        if (found || i == attempts || found.error() == Errno::ENOMEM) return found;
        // A rename in between may have hidden the way.
        if (tree_sequence.load(std::memory_order_acquire) == before) return found;
    }
}

Result<RefPtr<Dentry>> place_of_inode(const RefPtr<Inode>& inode) {
    if (inode->is_directory()) return place_of_directory(inode);
    if (auto known = Dentry::any_of(*inode)) return RefPtr<Dentry>(std::move(known));
    char name[24];
    return Dentry::create_root(inode->superblock(), inode, format_into(name, "#{}", inode->number()));
}

} // namespace

FileHandle identity_of(Inode& inode) {
    const u64 number = inode.number();
    return {FileHandle::number64_generation,
            3,
            {static_cast<u32>(number), static_cast<u32>(number >> 32), inode.generation().value_or(0)}};
}

Result<Path> find_by_handle(Mount& mount, const FileHandle& handle) {
    const RefPtr<Inode> inode = TRY(mount.superblock().inode_of(handle));
    auto place = place_of_inode(inode);
    // Whatever is wrong with the way: to programs the handle has no use.
    if (!place) return error(place.error() == Errno::ENOMEM ? Errno::ENOMEM : Errno::ESTALE);
    return Path(RefPtr<Mount>(mount), std::move(*place));
}

} // namespace linnet::vfs
