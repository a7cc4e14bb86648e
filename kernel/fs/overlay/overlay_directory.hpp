// Directories of an overlay: names of all layers, each shown as the uppermost has it.
#pragma once

#include "overlay_inode.hpp"

namespace linnet::overlay {

class Listing;

class OverlayDirectory final : public OverlayInode {
public:
    OverlayDirectory(OverlaySuperBlock& superblock, const Identity& identity, Found found, bool is_impure)
        : OverlayInode(superblock, identity, std::move(found)), is_impure_(is_impure) {
        if (is_merged()) set_link_count(1);
    }

    /// Whether it shows the names of several directories.
    bool is_merged() const override { return lowers().size() + (upper() ? 1 : 0) > 1; }
    /// Whether the names in the real directory aren't all there is to know: others show too, or some have numbers that
    /// are not their own.
    bool needs_listing() const { return is_merged() || (upper() && is_impure_.load(std::memory_order_relaxed)); }
    /// Something gets a name in its upper directory that has the number of another inode. Best effort.
    void make_impure();

    /// What there is of a name in the layers, whiteouts heeded.
    Result<Found> search(std::string_view name);
    /// Whether the name would show if the upper layer didn't hide it.
    Result<bool> shows_lower(std::string_view name);
    /// Adds all names, uppermost first. As Listing::add().
    Result<void> collect(Listing& names);
    /// All names as they are now, for who reads them; to be given back while the directory is there.
    Result<RefPtr<Listing>> shared_listing();
    void give_back(RefPtr<Listing> listing);
    /// A name has come, gone or come to lead to another layer.
    void note_change() { changes_.fetch_add(1, std::memory_order_release); }
    /// ENOTEMPTY when a name shows.
    Result<void> check_empty();

    Result<RefPtr<vfs::Inode>> lookup(std::string_view name) override;
    Result<RefPtr<vfs::Inode>> create(std::string_view name, const vfs::CreateRequest& request) override;
    Result<RefPtr<vfs::Inode>> create_unnamed(const vfs::CreateRequest& request) override;
    Result<void> link(std::string_view name, vfs::Inode& target) override;
    Result<void> unlink(std::string_view name, vfs::Inode& victim) override { return remove(name, victim); }
    Result<void> remove_directory(std::string_view name, vfs::Inode& victim) override { return remove(name, victim); }
    Result<void> rename(const RenameRequest& request) override;
    /// For an overlay on this one; open directories see to themselves.
    Result<void> read_directory(u64 position, vfs::DirectorySink sink) override;

private:
    friend class OverlayRename;
    Result<void> remove(std::string_view name, vfs::Inode& victim);
    Result<RefPtr<vfs::Dentry>> create_over_whiteout(std::string_view name, vfs::Inode& whiteout,
                                                     const vfs::CreateRequest& request);
    Result<void> put_whiteout(std::string_view name, vfs::Inode* present);

    std::atomic<bool> is_impure_;
    std::atomic<u64> changes_{0};
    core::SpinLock listing_lock_;
    Listing* listing_ = nullptr; // not counted; the latest that somebody has
};

inline OverlayDirectory& of_directory(vfs::Inode& inode) { return static_cast<OverlayDirectory&>(inode); }

} // namespace linnet::overlay
