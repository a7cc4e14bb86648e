// Names in the work directory.
#include "work_directory.hpp"

#include "listing.hpp"
#include "upper_names.hpp"

#include <abi/linux/fcntl.hpp>

namespace linnet::overlay {

WorkName::WorkName(OverlaySuperBlock& overlay) : overlay_(&overlay) {
    length_ = static_cast<u8>(format_into(text_, "#{}", overlay.next_work_number()).size());
}

WorkName::WorkName(WorkName&& other) noexcept
    : overlay_(other.overlay_), dentry_(std::move(other.dentry_)),
      holds_something_(std::exchange(other.holds_something_, false)), length_(other.length_) {
    std::copy_n(other.text_, sizeof text_, text_);
}

/// What can't be removed stays until the next mount.
WorkName::~WorkName() {
    if (holds_something_) (void)remove_tree(overlay_->work(), text());
}

Result<WorkName> WorkName::make(OverlaySuperBlock& overlay, const vfs::CreateRequest& request) {
    for (;;) {
        WorkName name(overlay);
        auto made = make_name(overlay.work(), name.text(), request);
        if (!made && made.error() == Errno::EEXIST) continue; // of an overlay that used the directory meanwhile
        name.dentry_ = TRY(std::move(made));
        name.holds_something_ = true;
        return name;
    }
}

Result<WorkName> WorkName::link(OverlaySuperBlock& overlay, vfs::Inode& target) {
    WorkName name(overlay);
    name.dentry_ = TRY(link_name(overlay.work(), name.text(), target));
    name.holds_something_ = true;
    return name;
}

Result<void> WorkName::move_to(vfs::Dentry& directory, std::string_view name) {
    TRY(move_name({overlay_->work(), text(), inode(), directory, name, nullptr, 0}));
    holds_something_ = false;
    return {};
}

/// A directory can't take the place of another thing, nor the reverse: then both are exchanged, and what has come here
/// goes afterwards.
Result<void> WorkName::replace(vfs::Dentry& directory, std::string_view name, vfs::Inode& present) {
    const bool exchange = inode().is_directory() || present.is_directory();
    TRY(move_name({overlay_->work(), text(), inode(), directory, name, &present,
                   exchange ? static_cast<u32>(abi::RENAME_EXCHANGE) : 0}));
    holds_something_ = exchange;
    return {};
}

Result<void> remove_tree(vfs::Dentry& directory, std::string_view name, u32 levels) {
    const auto dentry = TRY(find_in_layer(directory, name));
    vfs::Inode* const inode = dentry->inode();
    if (!inode) return {};
    if (inode->is_directory()) {
        if (levels == 0) return error(Errno::ELOOP);
        Listing below;
        TRY(below.add(dentry, 0, nullptr));
        for (auto* entry = below.next(0); entry; entry = below.next(entry->position + 1))
            TRY(remove_tree(dentry, entry->key.name, levels - 1));
    }
    return remove_name(directory, name, *inode);
}

} // namespace linnet::overlay
