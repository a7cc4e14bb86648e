// Open directories. Where there is only one directory below, and the numbers in it are right, its names are passed on;
// else they are collected when reading begins, and again when it begins anew.
#include "overlay_file.hpp"

#include <abi/linux/fcntl.hpp>
#include <vfs/operations.hpp>

namespace linnet::overlay {

using vfs::Dentry;
using vfs::File;

Result<void> OverlayDirectory::collect(Listing& names) {
    const Marks& marks = overlay().marks();
    if (Dentry* const dentry = upper()) TRY(names.add(*dentry, 0, &marks));
    for (const LowerPlace& place : lowers()) TRY(names.add(*place.dentry, place.layer, &marks));
    return {};
}

Result<RefPtr<Listing>> OverlayDirectory::shared_listing() {
    const u64 changes = changes_.load(std::memory_order_acquire);
    {
        core::SpinGuard guard(listing_lock_);
        if (listing_ && listing_->changes == changes && listing_->try_ref()) return RefPtr<Listing>::adopt(*listing_);
    }
    RefPtr<Listing> fresh = adopt_ref(*TRY(try_make<Listing>()).release());
    fresh->changes = changes;
    TRY(collect(fresh));
    core::SpinGuard guard(listing_lock_);
    listing_ = fresh.get();
    return fresh;
}

void OverlayDirectory::give_back(RefPtr<Listing> listing) {
    Listing* const given = listing.release();
    {
        core::SpinGuard guard(listing_lock_);
        if (!given->drop_ref()) return;
        if (listing_ == given) listing_ = nullptr;
    }
    delete given;
}

Result<void> OverlayDirectory::read_directory(u64 position, vfs::DirectorySink sink) {
    Listing names;
    TRY(collect(names));
    for (auto* entry = names.next(position); entry; entry = names.next(entry->position + 1)) {
        const u64 number = overlay().listed_number(entry->layer, entry->number);
        if (!sink({entry->key.name, number, entry->type, entry->position + 1})) break;
    }
    return {};
}

Result<RefPtr<File>> OverlayDirectoryFile::create(const vfs::Path& path, u32 flags) {
    auto* file = new (std::nothrow) OverlayDirectoryFile(path, flags);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<File>(adopt_ref(*file));
}

OverlayDirectoryFile::~OverlayDirectoryFile() { forget(); }

void OverlayDirectoryFile::forget() {
    if (listing_) directory().give_back(RefPtr<Listing>(std::move(listing_)));
    listing_ = nullptr;
    real_ = nullptr;
}

Result<u64> OverlayDirectoryFile::seek(u64 position, i64 offset, u32 whence) {
    const i64 base = whence == abi::SEEK_SET ? 0 : static_cast<i64>(position);
    if (whence != abi::SEEK_SET && whence != abi::SEEK_CUR) return error(Errno::EINVAL);
    i64 result;
    if (__builtin_add_overflow(base, offset, &result) || result < 0) return error(Errno::EINVAL);
    return static_cast<u64>(result);
}

/// Chooses what is read from, and collects names.
Result<void> OverlayDirectoryFile::begin() {
    forget();
    const bool is_of_overlay = directory().real().superblock().stack_depth() != 0; // it would collect names each time
    if (!directory().needs_listing() && !is_of_overlay) {
        real_ = NullableRefPtr<Dentry>(&directory().real_dentry());
        return {};
    }
    listing_ = TRY(directory().shared_listing());
    return {};
}

Result<void> OverlayDirectoryFile::read_directory(u64& position, vfs::DirectorySink sink) {
    const Dentry& dentry = *path().dentry;
    if (dentry.is_unlinked()) return error(Errno::ENOENT);
    if (position == 0 || (!listing_ && !real_)) TRY(begin());
    if (Dentry* const upper = directory().upper()) {
        const vfs::Path place = directory().real_path();
        if (place.dentry == upper) vfs::note_access(place);
    }
    const auto pass_on = [&](const vfs::DirectoryEntry& entry) {
        if (!sink(entry)) return false;
        position = entry.next_position;
        return true;
    };
    const u64 own = directory().shown_number();
    if (position == 0 && !pass_on({".", own, abi::DT_DIR, 1})) return {};
    if (position == 1) {
        const RefPtr<Dentry> parent = dentry.parent();
        vfs::Inode* const above = parent->inode();
        if (!pass_on({"..", above ? of_overlay(*above).shown_number() : own, abi::DT_DIR, 2})) return {};
    }
    return real_ ? pass_on_real(position, sink) : pass_on_listing(position, sink);
}

/// What could be a whiteout is looked at when the directory isn't locked.
Result<void> OverlayDirectoryFile::pass_on_real(u64& position, vfs::DirectorySink sink) {
    OverlaySuperBlock& overlay = directory().overlay();
    const u32 layer = directory().upper() == real_.get() ? 0 : directory().lowers()[0].layer;
    const Marks::Value opaque = TRY(overlay.marks().read(*real_->inode(), mark::opaque));
    const bool may_be_files = opaque && opaque->size() == 1 && (*opaque)[0] == 'x';
    char doubtful_name[abi::NAME_MAX];
    for (;;) {
        std::optional<vfs::DirectoryEntry> doubtful;
        {
            core::ReadGuard guard(real_->inode()->lock);
            if (real_->is_unlinked()) return {};
            TRY(real_->inode()->read_directory(position, [&](const vfs::DirectoryEntry& entry) {
                vfs::DirectoryEntry shown = entry;
                shown.inode = overlay.listed_number(layer, entry.inode);
                if (entry.type == abi::DT_CHR || entry.type == abi::DT_UNKNOWN ||
                    (may_be_files && entry.type == abi::DT_REG)) {
                    if (entry.name.size() > sizeof doubtful_name) return false;
                    std::copy(entry.name.begin(), entry.name.end(), doubtful_name);
                    shown.name = {doubtful_name, entry.name.size()};
                    doubtful = shown;
                    return false;
                }
                if (!sink(shown)) return false;
                position = entry.next_position;
                return true;
            }));
        }
        if (!doubtful) return {};
        const auto dentry = find_in_layer(*real_, doubtful->name);
        if (!dentry && dentry.error() != Errno::ENOENT) return error(dentry.error());
        vfs::Inode* const inode = dentry ? (*dentry)->inode() : nullptr;
        const bool shows = inode && !TRY(is_whiteout(overlay.marks(), *real_, *inode));
        if (shows && !sink(*doubtful)) return {};
        position = doubtful->next_position;
    }
}

/// The number that stat(2) tells; nothing when the name has gone meanwhile. Things of the upper layer may have been
/// copied, and keep the number of what they were copied from.
Result<std::optional<u64>> OverlayDirectoryFile::number_of(const Listing::Entry& entry) {
    OverlaySuperBlock& overlay = directory().overlay();
    if (entry.layer != 0 || !overlay.has_numbers_of_own())
        return std::optional<u64>(overlay.listed_number(entry.layer, entry.number));
    const auto dentry =
        vfs::DentryCache::find_or_load(*path().dentry, entry.key.name, vfs::NameHash::of(entry.key.name));
    if (!dentry && dentry.error() != Errno::ENOENT) // it is there, whatever is wrong with it
        return std::optional<u64>(overlay.listed_number(0, entry.number));
    if (!dentry || !(*dentry)->inode()) return std::optional<u64>{};
    return std::optional<u64>(of_overlay(*(*dentry)->inode()).shown_number());
}

Result<void> OverlayDirectoryFile::pass_on_listing(u64& position, vfs::DirectorySink sink) {
    for (auto* entry = listing_->next(position); entry; entry = listing_->next(entry->position + 1)) {
        const auto number = TRY(number_of(*entry));
        if (number && !sink({entry->key.name, *number, entry->type, entry->position + 1})) return {};
        position = entry->position + 1;
    }
    return {};
}

} // namespace linnet::overlay
