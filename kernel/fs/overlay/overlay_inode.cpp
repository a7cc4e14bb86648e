// What is common to all inodes: attributes, permissions, extended attributes.
#include "overlay_inode.hpp"

#include <cstring>

namespace linnet::overlay {

OverlayInode::OverlayInode(OverlaySuperBlock& superblock, const Identity& identity, Found found)
    : Inode(superblock, identity.number, (found.upper ? *found.upper : *found.lowers[0].dentry).inode()->mode(), 0, 0,
            (found.upper ? *found.upper : *found.lowers[0].dentry).inode()->special_device()),
      upper_(found.upper.release()), lowers_(std::move(found.lowers)), shown_number_(identity.number),
      shown_device_(identity.device) {
    birth_time_ = real().birth_time();
    set_acl_state(real().has_no_acl() ? vfs::AclState::None : vfs::AclState::Unknown);
    set_link_count(real().link_count());
    mirror();
}

OverlayInode::~OverlayInode() {
    overlay().forget(*this);
    if (vfs::Dentry* const dentry = upper()) dentry->unref();
}

vfs::Dentry& OverlayInode::real_dentry() const {
    vfs::Dentry* const dentry = upper();
    return dentry ? *dentry : *lowers_[0].dentry;
}

vfs::Path OverlayInode::real_path() const {
    vfs::Dentry* const dentry = upper();
    const Layer& layer = overlay().layer(dentry ? 0 : lowers_[0].layer);
    return {RefPtr<vfs::Mount>(*layer.root.mount), RefPtr<vfs::Dentry>(dentry ? *dentry : *lowers_[0].dentry)};
}

void OverlayInode::mirror() {
    const Inode& shown = real();
    set_mode(type() | (shown.mode() & abi::S_IALLUGO));
    set_owner(shown.uid(), shown.gid());
    set_size(shown.size());
    access_time_.store(shown.access_time());
    modify_time_.store(shown.modify_time());
    change_time_.store(shown.change_time());
    constexpr u32 heeded[] = {abi::FS_IMMUTABLE_FL, abi::FS_APPEND_FL, abi::FS_NOATIME_FL, abi::FS_SYNC_FL};
    u32 flags = 0;
    for (const u32 flag : heeded)
        if (shown.has_flag(flag)) flags |= flag;
    set_flags(flags);
    if (upper() && !is_directory()) set_link_count(shown.link_count());
}

void OverlayInode::note_removed() {
    is_removed_ = true;
    if (upper() && !is_directory())
        set_link_count(real().link_count());
    else
        set_link_count(is_directory() || link_count() == 0 ? 0 : link_count() - 1);
}

Result<vfs::Attributes> OverlayInode::attributes() {
    vfs::Attributes result = TRY(real().attributes());
    result.inode = shown_number();
    result.device = shown_device_.load(std::memory_order_relaxed);
    // As many tools know: no number of subdirectories can be relied on.
    if (is_merged()) result.link_count = 1;
    return result;
}

Result<void> OverlayInode::set_attributes(const vfs::AttributeChange& change) {
    TRY(copy_up());
    {
        core::WriteGuard guard(real().lock);
        TRY(real().set_attributes(change));
    }
    mirror();
    return {};
}

/// By its own mode and owner for the caller; and the layer's file system must let whoever mounted the overlay. What is
/// written gets copied, for which the lower object is read.
Result<void> OverlayInode::check_permission(u32 mask, const vfs::Credentials& who) {
    TRY(Inode::check_permission(mask, who));
    const bool is_copied_first = !upper() && (is_regular() || is_directory() || is_symlink());
    if (is_copied_first && (mask & vfs::may_write)) mask = (mask & ~vfs::may_write) | vfs::may_read;
    return real().check_permission(mask, overlay().mounter());
}

Result<void> OverlayInode::truncate(u64 size) {
    TRY(copy_up(size));
    {
        core::WriteGuard guard(real().lock);
        TRY(real().truncate(size));
        real().touch_modified();
    }
    mirror();
    return {};
}

Result<void> OverlayInode::sync() {
    vfs::Dentry* const dentry = upper();
    if (!dentry || overlay().is_volatile()) return {};
    return dentry->inode()->sync();
}

Result<void> OverlayInode::change_flags(u32 wanted) {
    TRY(copy_up());
    {
        core::WriteGuard guard(real().lock);
        TRY(real().change_flags(wanted));
    }
    mirror();
    return {};
}

// ---- extended attributes ----

Result<usize> OverlayInode::get_extended_attribute(std::string_view name, std::span<u8> value) {
    const auto below = TRY(Marks::LayerName::of(overlay().marks(), name));
    core::ReadGuard guard(real().lock);
    return real().get_extended_attribute(below.text(), value);
}

Result<void> set_layer_attribute(vfs::Inode& inode, std::string_view name, std::span<const u8> value, u32 flags) {
    TRY(inode.set_extended_attribute(name, value, flags));
    const auto kind = vfs::acl_kind(name);
    if (kind == vfs::AclKind::Access) inode.acl_changed(TRY(vfs::AccessControlList::parse(value)));
    if (kind == vfs::AclKind::Default) inode.default_acl_changed();
    return {};
}

Result<void> OverlayInode::set_extended_attribute(std::string_view name, std::span<const u8> value, u32 flags) {
    const auto below = TRY(Marks::LayerName::of(overlay().marks(), name));
    TRY(copy_up());
    {
        core::WriteGuard guard(real().lock);
        TRY(set_layer_attribute(real(), below.text(), value, flags));
    }
    mirror();
    return {};
}

Result<usize> OverlayInode::list_extended_attributes(std::span<char> names) {
    ArrayList<char> below;
    {
        core::ReadGuard guard(real().lock);
        TRY(below.try_resize(TRY(real().list_extended_attributes({}))));
        if (!below.is_empty()) TRY(real().list_extended_attributes(below.span()));
    }
    usize size = 0;
    for (usize at = 0; at < below.size();) {
        const std::string_view name(&below[at]);
        at += name.size() + 1;
        char buffer[abi::XATTR_NAME_MAX];
        const auto shown = overlay().marks().shown_name(name, buffer);
        if (!shown) continue;
        if (!names.empty()) {
            if (names.size() - size < shown->size() + 1) return error(Errno::ERANGE);
            std::memcpy(&names[size], shown->data(), shown->size());
            names[size + shown->size()] = '\0';
        }
        size += shown->size() + 1;
    }
    return size;
}

Result<void> OverlayInode::remove_extended_attribute(std::string_view name) {
    const auto below = TRY(Marks::LayerName::of(overlay().marks(), name));
    if (!upper()) {
        // What isn't there needs no copy.
        core::ReadGuard guard(real().lock);
        TRY(real().get_extended_attribute(below.text(), {}));
    }
    TRY(copy_up());
    {
        core::WriteGuard guard(real().lock);
        TRY(real().remove_extended_attribute(below.text()));
        if (vfs::acl_kind(name) == vfs::AclKind::Access) real().acl_changed({});
    }
    mirror();
    return {};
}

Result<vfs::Inode::KeptAcls> OverlayInode::load_acls() {
    KeptAcls kept;
    if (real().has_no_acl()) return kept;
    kept.access = TRY(real().access_acl());
    if (!is_directory()) return kept;
    core::ReadGuard guard(real().lock);
    const auto size = real().get_extended_attribute(vfs::acl_attribute(vfs::AclKind::Default), {});
    kept.has_default = size.has_value();
    return kept;
}

} // namespace linnet::overlay
