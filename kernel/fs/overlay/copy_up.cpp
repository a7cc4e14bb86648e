// Copying a lower object to the upper layer: folders first. The copy is made in the work directory and gets its place
// by one rename when it is whole, so that nobody, nor a machine that stops, ever shows half of one.
#include "overlay_directory.hpp"
#include "upper_names.hpp"
#include "work_directory.hpp"

#include <abi/linux/fcntl.hpp>
#include <algorithm>
#include <core/thread.hpp>
#include <vfs/file.hpp>

namespace linnet::overlay {

using vfs::Dentry;
using vfs::Inode;

/// One object that is being copied; copy_up_lock of it held.
class CopyUp {
public:
    CopyUp(OverlayInode& inode, u64 data_wanted)
        : inode_(inode), overlay_(inode.overlay()), lower_(inode.real()), data_wanted_(data_wanted) {}
    /// To the name that it has.
    Result<void> to_name(Dentry& parent, std::string_view name);
    /// One that has lost its name and lives on in open files.
    Result<void> without_name();

private:
    Result<vfs::CreateRequest> plan();
    Result<void> fill(Inode& copy, const vfs::Path& place);
    Result<void> copy_data(Inode& copy, const vfs::Path& place);
    Result<void> copy_range(vfs::File& from, vfs::File& to, u64 begin, u64 end, std::span<u8> buffer);
    Result<void> copy_extended_attributes(Inode& copy);
    Result<void> copy_extended_attribute(Inode& copy, std::string_view name);
    vfs::Path place_of(RefPtr<Dentry> dentry) {
        return {RefPtr<vfs::Mount>(*overlay_.layer(0).root.mount), std::move(dentry)};
    }

