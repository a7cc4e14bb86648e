// tmpfs directories: names in a tree by hash, and in a tree by age, which gives stable listing positions. The
// youngest entry is listed first, as Linux's tmpfs does.
#include "tmpfs_superblock.hpp"

#include <abi/linux/fcntl.hpp>
#include <cstring>

namespace linnet::fs {

namespace {

TmpfsInode& as_tmpfs(vfs::Inode& inode) { return static_cast<TmpfsInode&>(inode); }

} // namespace

/// Moves every entry to a list; the directory is empty afterwards.
void TmpfsDirectory::drop_all(TmpfsDirectory& directory, Entry*& dying) {
    directory.cookies_.clear();
    directory.names_.clear_and_dispose([&](Entry* entry) {
        if (entry->inode) directory.set_parent_of(*entry->inode, nullptr);
        entry->next_dying = dying;
        dying = entry;
    });
}

/// Only when a whole file system goes are there entries left. Subdirectories are emptied before they are
/// released, so that a deep tree doesn't recurse.
TmpfsDirectory::~TmpfsDirectory() {
    Entry* dying = nullptr;
    drop_all(*this, dying);
    while (Entry* entry = dying) {
        dying = entry->next_dying;
        if (entry->inode && entry->inode->is_directory() && entry->inode->ref_count() == 1)
            drop_all(static_cast<TmpfsDirectory&>(*entry->inode), dying);
        delete entry;
    }
}

void TmpfsDirectory::set_parent_of(vfs::Inode& child, TmpfsDirectory* parent) {
    if (!child.is_directory()) return;
    core::SpinGuard guard(tmpfs().parents_lock);
    static_cast<TmpfsDirectory&>(child).parent_ = parent;
}

Result<RefPtr<vfs::Inode>> TmpfsDirectory::parent_directory() {
    core::SpinGuard guard(tmpfs().parents_lock);
    if (!parent_ || !parent_->try_ref()) return error(Errno::ESTALE);
    return RefPtr<vfs::Inode>::adopt(*parent_);
}

Result<OwnPtr<TmpfsDirectory::Entry>> TmpfsDirectory::make_entry(std::string_view name,
                                                                 NullableRefPtr<TmpfsInode> inode) {
    auto entry = TRY(try_make<Entry>());
    entry->text.reset(new (std::nothrow) char[name.size()]);
    if (!entry->text) return error(Errno::ENOMEM);
    std::memcpy(entry->text.get(), name.data(), name.size());
    entry->key = {vfs::NameHash::of(name).value, {entry->text.get(), name.size()}};
    entry->inode = std::move(inode);
    return entry;
}

TmpfsDirectory::Entry* TmpfsDirectory::find(std::string_view name) {
    auto it = names_.find(NameKey{vfs::NameHash::of(name).value, name});
    return it == names_.end() ? nullptr : &*it;
}

void TmpfsDirectory::insert(OwnPtr<Entry> entry) {
    entry->cookie = next_cookie_++;
    Entry& placed = *entry.release();
    names_.insert(placed);
    cookies_.insert(cookies_.end(), placed);
    set_size(size() + entry_size);
    touch_modified();
}

OwnPtr<TmpfsDirectory::Entry> TmpfsDirectory::take(Entry& entry) {
    names_.erase(names_.iterator_to(entry));
    cookies_.erase(cookies_.iterator_to(entry));
    set_size(size() - entry_size);
    touch_modified();
    return OwnPtr<Entry>(&entry);
}

Result<RefPtr<vfs::Inode>> TmpfsDirectory::lookup(std::string_view name) {
    Entry* entry = find(name);
    if (!entry) return error(Errno::ENOENT);
    return RefPtr<vfs::Inode>(*entry->inode);
}

Result<RefPtr<vfs::Inode>> TmpfsDirectory::create(std::string_view name, const vfs::CreateRequest& request) {
    auto entry = TRY(make_entry(name, {}));
    RefPtr<TmpfsInode> inode = TRY(tmpfs().make_inode(request));
    entry->inode = inode;
    if (inode->is_directory()) add_links(1);
    set_parent_of(*inode, this);
    insert(std::move(entry));
    return RefPtr<vfs::Inode>(std::move(inode));
}

Result<RefPtr<vfs::Inode>> TmpfsDirectory::create_unnamed(const vfs::CreateRequest& request) {
    RefPtr<TmpfsInode> inode = TRY(tmpfs().make_inode(request));
    inode->add_links(-1);
    return RefPtr<vfs::Inode>(std::move(inode));
}

Result<void> TmpfsDirectory::link(std::string_view name, vfs::Inode& target) {
    auto entry = TRY(make_entry(name, NullableRefPtr<TmpfsInode>(&as_tmpfs(target))));
    as_tmpfs(target).add_links(1);
    target.touch_changed();
    insert(std::move(entry));
    return {};
}

Result<void> TmpfsDirectory::unlink(std::string_view name, vfs::Inode& victim) {
    Entry* entry = find(name);
    if (!entry) return error(Errno::ENOENT);
    OwnPtr<Entry> gone = take(*entry);
    as_tmpfs(victim).add_links(-1);
    victim.touch_changed();
    return {};
}

Result<void> TmpfsDirectory::remove_directory(std::string_view name, vfs::Inode& victim) {
    Entry* entry = find(name);
    if (!entry) return error(Errno::ENOENT);
    if (!static_cast<TmpfsDirectory&>(victim).names_.empty()) return error(Errno::ENOTEMPTY);
    OwnPtr<Entry> gone = take(*entry);
    set_parent_of(victim, nullptr);
    as_tmpfs(victim).add_links(-2);
    victim.touch_changed();
    add_links(-1);
    return {};
}

/// Two names change what they stand for.
void TmpfsDirectory::exchange(Entry& mine, TmpfsDirectory& other_directory, Entry& theirs) {
    int mine_is_directory = mine.inode->is_directory() ? 1 : 0;
    int theirs_is_directory = theirs.inode->is_directory() ? 1 : 0;
    add_links(theirs_is_directory - mine_is_directory);
    other_directory.add_links(mine_is_directory - theirs_is_directory);
    std::swap(mine.inode, theirs.inode);
    set_parent_of(*mine.inode, this);
    set_parent_of(*theirs.inode, &other_directory);
    mine.inode->touch_changed();
    theirs.inode->touch_changed();
    touch_modified();
    other_directory.touch_modified();
}

Result<void> TmpfsDirectory::rename(const RenameRequest& request) {
    auto& target_directory = static_cast<TmpfsDirectory&>(request.new_directory);
    Entry* source = find(request.old_name);
    if (!source) return error(Errno::ENOENT);
    Entry* target = target_directory.find(request.new_name);
    if (request.flags & abi::RENAME_EXCHANGE) {
        if (!target) return error(Errno::ENOENT);
        exchange(*source, target_directory, *target);
        return {};
    }
    auto fresh = TRY(make_entry(request.new_name, source->inode));
    OwnPtr<Entry> whiteout;
    if (request.whiteout)
        whiteout =
            TRY(make_entry(request.old_name, NullableRefPtr<TmpfsInode>(TRY(tmpfs().make_inode(*request.whiteout)))));
    if (target && request.moved.is_directory())
        TRY(target_directory.remove_directory(request.new_name, *request.replaced));
    else if (target)
        TRY(target_directory.unlink(request.new_name, *request.replaced));
    OwnPtr<Entry> gone = take(*source);
    if (request.moved.is_directory()) {
        add_links(-1);
        target_directory.add_links(1);
    }
    target_directory.insert(std::move(fresh));
    if (whiteout) insert(std::move(whiteout));
    set_parent_of(request.moved, &target_directory);
    request.moved.touch_changed();
    return {};
}

Result<void> TmpfsDirectory::read_directory(u64 position, vfs::DirectorySink sink) {
    // 2 is the start; afterwards the cookie of the entry listed last: go on with older ones.
    auto it = position <= 2 ? cookies_.end() : cookies_.lower_bound(position);
    while (it != cookies_.begin()) {
        --it;
        if (!sink({it->key.name, it->inode->number(), abi::directory_type(it->inode->mode()), it->cookie})) break;
    }
    return {};
}

} // namespace linnet::fs
