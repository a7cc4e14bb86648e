// Watches on inodes: who is told of what, and when a watch ends.
//
// A watch ends in one of three ways: its listener gives it up, the inode loses its last name and user, or the file
// system is unmounted. One lock decides which comes first. The inode of a watch that has ended is let go without the
// lock, for that may store and free much, and never behind its superblock, which nothing else would keep.
#include <vfs/watches.hpp>

#include <vfs/file.hpp>
#include <vfs/superblock.hpp>

namespace linnet::vfs {

namespace {

constinit core::Mutex all_watches;

} // namespace

// ---- the watches on one inode ----

void InodeWatches::tell(const WatchEvent& event) {
    bool has_finished = false;
    {
        core::MutexGuard guard(lock_);
        for (Watch& watch : list_) {
            if (!(watch.wanted() & event.bits) || watch.is_finished_) continue;
            watch.is_finished_ = watch.happened(event);
            has_finished |= watch.is_finished_;
        }
    }
    if (!has_finished) return;
    while (NullableRefPtr<Watch> watch = pop_finished()) WatchTable::end(*watch);
}

NullableRefPtr<Watch> InodeWatches::pop_finished() {
    core::MutexGuard guard(lock_);
    for (Watch& watch : list_) {
        if (!watch.is_finished_ || watch.wanted() == 0) continue;
        watch.wanted_.store(0, std::memory_order_relaxed);
        return NullableRefPtr<Watch>(&watch);
    }
    return {};
}

void InodeWatches::count_wanted() {
    u32 wanted = 0;
    for (const Watch& watch : list_) wanted |= watch.wanted();
    wanted_.store(wanted, std::memory_order_relaxed);
}

// ---- all watches ----

core::Mutex& WatchTable::lock() { return all_watches; }

Result<void> WatchTable::add(Watch& watch) {
    Inode& inode = *watch.inode_;
    InodeWatches& watches = *TRY(inode.watches());
    watch.ref();
    inode.superblock().watches.push_back(watch);
    core::MutexGuard guard(watches.lock_);
    watches.list_.push_back(watch);
    watches.count_wanted();
    detail::watch_count.fetch_add(1, std::memory_order_relaxed);
    return {};
}

void WatchTable::set_wanted(Watch& watch, u32 wanted) {
    InodeWatches& watches = *watch.inode_->existing_watches();
    core::MutexGuard guard(watches.lock_);
    watch.wanted_.store(wanted, std::memory_order_relaxed);
    watches.count_wanted();
}

Watch* WatchTable::find(Inode& inode, const void* listener) {
    InodeWatches* watches = inode.existing_watches();
    if (!watches) return nullptr;
    core::MutexGuard guard(watches->lock_);
    for (Watch& watch : watches->list_)
        if (!watch.is_finished_ && watch.listener_ == listener) return &watch;
    return nullptr;
}

/// The reference that the inode's list had is the caller's, as the one to the inode. Locked.
NullableRefPtr<Inode> WatchTable::take_off(Watch& watch, WatchEnd why) {
    NullableRefPtr<Inode> inode = std::move(watch.inode_);
    inode->superblock().watches.remove(watch);
    {
        InodeWatches& watches = *inode->existing_watches();
        core::MutexGuard guard(watches.lock_);
        watches.list_.remove(watch);
        watches.count_wanted();
    }
    detail::watch_count.fetch_sub(1, std::memory_order_relaxed);
    watch.ended(why, *inode);
    watch.unref();
    return inode;
}

void WatchTable::end(Watch& watch) {
    // In this order, so that the inode goes first.
    NullableRefPtr<SuperBlock> superblock;
    NullableRefPtr<Inode> inode;
    core::MutexGuard guard(all_watches);
    if (!watch.inode_) return;
    SuperBlock& home = watch.inode_->superblock();
    // Else superblock_gone() is about to end it.
    if (!home.try_ref()) return;
    superblock = NullableRefPtr<SuperBlock>::adopt(&home);
    inode = take_off(watch, WatchEnd::Removed);
    guard.unlock();
}

void WatchTable::inode_removed(Inode& inode) {
    InodeWatches* watches = inode.existing_watches();
    if (!watches) return;
    detail::tell_inode(inode, abi::IN_DELETE_SELF);
    core::MutexGuard guard(all_watches);
    while (Watch* watch = watches->list_.first()) take_off(*watch, WatchEnd::InodeGone);
}

void WatchTable::superblock_gone(SuperBlock& superblock) {
    for (;;) {
        NullableRefPtr<Inode> inode;
        core::MutexGuard guard(all_watches);
        Watch* watch = superblock.watches.first();
        if (!watch) return;
        inode = take_off(*watch, WatchEnd::Unmounted);
        guard.unlock();
    }
}

// ---- telling ----

void detail::tell_name(Inode& directory, const WatchEvent& event) {
    InodeWatches* watches = directory.existing_watches();
    if (watches && watches->want(event.bits)) watches->tell(event);
}

void detail::tell_inode(Inode& inode, u32 bits) {
    tell_name(inode, {.bits = bits, .is_about_directory = inode.is_directory()});
}

void detail::tell_dentry(const Dentry& dentry, u32 bits) {
    Inode& inode = *dentry.inode();
    if (!dentry.is_root()) {
        char name[256];
        usize length = 0;
        const RefPtr<Dentry> parent = dentry.parent_and_name(name, length);
        Inode* directory = parent->inode();
        InodeWatches* watches = directory ? directory->existing_watches() : nullptr;
        if (watches && watches->want(bits))
            watches->tell({.bits = bits,
                           .is_about_directory = inode.is_directory(),
                           .is_about_unlinked_name = dentry.is_unlinked(),
                           .name = {name, length}});
    }
    tell_inode(inode, bits);
}

void detail::tell_file(const File& file, u32 bits) {
    if (file.is_path_only()) return;
    if (file.path().is_empty()) return tell_inode(file.inode(), bits);
    tell_dentry(*file.path().dentry, bits);
}

} // namespace linnet::vfs
