// Inodes of an overlay. Each shows one object, its *real* inode: that of the upper layer when it has one, else the
// lower one, which is never changed. Mode, owner, times and size are kept here too, as they are there (mirror()).
//
// Before anything of a lower object changes it is copied up: its folders first, then itself, once and for good. So what
// has no upper part has never been renamed: its name and place are stable until it is copied up or removed, for which
// copy_up_lock is held.
//
// Lock order:
//   rename_lock and Inode::lock of the overlay, as in vfs
//     copy_up_lock (never two)
//       locks of the layers
#pragma once

#include "overlay_superblock.hpp"

namespace linnet::overlay {

class OverlayInode : public vfs::Inode {
public:
    OverlayInode(OverlaySuperBlock& superblock, const Identity& identity, Found found);
    ~OverlayInode() override;

    OverlaySuperBlock& overlay() const { return static_cast<OverlaySuperBlock&>(superblock()); }
    /// Null as long as there is none; it never goes again.
    vfs::Dentry* upper() const { return upper_.load(std::memory_order_acquire); }
    std::span<const LowerPlace> lowers() const { return lowers_.span(); }
    /// What it shows, and where that is.
    vfs::Dentry& real_dentry() const;
    vfs::Inode& real() const { return *real_dentry().inode(); }
    vfs::Path real_path() const;
    u64 shown_number() const { return shown_number_.load(std::memory_order_relaxed); }

    /// Takes over what the real inode's attributes have become.
    void mirror();
    /// Sees to it that there is an upper object. Of a file's data no more than `data_wanted` bytes are needed. EROFS,
    /// ENOSPC, EINTR by a fatal signal, and what the layers say.
    Result<void> copy_up(u64 data_wanted = ~u64{0});

    Result<vfs::Attributes> attributes() override;
    Result<void> set_attributes(const vfs::AttributeChange& change) override;
    Result<void> check_permission(u32 mask, const vfs::Credentials& who) override;
    Result<RefPtr<vfs::File>> open(const vfs::Path& path, u32 flags) override;
    Result<usize> get_extended_attribute(std::string_view name, std::span<u8> value) override;
    Result<void> set_extended_attribute(std::string_view name, std::span<const u8> value, u32 flags) override;
    Result<usize> list_extended_attributes(std::span<char> names) override;
    Result<void> remove_extended_attribute(std::string_view name) override;
    Result<KeptAcls> load_acls() override;
    Result<vfs::LinkTarget> read_link() override { return real().read_link(); }
    mm::VmObject* pages() override { return real().pages(); }
    std::optional<vfs::DirectAlignment> direct_alignment() override { return real().direct_alignment(); }
    Result<void> truncate(u64 size) override;
    Result<u64> seek_data(u64 offset) override { return real().seek_data(offset); }
    Result<u64> seek_hole(u64 offset) override { return real().seek_hole(offset); }
    Result<void> sync() override;
    Result<u32> kept_flags() override { return real().kept_flags(); }
    Result<void> change_flags(u32 wanted) override;
    std::optional<u32> generation() override { return real().generation(); }

    // ---- for changes of names ----

    /// Held while it is copied up, and while its name goes.
    core::Mutex copy_up_lock;
    /// Its name has gone; copy_up_lock held.
    void note_removed();

    // ---- OverlaySuperBlock's table, its lock ----
    TreeNode table_node;
    bool is_in_table = false;

protected:
    virtual bool is_merged() const { return false; }

private:
    friend class CopyUp;
    Result<void> copy_up_one(vfs::Dentry& name, u64 data_wanted);
    /// copy_up_lock held.
    void set_upper(RefPtr<vfs::Dentry> dentry);

    std::atomic<vfs::Dentry*> upper_{nullptr}; // counted
    ArrayList<LowerPlace> lowers_;
    std::atomic<u64> shown_number_, shown_device_;
    bool is_removed_ = false; // copy_up_lock
};

struct OverlaySuperBlock::Table {
    IntrusiveTree<OverlayInode, &OverlayInode::table_node, UpperOf> inodes;
};

inline OverlayInode& of_overlay(vfs::Inode& inode) { return static_cast<OverlayInode&>(inode); }

/// An extended attribute of a layer's inode, which is locked; access control lists are told of.
Result<void> set_layer_attribute(vfs::Inode& inode, std::string_view name, std::span<const u8> value, u32 flags);

} // namespace linnet::overlay
