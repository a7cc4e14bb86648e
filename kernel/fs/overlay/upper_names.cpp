// Changes of names in the upper layer.
#include "upper_names.hpp"

#include <abi/linux/fcntl.hpp>
#include <vfs/superblock.hpp>

namespace linnet::overlay {

using vfs::Dentry;
using vfs::DentryCache;
using vfs::Inode;
using vfs::NameHash;

namespace {

Result<void> check_writable(Dentry& directory) {
    return directory.superblock().is_read_only() ? error(Errno::EROFS) : Result<void>{};
}

/// Locks two inodes in the order given; null and equal ones are skipped.
class TwoLocks {
public:
    TwoLocks(Inode* first, Inode* second) : first_(first), second_(second == first ? nullptr : second) {
        if (first_) first_->lock.lock();
        if (second_) second_->lock.lock();
    }
    ~TwoLocks() {
        if (second_) second_->lock.unlock();
        if (first_) first_->lock.unlock();
    }
    TwoLocks(const TwoLocks&) = delete;

private:
    Inode* first_;
    Inode* second_;
};

/// The name as it is now, which must lead to `expected`. Directory locked.
Result<RefPtr<Dentry>> find_expected(Dentry& directory, std::string_view name, const Inode* expected) {
    auto dentry = TRY(DentryCache::find_or_load_locked(directory, name, NameHash::of(name)));
    if (dentry->inode() != expected) return error(Errno::ESTALE);
    if (dentry->is_mountpoint()) return error(Errno::EBUSY);
    return dentry;
}

} // namespace

vfs::CreateRequest whiteout_request() {
    vfs::CreateRequest request;
    request.mode = abi::S_IFCHR;
    return request;
}

Result<RefPtr<Dentry>> make_name(Dentry& directory, std::string_view name, const vfs::CreateRequest& request) {
    TRY(check_writable(directory));
    core::WriteGuard guard(directory.inode()->lock);
    auto dentry = TRY(DentryCache::find_or_load_locked(directory, name, NameHash::of(name)));
    if (dentry->inode()) return error(Errno::EEXIST);
    DentryCache::instantiate(dentry, TRY(directory.inode()->create(name, request)));
    return dentry;
}

Result<RefPtr<Dentry>> link_name(Dentry& directory, std::string_view name, Inode& target) {
    TRY(check_writable(directory));
    core::WriteGuard guard(directory.inode()->lock);
    auto dentry = TRY(DentryCache::find_or_load_locked(directory, name, NameHash::of(name)));
    if (dentry->inode()) return error(Errno::EEXIST);
    core::WriteGuard target_guard(target.lock);
    TRY(directory.inode()->link(name, target));
    DentryCache::instantiate(dentry, RefPtr<Inode>(target));
    return dentry;
}

Result<void> remove_name(Dentry& directory, std::string_view name, Inode& victim) {
    TRY(check_writable(directory));
    // Declared before the guards: the last reference goes when the directory is free again.
    NullableRefPtr<Dentry> dentry;
    core::WriteGuard guard(directory.inode()->lock);
    dentry = TRY(find_expected(directory, name, &victim));
    core::WriteGuard victim_guard(victim.lock);
    if (victim.is_directory())
        TRY(directory.inode()->remove_directory(name, victim));
    else
        TRY(directory.inode()->unlink(name, victim));
    DentryCache::forget_removed(*dentry);
    return {};
}

Result<void> move_name(const NameMove& move) {
    TRY(check_writable(move.from));
    const bool exchange = (move.flags & abi::RENAME_EXCHANGE) != 0;
    NullableRefPtr<Dentry> moved, replaced;
    core::MutexGuard shape_guard(move.from.superblock().rename_lock);
    Inode* first = move.from.inode();
    Inode* second = move.to.inode();
    const bool second_above = move.from.is_same_or_below(move.to);
    const bool first_above = move.to.is_same_or_below(move.from);
    if (second_above || (!first_above && second < first)) std::swap(first, second);
    const TwoLocks directories(first, second);

    moved = TRY(find_expected(move.from, move.old_name, &move.moved));
    replaced = TRY(find_expected(move.to, move.new_name, move.replaced));
    if (move.to.is_same_or_below(*moved)) return error(Errno::EINVAL);
    if (replaced->inode() && move.from.is_same_or_below(*replaced)) return error(Errno::ENOTEMPTY);
    Inode* low = move.moved.is_directory() ? nullptr : &move.moved;
    Inode* high = move.replaced;
    if (high && high->is_directory() && exchange) high = nullptr;
    if (low && high && high < low) std::swap(low, high);
    const TwoLocks objects(low, high);
    const vfs::CreateRequest whiteout = whiteout_request();
    TRY(move.from.inode()->rename({move.old_name, move.moved, *move.to.inode(), move.new_name, move.replaced,
                                   move.flags, move.flags & abi::RENAME_WHITEOUT ? &whiteout : nullptr}));
    DentryCache::rename(*moved, *replaced, move.flags);
    return {};
}

} // namespace linnet::overlay