    OverlayInode& inode_;
    OverlaySuperBlock& overlay_;
    Inode& lower_;
    u64 data_wanted_;
    vfs::Attributes attributes_{};
    vfs::LinkTarget target_{};
};

Result<vfs::CreateRequest> CopyUp::plan() {
    attributes_ = TRY(lower_.attributes());
    vfs::CreateRequest request;
    request.mode = attributes_.mode;
    request.uid = attributes_.uid;
    request.gid = attributes_.gid;
    request.device = lower_.special_device();
    if (lower_.is_symlink()) {
        target_ = TRY(lower_.read_link());
        request.link_target = target_.text;
    }
    return request;
}

Result<void> CopyUp::to_name(Dentry& parent, std::string_view name) {
    WorkName copy = TRY(WorkName::make(overlay_, TRY(plan())));
    TRY(fill(copy.inode(), place_of(copy.dentry())));
    OverlayDirectory& above = of_directory(*parent.inode());
    Dentry& directory = *above.upper();
    above.make_impure();
    // The folder's times tell of changes that its users have made.
    vfs::AttributeChange times;
    times.access_time = directory.inode()->access_time();
    times.modify_time = directory.inode()->modify_time();
    TRY(copy.move_to(directory, name));
    {
        core::WriteGuard guard(directory.inode()->lock);
        (void)directory.inode()->set_attributes(times);
    }
    inode_.set_upper(copy.dentry());
    above.note_change();
    return {};
}

Result<void> CopyUp::without_name() {
    if (lower_.is_directory()) return error(Errno::ENOENT);
    const vfs::CreateRequest request = TRY(plan());
    if (!lower_.is_regular()) {
        // Only files can be made without a name: this one has one for a moment.
        WorkName copy = TRY(WorkName::make(overlay_, request));
        TRY(fill(copy.inode(), place_of(copy.dentry())));
        inode_.set_upper(copy.dentry());
        return {};
    }
    RefPtr<Inode> copy = TRY(overlay_.work().inode()->create_unnamed(request));
    char name[24];
    RefPtr<Dentry> dentry =
        TRY(Dentry::create_root(overlay_.work().superblock(), copy, format_into(name, "#{}", copy->number())));
    TRY(fill(copy, place_of(dentry)));
    inode_.set_upper(std::move(dentry));
    return {};
}

Result<void> CopyUp::fill(Inode& copy, const vfs::Path& place) {
    if (lower_.is_regular()) TRY(copy_data(copy, place));
    TRY(copy_extended_attributes(copy));
    vfs::AttributeChange change;
    if (!lower_.is_symlink()) change.mode = attributes_.mode & abi::S_IALLUGO; // writing may have taken bits
    change.access_time = attributes_.access_time;
    change.modify_time = attributes_.modify_time;
    {
        core::WriteGuard guard(copy.lock);
        TRY(copy.set_attributes(change));
    }
    // Of several names of the lower file only this one leads to the copy: they aren't the same any more.
    if (lower_.is_directory() || attributes_.link_count == 1) overlay_.note_origin(copy, inode_.lowers()[0]);
    if (lower_.is_regular() && !overlay_.is_volatile()) TRY(copy.sync());
    return {};
}

/// Holes stay holes.
Result<void> CopyUp::copy_data(Inode& copy, const vfs::Path& place) {
    const u64 size = std::min(attributes_.size, data_wanted_);
    if (size == 0) return {};
    constexpr usize buffer_size = 64 * 1024;
    const OwnPtr<u8[]> buffer(new (std::nothrow) u8[buffer_size]);
    if (!buffer) return error(Errno::ENOMEM);
    const auto from = TRY(lower_.open(inode_.real_path(), abi::O_RDONLY | abi::O_LARGEFILE));
    const auto to = TRY(copy.open(place, abi::O_WRONLY | abi::O_LARGEFILE));
    for (u64 at = 0; at < size;) {
        const auto data = lower_.seek_data(at);
        if (!data && data.error() == Errno::ENXIO) break; // a hole up to the end
        at = TRY(data);
        const u64 end = std::min(size, TRY(lower_.seek_hole(at)));
        if (end <= at) break; // it has become shorter meanwhile
        TRY(copy_range(from, to, at, end, {buffer.get(), buffer_size}));
        at = end;
    }
    if (copy.size() >= size) return {};
    core::WriteGuard guard(copy.lock);
    return copy.truncate(size);
}

Result<void> CopyUp::copy_range(vfs::File& from, vfs::File& to, u64 begin, u64 end, std::span<u8> buffer) {
    for (u64 at = begin; at < end;) {
        if (core::current_thread().has_fatal_signal()) return error(Errno::EINTR);
        const usize wanted = std::min<u64>(end - at, buffer.size());
        auto input = vfs::IoBuffer::kernel(buffer.first(wanted));
        const usize count = TRY(from.read(input, at));
        if (count == 0) break; // shorter by now
        for (usize done = 0; done < count;) {
            auto output = vfs::IoBuffer::kernel(std::span<const u8>(buffer).subspan(done, count - done));
            const usize stored = TRY(to.write(output, at + done));
            if (stored == 0) return error(Errno::EIO);
            done += stored;
        }
        at += count;
    }
    return {};
}

Result<void> CopyUp::copy_extended_attributes(Inode& copy) {
    ArrayList<char> names;
    {
        core::ReadGuard guard(lower_.lock);
        const auto size = lower_.list_extended_attributes({});
        if (!size && size.error() == Errno::EOPNOTSUPP) return {};
        TRY(names.try_resize(TRY(size)));
        if (!names.is_empty()) TRY(lower_.list_extended_attributes(names.span()));
    }
    for (usize at = 0; at < names.size();) {
        const std::string_view name(&names[at]);
        at += name.size() + 1;
        if (!overlay_.marks().is_own(name)) TRY(copy_extended_attribute(copy, name));
    }
    return {};
}

Result<void> CopyUp::copy_extended_attribute(Inode& copy, std::string_view name) {
    ArrayList<u8> value;
    {
        core::ReadGuard guard(lower_.lock);
        const auto size = lower_.get_extended_attribute(name, {});
        if (!size && size.error() == Errno::ENODATA) return {}; // removed meanwhile
        TRY(value.try_resize(TRY(size)));
        if (!value.is_empty()) TRY(lower_.get_extended_attribute(name, value.span()));
    }
    core::WriteGuard guard(copy.lock);
    const auto set = set_layer_attribute(copy, name, value.span(), 0);
    // Rights must not get lost; other things may be of a kind that the upper file system doesn't keep.
    const bool is_needed = name.starts_with("security.") || vfs::acl_kind(name);
    if (!set && set.error() == Errno::EOPNOTSUPP && !is_needed) return {};
    return set;
}

// ---- OverlayInode ----

void OverlayInode::set_upper(RefPtr<Dentry> dentry) {
    const bool keeps_number = is_directory() || real().link_count() == 1;
    upper_.store(dentry.release(), std::memory_order_release);
    if (!keeps_number) {
        const Identity identity = overlay().identity_of(0, real());
        shown_number_.store(identity.number, std::memory_order_relaxed);
        shown_device_.store(identity.device, std::memory_order_relaxed);
    }
    if (!is_directory()) overlay().enlist(*this);
    mirror();
}

Result<void> OverlayInode::copy_up(u64 data_wanted) {
    if (upper()) return {};
    if (!overlay().has_upper() || overlay().is_read_only()) return error(Errno::EROFS);
    for (;;) {
        NullableRefPtr<Dentry> name = Dentry::any_of(*this);
        if (!name) return error(Errno::ESTALE);
        // The topmost that has none: what is above it has one, the root for certain.
        for (RefPtr<Dentry> above = name->parent(); !of_overlay(*above->inode()).upper(); above = name->parent())
            name = std::move(above);
        OverlayInode& topmost = of_overlay(*name->inode());
        TRY(topmost.copy_up_one(*name, &topmost == this ? data_wanted : ~u64{0}));
        if (&topmost == this) return {};
    }
}

Result<void> OverlayInode::copy_up_one(Dentry& name, u64 data_wanted) {
    core::MutexGuard guard(copy_up_lock);
    if (upper()) return {};
    CopyUp copy(*this, data_wanted);
    if (is_removed_) return copy.without_name();
    char text[abi::NAME_MAX];
    usize length = 0;
    const RefPtr<Dentry> parent = name.parent_and_name(text, length);
    return copy.to_name(parent, {text, length});
}

} // namespace linnet::overlay
