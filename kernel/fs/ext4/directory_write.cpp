// Names that come and go: create, link, unlink, rename.
//
// All of one operation is one transaction. What can fail comes first, or is taken back; what was asked of the writer
// before can't.
#include "directory_edit.hpp"
#include "ext4_superblock.hpp"
#include "ext4_writing.hpp"

#include <abi/linux/fcntl.hpp>
#include <core/random.hpp>

namespace linnet::fs {

using ext4::InodeEdit;
using ext4::InodeKind;
using ext4::InodePlace;

namespace {

/// What a handle is to have room for: changes of entries in two directories, with blocks allocated, an inode made,
/// others changed, and orphans.
constexpr usize blocks_of_names = 4 * ext4::most_changes_of_step;
/// What new inodes have from their directory.
constexpr u32 inherited_flags = ext4::inode_sync | ext4::inode_no_dump | ext4::inode_no_access_time;

Ext4Inode& as_ext4(vfs::Inode& inode) { return static_cast<Ext4Inode&>(inode); }
InodeKind kind_of(u32 mode) { return abi::S_ISDIR(mode) ? InodeKind::Directory : InodeKind::Other; }
u8 entry_type(u32 mode) {
    switch (mode & abi::S_IFMT) {
    case abi::S_IFREG:
        return 1;
    case abi::S_IFDIR:
        return 2;
    case abi::S_IFCHR:
        return 3;
    case abi::S_IFBLK:
        return 4;
    case abi::S_IFIFO:
        return 5;
    case abi::S_IFSOCK:
        return 6;
    default:
        return 7;
    }
}

/// In the first word where it fits, as it once was; else in the second.
void set_device(ext4::DiskInode& disk, vfs::DeviceNumber device) {
    u32 words[2] = {};
    if (device.major < 256 && device.minor < 256)
        words[0] = device.major << 8 | device.minor;
    else
        words[1] = (device.minor & 0xff) | device.major << 8 | (device.minor & ~0xffu) << 12;
    std::memcpy(disk.raw.block, words, sizeof(words));
}

/// A change of one inode within a handle. Its place is had from the beginning, so that storing it can't fail; that is
/// done at the end, whatever happened, so that inode and blocks agree.
class Change {
public:
    static Result<OwnPtr<Change>> begin(Ext4Inode& inode, ext4::Handle& handle) {
        auto place = TRY(InodePlace::change(inode.ext4().volume(), handle, static_cast<u32>(inode.number())));
        return try_make<Change>(inode, handle, std::move(place));
    }
    Change(Ext4Inode& inode, ext4::Handle& handle, InodePlace place)
        : inode_(inode), handle_(handle), place_(std::move(place)), guard_(inode.disk_lock) {}
    ~Change() {
        if (is_given_up_) return;
        if (inode_.is_directory()) inode_.set_size(inode_.disk().size());
        inode_.store_at(place_, handle_);
    }
    [[nodiscard]] InodeEdit edit() {
        return {inode_.ext4().writing()->allocator(), handle_, inode_.disk_to_change(), ext4::Privilege::None};
    }
    [[nodiscard]] ext4::DirectoryEditor entries() { return ext4::DirectoryEditor(edit()); }
    [[nodiscard]] InodePlace& place() { return place_; }
    /// The inode comes to nothing: nothing is stored.
    void give_up() { is_given_up_ = true; }
    /// It may be freed as soon as nobody uses it: so it is told to the next mount, too.
    Result<void> add_orphan() { return inode_.make_orphan(handle_, place_); }
    Result<void> remove_orphan() {
        return inode_.ext4().writing()->orphans().remove(handle_, static_cast<u32>(inode_.number()), place_, 0);
    }

private:
    Ext4Inode& inode_;
    ext4::Handle& handle_;
    InodePlace place_;
    core::WriteGuard<> guard_;
    bool is_given_up_ = false;
};

u32 number_of(const vfs::Inode& inode) { return static_cast<u32>(inode.number()); }

} // namespace

/// Once more where space was found meanwhile.
template <typename Operation>
auto Ext4Directory::with_space(Operation operation, const char* function) -> decltype(operation()) {
    auto result = operation();
    if (!result && result.error() == Errno::ENOSPC && ext4().writing()->make_space()) result = operation();
    return heed(std::move(result), function);
}

// ---- new inodes ----

/// An inode as the request wants it, with a number, in memory.
Result<ext4::DiskInode> Ext4Directory::make_disk_inode(u32 number, const vfs::CreateRequest& request) {
    const u32 mode = request.mode;
    ext4::DiskInode made = TRY(ext4::make_inode(ext4().volume(), {.number = number,
                                                                  .mode = static_cast<u16>(mode),
                                                                  .uid = request.uid,
                                                                  .gid = request.gid,
                                                                  .generation = static_cast<u32>(core::random_u64()),
                                                                  .flags = flags() & inherited_flags}));
    set_new_times(made, vfs::Timestamp::now());
    if (abi::S_ISCHR(mode) || abi::S_ISBLK(mode)) set_device(made, request.device);
    if (abi::S_ISDIR(mode)) made.raw.link_count = 2;
    if (abi::S_ISLNK(mode)) {
        const std::string_view target = request.link_target;
        made.set_size(target.size());
        if (target.size() < ext4::inode_block_bytes) {
            made.raw.flags &= ~ext4::inode_extents;
            std::memset(made.raw.block, 0, sizeof(made.raw.block));
            std::memcpy(made.raw.block, target.data(), target.size());
        }
    }
    return made;
}

/// The first block of a directory, or of a long symlink.
Result<void> Ext4Directory::fill_new(const InodeEdit& edit, const vfs::CreateRequest& request) {
    if (abi::S_ISDIR(request.mode)) return ext4::DirectoryEditor(edit).start(number_of(*this));
    const std::string_view target = request.link_target;
    if (!abi::S_ISLNK(request.mode) || target.size() < ext4::inode_block_bytes) return {};
    const ext4::Run run = TRY(ext4::allocate_file_blocks(edit, 0, 1, ext4::Run::Kind::Data));
    auto block = edit.writer.fresh(run.first);
    if (block)
        std::memcpy(block->bytes().data(), target.data(), target.size());
    else
        (void)ext4::free_last_blocks(edit, 0, ext4::no_end);
    return block ? Result<void>{} : error(block.error());
}

/// `enter` is the last that may fail: what makes the inode known on the disk.
Result<RefPtr<Ext4Inode>> Ext4Directory::make_inode(ext4::Handle& handle, const vfs::CreateRequest& request,
                                                    FunctionRef<Result<void>(Ext4Inode&, InodePlace&)> enter) {
    if (request.link_target.size() >= ext4().volume().block_size()) return error(Errno::ENAMETOOLONG);
    ext4::Allocator& allocator = ext4().writing()->allocator();
    const InodeKind kind = kind_of(request.mode);
    const u32 number = TRY(allocator.allocate_inode(handle, number_of(*this), kind));
    ScopeGuard give_back([&] { (void)allocator.free_inode(handle, number, kind); });
    RefPtr<Ext4Inode> inode = TRY(Ext4Inode::create(ext4(), TRY(make_disk_inode(number, request))));
    auto change = TRY(Change::begin(*inode, handle));
    if (auto filled = fill_new(change->edit(), request); !filled) {
        change->give_up();
        return error(filled.error());
    }
    // Known by its number first, else who has a handle could read it from the disk meanwhile, and make another.
    auto entered = ext4().add(*inode);
    change->place().store_new(inode->disk_to_change()); // nothing stays of the inode that was there before
    if (entered) entered = enter(*inode, change->place());
    if (!entered) {
        ext4().forget(*inode);
        for (u64 end = ext4::no_end; end != 0 && ext4::has_blocks(change->edit().inode);) {
            const auto came_to = ext4::free_last_blocks(change->edit(), 0, end);
            end = came_to.value_or(0); // what can't be freed e2fsck finds
        }
        // As a deleted one is: e2fsck looks at what has links, used or not.
        inode->disk_to_change().raw.link_count = 0;
        change->place().store(inode->disk_to_change());
        change->place().store_deletion_time(static_cast<u32>(vfs::Timestamp::now().seconds));
        change->give_up();
        return error(entered.error());
    }
    give_back.dismiss();
    return inode;
}

Result<RefPtr<vfs::Inode>> Ext4Directory::create(std::string_view name, const vfs::CreateRequest& request) {
    TRY(ext4().to_write());
    return with_space([&]() -> Result<RefPtr<vfs::Inode>> {
        auto handle = TRY(ext4().writing()->begin(blocks_of_names));
        auto own = TRY(Change::begin(*this, handle));
        const bool is_directory = abi::S_ISDIR(request.mode);
        if (is_directory) TRY(check_links());
        RefPtr<Ext4Inode> inode = TRY(make_inode(handle, request, [&](Ext4Inode& made, InodePlace&) {
            return own->entries().add(name, number_of(made), entry_type(request.mode));
        }));
        if (is_directory) add_link();
        touch_modified();
        return RefPtr<vfs::Inode>(std::move(inode));
    });
}

Result<RefPtr<vfs::Inode>> Ext4Directory::create_unnamed(const vfs::CreateRequest& request) {
    TRY(ext4().to_write());
    return with_space([&]() -> Result<RefPtr<vfs::Inode>> {
        auto handle = TRY(ext4().writing()->begin(blocks_of_names));
        auto inode = TRY(make_inode(handle, request, [&](Ext4Inode& made, InodePlace& place) -> Result<void> {
            TRY(made.prepare_to_doom());
            TRY(ext4().writing()->orphans().add(handle, number_of(made), place));
            made.remove_link();
            return {};
        }));
        return RefPtr<vfs::Inode>(std::move(inode));
    });
}

// ---- names ----

Result<void> Ext4Directory::link(std::string_view name, vfs::Inode& target) {
    TRY(ext4().to_write());
    Ext4Inode& inode = as_ext4(target);
    return with_space([&]() -> Result<void> {
        auto handle = TRY(ext4().writing()->begin(blocks_of_names));
        auto own = TRY(Change::begin(*this, handle));
        auto other = TRY(Change::begin(inode, handle));
        TRY(inode.check_links());
        const bool was_nameless = inode.link_count() == 0;
        if (was_nameless) TRY(other->remove_orphan());
        if (auto added = own->entries().add(name, number_of(inode), entry_type(inode.mode())); !added) {
            if (was_nameless) (void)other->add_orphan();
            return added;
        }
        inode.add_link();
        inode.touch_changed();
        touch_modified();
        return {};
    });
}

Result<void> Ext4Directory::unlink(std::string_view name, vfs::Inode& victim) {
    TRY(ext4().to_write());
    return heed(remove_file(name, as_ext4(victim)));
}

Result<void> Ext4Directory::remove_file(std::string_view name, Ext4Inode& inode) {
    if (inode.link_count() == 0) return error(Errno::EUCLEAN); // it has more names than links
    const bool is_last = inode.link_count() == 1;
    TRY(inode.prepare_to_doom());
    auto handle = TRY(ext4().writing()->begin(blocks_of_names));
    auto own = TRY(Change::begin(*this, handle));
    auto other = TRY(Change::begin(inode, handle));
    if (is_last) TRY(other->add_orphan());
    if (auto removed = own->entries().remove(name); !removed) {
        if (is_last) (void)other->remove_orphan();
        return error(removed.error());
    }
    inode.remove_link();
    inode.touch_changed();
    touch_modified();
    return {};
}

Result<void> Ext4Directory::remove_directory(std::string_view name, vfs::Inode& victim) {
    TRY(ext4().to_write());
    return heed(remove_empty(name, as_ext4(victim)));
}

Result<void> Ext4Directory::remove_empty(std::string_view name, Ext4Inode& inode) {
    if (inode.link_count() == 0) return error(Errno::EUCLEAN);
    TRY(inode.prepare_to_doom());
    auto handle = TRY(ext4().writing()->begin(blocks_of_names));
    auto own = TRY(Change::begin(*this, handle));
    auto other = TRY(Change::begin(inode, handle));
    if (!TRY(other->entries().is_empty())) return error(Errno::ENOTEMPTY);
    TRY(other->add_orphan());
    if (auto removed = own->entries().remove(name); !removed) {
        (void)other->remove_orphan();
        return error(removed.error());
    }
    inode.remove_all_links();
    inode.touch_changed();
    remove_link();
    touch_modified();
    return {};
}

// ---- rename ----

Result<void> Ext4Directory::rename(const RenameRequest& request) {
    TRY(ext4().to_write());
    return with_space(
        [&] { return request.flags & abi::RENAME_EXCHANGE ? exchange_names(request) : move_name(request); });
}

/// The inodes that a rename changes.
struct Ext4Directory::Renaming {
    OwnPtr<Change> old_directory, new_directory, moved, replaced; // the second is null where it is the first

