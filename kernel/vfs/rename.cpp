// rename(2), renameat2(2).
//
// Locks: when a directory may change its parent, the superblock's rename_lock, so that no two renames can build
// a loop; for an exchange too, as a file system that locks both exchanged directories must meet no rename between
// them, which locks them in the other order; then the two directories, an ancestor first, else by address; then the
// objects that are moved or replaced: non-directories by address, a replaced directory.
#include "attribute_rules.hpp"
#include "name_rules.hpp"

#include <vfs/mount.hpp>
#include <vfs/watches.hpp>

namespace linnet::vfs {

namespace {

/// Locks of up to two inodes in the order given; null and equal ones are skipped.
class InodePairGuard {
public:
    InodePairGuard(Inode* first, Inode* second) : first_(first), second_(second == first ? nullptr : second) {
        if (first_) first_->lock.lock();
        if (second_) second_->lock.lock();
    }
    ~InodePairGuard() {
        if (second_) second_->lock.unlock();
        if (first_) first_->lock.unlock();
    }
    InodePairGuard(const InodePairGuard&) = delete;

private:
    Inode* first_;
    Inode* second_;
};

struct Rename {
    ParentPath from;
    ParentPath to;
    u32 flags;
    NullableRefPtr<Dentry> moved;
    NullableRefPtr<Dentry> replaced;

    bool exchange() const { return (flags & abi::RENAME_EXCHANGE) != 0; }
    Inode& old_directory() { return *from.directory.inode(); }
    Inode& new_directory() { return *to.directory.inode(); }
    Result<void> find_both();
    Result<void> check_shape();
    Result<void> check_rights(const Credentials& who);
    Result<void> perform();
};

Result<void> Rename::find_both() {
    moved = TRY(DentryCache::find_or_load_locked(*from.directory.dentry, from.name, NameHash::of(from.name)));
    if (!moved->inode()) return error(Errno::ENOENT);
    replaced = TRY(DentryCache::find_or_load_locked(*to.directory.dentry, to.name, NameHash::of(to.name)));
    if (replaced->inode() && (flags & abi::RENAME_NOREPLACE)) return error(Errno::EEXIST);
    if (!replaced->inode() && exchange()) return error(Errno::ENOENT);
    return {};
}

/// Slashes, loops, directories against others.
Result<void> Rename::check_shape() {
    bool moves_directory = moved->inode()->is_directory();
    if (exchange() && to.trailing_slash && !replaced->inode()->is_directory()) return error(Errno::ENOTDIR);
    if (!moves_directory && (from.trailing_slash || (to.trailing_slash && !exchange()))) return error(Errno::ENOTDIR);
    if (to.directory.dentry->is_same_or_below(*moved)) return error(Errno::EINVAL);
    if (replaced->inode() && from.directory.dentry->is_same_or_below(*replaced))
        return error(exchange() ? Errno::EINVAL : Errno::ENOTEMPTY);
    return {};
}

Result<void> Rename::check_rights(const Credentials& who) {
    TRY(may_remove(from.directory, *moved, who));
    bool moves_directory = moved->inode()->is_directory();
    if (replaced->inode()) {
        TRY(may_remove(to.directory, *replaced, who));
        bool replaces_directory = replaced->inode()->is_directory();
        if (!exchange() && moves_directory && !replaces_directory) return error(Errno::ENOTDIR);
        if (!exchange() && !moves_directory && replaces_directory) return error(Errno::EISDIR);
        if (exchange() && replaces_directory && &old_directory() != &new_directory())
            TRY(replaced->inode()->check_permission(may_write, who));
    } else {
        TRY(may_create(to.directory, who));
    }
    // Its ".." changes.
    if (moves_directory && &old_directory() != &new_directory()) TRY(moved->inode()->check_permission(may_write, who));
    return {};
}

/// One name has got to another place; `replaced` has lost its own by that, or is null.
void tell_of_move(Inode& moved, Inode& from, std::string_view old_name, Inode& to, std::string_view new_name,
                  Inode* replaced) {
    constinit static std::atomic<u32> last_cookie{0};
    const u32 cookie = last_cookie.fetch_add(1, std::memory_order_relaxed) + 1;
    const bool is_directory = moved.is_directory();
    if (&from == &to)
        tell_watches(from, {.bits = renamed_within, .is_about_directory = is_directory, .name = old_name});
    tell_watches(from,
                 {.bits = abi::IN_MOVED_FROM, .is_about_directory = is_directory, .cookie = cookie, .name = old_name});
    tell_watches(to,
                 {.bits = abi::IN_MOVED_TO, .is_about_directory = is_directory, .cookie = cookie, .name = new_name});
    if (replaced) tell_watches(*replaced, abi::IN_ATTRIB); // its number of links
    tell_watches(moved, abi::IN_MOVE_SELF);
}

Result<void> Rename::perform() {
    Inode* first = moved->inode()->is_directory() ? nullptr : moved->inode();
    Inode* second = replaced->inode();
    if (second && second->is_directory() && exchange()) second = nullptr;
    if (first && second && second < first) std::swap(first, second);
    InodePairGuard guard(first, second);
    CreateRequest whiteout;
    if (flags & abi::RENAME_WHITEOUT) whiteout = plan_whiteout(old_directory(), current_credentials());
    TRY(old_directory().rename({from.name, *moved->inode(), new_directory(), to.name, replaced->inode(), flags,
                                flags & abi::RENAME_WHITEOUT ? &whiteout : nullptr}));
    DentryCache::rename(*moved, *replaced, flags);
    if (!is_anything_watched()) return {};
    tell_of_move(*moved->inode(), old_directory(), from.name, new_directory(), to.name,
                 exchange() ? nullptr : replaced->inode());
    if (exchange()) tell_of_move(*replaced->inode(), new_directory(), to.name, old_directory(), from.name, nullptr);
    return {};
}

} // namespace

Result<void> rename(LookupStart old_start, std::string_view old_path, LookupStart new_start, std::string_view new_path,
                    u32 flags) {
    Rename rename{TRY(lookup_parent(old_start, old_path)), TRY(lookup_parent(new_start, new_path)), flags, {}, {}};
    if (rename.from.directory.mount != rename.to.directory.mount) return error(Errno::EXDEV);
    if (rename.from.kind != LastComponent::Name) return error(Errno::EBUSY);
    if (rename.to.kind != LastComponent::Name)
        return error((flags & abi::RENAME_NOREPLACE) ? Errno::EEXIST : Errno::EBUSY);
    TRY(check_name_length(rename.from.directory, rename.from.name));
    TRY(check_name_length(rename.to.directory, rename.to.name));
    TRY(check_writable(rename.from.directory));

    Inode* first = &rename.old_directory();
    Inode* second = &rename.new_directory();
    const bool locks_several = first != second || rename.exchange();
    core::Mutex* shape_lock = locks_several ? &first->superblock().rename_lock : nullptr;
    if (shape_lock) shape_lock->lock();
    ScopeGuard unlock_shape([&] {
        if (shape_lock) shape_lock->unlock();
    });
    bool second_above = rename.from.directory.dentry->is_same_or_below(*rename.to.directory.dentry);
    bool first_above = rename.to.directory.dentry->is_same_or_below(*rename.from.directory.dentry);
    if (second_above || (!first_above && second < first)) std::swap(first, second);
    InodePairGuard guard(first, second);

    TRY(rename.find_both());
    TRY(rename.check_shape());
    TRY(rename.check_rights(current_credentials()));
    if (rename.moved->inode() == rename.replaced->inode()) return {};
    return rename.perform();
}

} // namespace linnet::vfs
