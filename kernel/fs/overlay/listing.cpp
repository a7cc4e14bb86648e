// Collecting names.
#include "listing.hpp"

#include <abi/linux/fcntl.hpp>
#include <core/thread.hpp>
#include <cstring>

namespace linnet::overlay {

Listing::~Listing() {
    positions_.clear();
    names_.clear_and_dispose([](Entry* entry) { delete entry; });
}

Result<void> Listing::add_entry(const vfs::DirectoryEntry& entry, u32 layer) {
    const Entry::Key key{vfs::NameHash::of(entry.name).value, entry.name};
    if (names_.find(key) != names_.end()) return {};
    OwnPtr<Entry> fresh = TRY(try_make<Entry>());
    fresh->text.reset(new (std::nothrow) char[entry.name.size()]);
    if (!fresh->text) return error(Errno::ENOMEM);
    std::memcpy(fresh->text.get(), entry.name.data(), entry.name.size());
    fresh->key = {key.hash, {fresh->text.get(), entry.name.size()}};
    fresh->position = next_position_++;
    fresh->number = entry.inode;
    fresh->layer = layer;
    fresh->type = entry.type;
    positions_.insert(*fresh);
    names_.insert(*fresh.release());
    return {};
}

Result<void> Listing::add(vfs::Dentry& directory, u32 layer, const Marks* marks) {
    constexpr u64 first_position = 2;
    constexpr u32 names_between_looks = 1024;
    vfs::Inode& inode = *directory.inode();
    Result<void> outcome;
    {
        core::ReadGuard guard(inode.lock);
        if (directory.is_unlinked()) return {};
        u32 left = names_between_looks;
        TRY(inode.read_directory(first_position, [&](const vfs::DirectoryEntry& entry) {
            outcome = add_entry(entry, layer);
            if (outcome && --left == 0) {
                left = names_between_looks;
                if (core::current_thread().has_fatal_signal()) outcome = error(Errno::EINTR);
            }
            return outcome.has_value();
        }));
    }
    TRY(outcome);
    return marks ? hide_whiteouts(directory, layer, *marks) : Result<void>{};
}

/// Those of this layer. Files can be whiteouts only where the directory says so.
Result<void> Listing::hide_whiteouts(vfs::Dentry& directory, u32 layer, const Marks& marks) {
    const Marks::Value opaque = TRY(marks.read(*directory.inode(), mark::opaque));
    const bool may_be_files = opaque && opaque->size() == 1 && (*opaque)[0] == 'x';
    for (Entry& entry : positions_) {
        if (entry.layer != layer) continue;
        const bool may_be =
            entry.type == abi::DT_CHR || entry.type == abi::DT_UNKNOWN || (may_be_files && entry.type == abi::DT_REG);
        if (!may_be) continue;
        const auto dentry = find_in_layer(directory, entry.key.name);
        if (!dentry && dentry.error() != Errno::ENOENT) return error(dentry.error());
        vfs::Inode* const inode = dentry ? (*dentry)->inode() : nullptr;
        entry.is_hidden = inode && TRY(is_whiteout(marks, directory, *inode));
    }
    return {};
}

const Listing::Entry* Listing::next(u64 position) const {
    for (auto at = positions_.lower_bound(position); at != positions_.end(); ++at)
        if (!at->is_hidden) return &*at;
    return nullptr;
}

} // namespace linnet::overlay