    Result<void> begin(Ext4Directory& directory, ext4::Handle& handle, const RenameRequest& request) {
        old_directory = TRY(Change::begin(directory, handle));
        if (&request.new_directory != &directory)
            new_directory = TRY(Change::begin(as_ext4(request.new_directory), handle));
        moved = TRY(Change::begin(as_ext4(request.moved), handle));
        if (request.replaced) replaced = TRY(Change::begin(as_ext4(*request.replaced), handle));
        return {};
    }
    [[nodiscard]] Change& target() { return new_directory ? *new_directory : *old_directory; }
    /// A directory that comes below another one is told so.
    Result<void> set_parent(Change& child, const vfs::Inode& inode, const vfs::Inode& parent) {
        return new_directory && inode.is_directory() ? child.entries().set_parent(number_of(parent)) : Result<void>{};
    }
};

/// The entries of a rename, all or none. `whiteout`, unless null, gets the old name.
Result<void> Ext4Directory::move_entries(Renaming& names, const RenameRequest& request, const vfs::Inode* whiteout) {
    const vfs::Inode& moved = request.moved;
    TRY(names.set_parent(*names.moved, moved, request.new_directory));
    ScopeGuard undo_parent([&] { (void)names.set_parent(*names.moved, moved, *this); });
    const auto enter = [&](const vfs::Inode& inode) -> Result<void> {
        TRY(names.target().entries().replace(request.new_name, number_of(inode), entry_type(inode.mode())));
        return {};
    };
    if (request.replaced)
        TRY(enter(moved));
    else
        TRY(names.target().entries().add(request.new_name, number_of(moved), entry_type(moved.mode())));
    ScopeGuard undo_name([&] {
        if (request.replaced)
            (void)enter(*request.replaced);
        else
            (void)names.target().entries().remove(request.new_name);
    });
    ext4::DirectoryEditor old_entries = names.old_directory->entries();
    if (whiteout)
        TRY(old_entries.replace(request.old_name, number_of(*whiteout), entry_type(whiteout->mode())));
    else
        TRY(old_entries.remove(request.old_name));
    undo_name.dismiss();
    undo_parent.dismiss();
    return {};
}

/// The same, with an inode made for the old name if there is to be one.
Result<void> Ext4Directory::move_and_fill(Renaming& names, ext4::Handle& handle, const RenameRequest& request) {
    if (!request.whiteout) return move_entries(names, request, nullptr);
    TRY(make_inode(handle, *request.whiteout,
                   [&](Ext4Inode& made, InodePlace&) { return move_entries(names, request, &made); }));
    return {};
}

Result<void> Ext4Directory::move_name(const RenameRequest& request) {
    auto& target = static_cast<Ext4Directory&>(request.new_directory);
    Ext4Inode* const replaced = request.replaced ? &as_ext4(*request.replaced) : nullptr;
    const bool moves_directory = request.moved.is_directory() && &target != this;
    if (replaced && replaced->link_count() == 0) return error(Errno::EUCLEAN);
    if (replaced) TRY(replaced->prepare_to_doom());
    auto handle = TRY(ext4().writing()->begin(blocks_of_names));
    Renaming names;
    TRY(names.begin(*this, handle, request));
    if (moves_directory && !replaced) TRY(target.check_links());
    const bool replaces_directory = replaced && replaced->is_directory();
    if (replaces_directory && !TRY(names.replaced->entries().is_empty())) return error(Errno::ENOTEMPTY);
    const bool is_last = replaces_directory || (replaced && replaced->link_count() == 1);
    if (is_last) TRY(names.replaced->add_orphan());
    if (auto done = move_and_fill(names, handle, request); !done) {
        if (is_last) (void)names.replaced->remove_orphan();
        return done;
    }
    if (replaces_directory) {
        replaced->remove_all_links();
        target.remove_link();
    } else if (replaced) {
        replaced->remove_link();
    }
    if (moves_directory) {
        remove_link();
        target.add_link();
    }
    if (replaced) replaced->touch_changed();
    request.moved.touch_changed();
    touch_modified();
    target.touch_modified();
    return {};
}

/// The entries of an exchange, all or none.
Result<void> Ext4Directory::exchange_entries(Renaming& names, const RenameRequest& request) {
    const vfs::Inode &mine = request.moved, &theirs = *request.replaced;
    const auto enter = [](Change& directory, std::string_view name, const vfs::Inode& inode) -> Result<void> {
        TRY(directory.entries().replace(name, number_of(inode), entry_type(inode.mode())));
        return {};
    };
    TRY(names.set_parent(*names.moved, mine, request.new_directory));
    ScopeGuard undo_mine([&] { (void)names.set_parent(*names.moved, mine, *this); });
    TRY(names.set_parent(*names.replaced, theirs, *this));
    ScopeGuard undo_theirs([&] { (void)names.set_parent(*names.replaced, theirs, request.new_directory); });
    TRY(enter(*names.old_directory, request.old_name, theirs));
    ScopeGuard undo_name([&] { (void)enter(*names.old_directory, request.old_name, mine); });
    TRY(enter(names.target(), request.new_name, mine));
    undo_name.dismiss();
    undo_theirs.dismiss();
    undo_mine.dismiss();
    return {};
}

Result<void> Ext4Directory::exchange_names(const RenameRequest& request) {
    auto& target = static_cast<Ext4Directory&>(request.new_directory);
    const bool gives = request.moved.is_directory(), takes = request.replaced->is_directory();
    auto handle = TRY(ext4().writing()->begin(blocks_of_names));
    Renaming names;
    TRY(names.begin(*this, handle, request));
    if (&target != this && gives != takes) TRY((gives ? target : *this).check_links());
    TRY(exchange_entries(names, request));
    if (&target != this && gives != takes) {
        (gives ? target : *this).add_link();
        (gives ? *this : target).remove_link();
    }
    request.moved.touch_changed();
    request.replaced->touch_changed();
    touch_modified();
    target.touch_modified();
    return {};
}

} // namespace linnet::fs
