// Removing names: unlink and rmdir.
#include "attribute_rules.hpp"
#include "name_rules.hpp"

#include <vfs/mount.hpp>
#include <vfs/watches.hpp>

namespace linnet::vfs {

Result<void> may_remove(const Path& directory, const Dentry& victim, const Credentials& who) {
    TRY(check_writable(directory));
    const Inode& parent = *directory.inode();
    TRY(directory.inode()->check_permission(may_write | may_execute, who));
    if (parent.is_append_only() || victim.inode()->is_protected()) return error(Errno::EPERM);
    if ((parent.mode() & abi::S_ISVTX) && who.fsuid != victim.inode()->uid() && who.fsuid != parent.uid() &&
        !who.has(Capability::Fowner))
        return error(Errno::EPERM);
    if (victim.is_mountpoint()) return error(Errno::EBUSY);
    return {};
}

namespace {

/// In the order of Linux: where nobody has it open, it ends before its directory loses the name. The directory is
/// locked, so that those who watch hear of its changes in their order.
void tell_of_removal(Inode& directory, std::string_view name, Dentry& victim) {
    if (!is_anything_watched()) return;
    Inode& inode = *victim.inode();
    if (!inode.is_directory()) tell_watches(inode, abi::IN_ATTRIB); // its number of links
    if (victim.ref_count() == 1 && inode.link_count() == 0) WatchTable::inode_removed(inode);
    tell_watches(directory, {.bits = abi::IN_DELETE, .is_about_directory = inode.is_directory(), .name = name});
}

} // namespace

Result<void> unlink(LookupStart start, std::string_view path) {
    ParentPath parent = TRY(lookup_parent(start, path));
    if (parent.kind != LastComponent::Name) return error(Errno::EISDIR);
    TRY(check_name_length(parent.directory, parent.name));
    Inode& directory = *parent.directory.inode();
    // Declared before the guard: the last reference to a removed inode goes when the directory is free again.
    NullableRefPtr<Dentry> dentry;
    core::WriteGuard guard(directory.lock);
    dentry = TRY(DentryCache::find_or_load_locked(*parent.directory.dentry, parent.name, NameHash::of(parent.name)));
    Inode* victim = dentry->inode();
    if (!victim) return error(Errno::ENOENT);
    if (parent.trailing_slash) return error(victim->is_directory() ? Errno::EISDIR : Errno::ENOTDIR);
    TRY(may_remove(parent.directory, *dentry, current_credentials()));
    if (victim->is_directory()) return error(Errno::EISDIR);
    core::WriteGuard victim_guard(victim->lock);
    if (dentry->is_mountpoint()) return error(Errno::EBUSY); // which it may have become meanwhile
    TRY(directory.unlink(parent.name, *victim));
    DentryCache::forget_removed(*dentry);
    tell_of_removal(directory, parent.name, *dentry);
    return {};
}

Result<void> remove_directory(LookupStart start, std::string_view path) {
    ParentPath parent = TRY(lookup_parent(start, path));
    switch (parent.kind) {
    case LastComponent::Name:
        break;
    case LastComponent::Dot:
        return error(Errno::EINVAL);
    case LastComponent::DotDot:
        return error(Errno::ENOTEMPTY);
    case LastComponent::Root:
        return error(Errno::EBUSY);
    }
    TRY(check_name_length(parent.directory, parent.name));
    Inode& directory = *parent.directory.inode();
    NullableRefPtr<Dentry> dentry;
    core::WriteGuard guard(directory.lock);
    dentry = TRY(DentryCache::find_or_load_locked(*parent.directory.dentry, parent.name, NameHash::of(parent.name)));
    Inode* victim = dentry->inode();
    if (!victim) return error(Errno::ENOENT);
    TRY(may_remove(parent.directory, *dentry, current_credentials()));
    if (!victim->is_directory()) return error(Errno::ENOTDIR);
    core::WriteGuard victim_guard(victim->lock);
    if (dentry->is_mountpoint()) return error(Errno::EBUSY); // which it may have become meanwhile
    TRY(directory.remove_directory(parent.name, *victim));
    DentryCache::forget_removed(*dentry);
    tell_of_removal(directory, parent.name, *dentry);
    return {};
}

} // namespace linnet::vfs
