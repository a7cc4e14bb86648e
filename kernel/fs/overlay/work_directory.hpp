// The work directory: what is made there before it gets its place in the upper layer, in one step, and what is taken
// out of the layer with more than one step left to do.
#pragma once

#include "overlay_superblock.hpp"

namespace linnet::overlay {

/// Something in the work directory that is removed unless it is moved to its place.
class WorkName {
public:
    /// Makes a new object. ENOSPC and what the file system says.
    static Result<WorkName> make(OverlaySuperBlock& overlay, const vfs::CreateRequest& request);
    /// A further name of `target`, which isn't locked.
    static Result<WorkName> link(OverlaySuperBlock& overlay, vfs::Inode& target);
    /// A name that is free, for move_name() to move something there that is to go.
    static WorkName reserve(OverlaySuperBlock& overlay) { return WorkName(overlay); }
    WorkName(WorkName&& other) noexcept;
    WorkName& operator=(WorkName&&) = delete;
    ~WorkName();

    [[nodiscard]] std::string_view text() const { return {text_, length_}; }
    vfs::Inode& inode() const { return *dentry_->inode(); }
    RefPtr<vfs::Dentry> dentry() const { return RefPtr<vfs::Dentry>(*dentry_); }

    /// Gives it a name that is free.
    Result<void> move_to(vfs::Dentry& directory, std::string_view name);
    /// Gives it the name of `present`, which goes.
    Result<void> replace(vfs::Dentry& directory, std::string_view name, vfs::Inode& present);
    /// Something has been moved here, and is to go.
    void adopt() { holds_something_ = true; }

private:
    explicit WorkName(OverlaySuperBlock& overlay);
    OverlaySuperBlock* overlay_;
    NullableRefPtr<vfs::Dentry> dentry_;
    bool holds_something_ = false;
    u8 length_ = 0;
    char text_[20];
};

/// Removes a name with what is below it, up to some levels. ELOOP when it is deeper.
Result<void> remove_tree(vfs::Dentry& directory, std::string_view name, u32 levels = 16);

} // namespace linnet::overlay
