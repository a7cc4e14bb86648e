// Making and removing names. What the lower layers show of a name is hidden by a whiteout; what comes in its place is
// made in the work directory and exchanged for it, so that the name is never gone or doubly there.
#include "listing.hpp"
#include "overlay_directory.hpp"
#include "upper_names.hpp"
#include "work_directory.hpp"

namespace linnet::overlay {

using vfs::Dentry;
using vfs::Inode;

void OverlayDirectory::make_impure() {
    if (is_impure_.exchange(true, std::memory_order_relaxed)) return;
    (void)overlay().marks().set(*upper()->inode(), mark::impure);
}

Result<void> OverlayDirectory::check_empty() {
    Listing names;
    if (Dentry* const dentry = upper()) TRY(names.add(*dentry, 0, &overlay().marks()));
    if (names.next(0)) return error(Errno::ENOTEMPTY);
    for (const LowerPlace& place : lowers()) TRY(names.add(*place.dentry, place.layer, &overlay().marks()));
    return names.next(0) ? error(Errno::ENOTEMPTY) : Result<void>{};
}

Result<RefPtr<Inode>> OverlayDirectory::create(std::string_view name, const vfs::CreateRequest& request) {
    // It would not be there.
    if (abi::S_ISCHR(request.mode) && request.device == vfs::DeviceNumber{}) return error(Errno::EPERM);
    TRY(copy_up());
    const RefPtr<Dentry> present = TRY(find_in_layer(*upper(), name));
    Found found;
    if (Inode* const whiteout = present->inode()) {
        if (!TRY(is_whiteout(overlay().marks(), *upper(), *whiteout))) return error(Errno::ESTALE);
        found.upper = TRY(create_over_whiteout(name, *whiteout, request));
    } else {
        found.upper = TRY(make_name(*upper(), name, request));
        // Nothing below has that name now; should anything get it, it isn't to show.
        if (abi::S_ISDIR(request.mode) && is_merged()) (void)overlay().marks().set(*found.upper->inode(), mark::opaque);
    }
    note_change();
    mirror();
    return overlay().inode_of_found(std::move(found));
}

Result<RefPtr<Dentry>> OverlayDirectory::create_over_whiteout(std::string_view name, Inode& whiteout,
                                                              const vfs::CreateRequest& request) {
    WorkName fresh = TRY(WorkName::make(overlay(), request));
    if (abi::S_ISDIR(request.mode)) TRY(overlay().marks().set(fresh.inode(), mark::opaque));
    TRY(fresh.replace(*upper(), name, whiteout));
    return fresh.dentry();
}

Result<RefPtr<Inode>> OverlayDirectory::create_unnamed(const vfs::CreateRequest& request) {
    TRY(copy_up());
    Dentry& directory = *upper();
    if (directory.superblock().is_read_only()) return error(Errno::EROFS);
    RefPtr<Inode> made = TRY(directory.inode()->create_unnamed(request));
    char name[24];
    Found found;
    found.upper = TRY(Dentry::create_root(directory.superblock(), made, format_into(name, "#{}", made->number())));
    return overlay().inode_of_found(std::move(found));
}

Result<void> OverlayDirectory::link(std::string_view name, Inode& target) {
    TRY(of_overlay(target).copy_up());
    TRY(copy_up());
    Inode& copy = of_overlay(target).real();
    const RefPtr<Dentry> present = TRY(find_in_layer(*upper(), name));
    if (Inode* const whiteout = present->inode()) {
        if (!TRY(is_whiteout(overlay().marks(), *upper(), *whiteout))) return error(Errno::ESTALE);
        WorkName further = TRY(WorkName::link(overlay(), copy));
        TRY(further.replace(*upper(), name, *whiteout));
    } else {
        TRY(link_name(*upper(), name, copy));
    }
    if (of_overlay(target).shown_number() != overlay().identity_of(0, copy).number) make_impure();
    of_overlay(target).mirror();
    note_change();
    mirror();
    return {};
}

/// In the upper directory: instead of what is there, or of nothing.
Result<void> OverlayDirectory::put_whiteout(std::string_view name, Inode* present) {
    if (!present) {
        TRY(make_name(*upper(), name, whiteout_request()));
        return {};
    }
    WorkName whiteout = TRY(WorkName::make(overlay(), whiteout_request()));
    return whiteout.replace(*upper(), name, *present);
}

Result<void> OverlayDirectory::remove(std::string_view name, Inode& victim) {
    TRY(copy_up());
    OverlayInode& gone = of_overlay(victim);
    core::MutexGuard guard(gone.copy_up_lock);
    Inode* const expected = gone.upper() ? gone.upper()->inode() : nullptr;
    const RefPtr<Dentry> dentry = TRY(find_in_layer(*upper(), name));
    Inode* const present = dentry->inode();
    if (present != expected) return error(Errno::ESTALE);
    if (victim.is_directory()) TRY(of_directory(victim).check_empty());
    if (TRY(shows_lower(name))) {
        TRY(put_whiteout(name, present));
    } else if (present && present->is_directory()) {
        // It may have whiteouts in it, so that it goes in one step to where they can be removed.
        WorkName place = WorkName::reserve(overlay());
        TRY(move_name({*upper(), name, *present, overlay().work(), place.text(), nullptr, 0}));
        place.adopt();
    } else if (present) {
        TRY(remove_name(*upper(), name, *present));
    }
    gone.note_removed();
    note_change();
    mirror();
    return {};
}

} // namespace linnet::overlay
