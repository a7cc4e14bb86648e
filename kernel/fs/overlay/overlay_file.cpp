// Open regular files.
#include "overlay_file.hpp"

#include <abi/linux/fs.hpp>
#include <vfs/watches.hpp>

namespace linnet::overlay {

using vfs::File;

namespace {

/// What the layer's file is opened with: creation and truncation are the overlay's business.
constexpr u32 flags_below(u32 flags) {
    return flags & ~(abi::O_CREAT | abi::O_EXCL | abi::O_NOCTTY | abi::O_TRUNC | abi::O_CLOEXEC);
}

} // namespace

Result<RefPtr<File>> OverlayInode::open(const vfs::Path& path, u32 flags) {
    if (is_directory()) return OverlayDirectoryFile::create(path, flags);
    if (!is_regular()) return Inode::open(path, flags);
    const bool writes = (flags & abi::O_ACCMODE) != abi::O_RDONLY || (flags & abi::O_TRUNC);
    if (writes) TRY(copy_up((flags & abi::O_TRUNC) ? 0 : ~u64{0}));
    return OverlayFile::create(path, flags);
}

Result<RefPtr<File>> OverlayFile::create(const vfs::Path& path, u32 flags) {
    const vfs::Path below = of_overlay(*path.inode()).real_path();
    RefPtr<File> opened = TRY(below.inode()->open(below, flags_below(flags)));
    auto* file = new (std::nothrow) OverlayFile(path, flags, std::move(opened));
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<File>(adopt_ref(*file));
}

OverlayFile::~OverlayFile() {
    if (File* const copy = opened_copy_.load(std::memory_order_relaxed)) copy->unref();
}

/// The layer's file as it is now, with the flags that this one has now.
Result<File*> OverlayFile::current() {
    File* file = opened_.get();
    if (&file->inode() != &overlay_inode().real()) {
        file = opened_copy_.load(std::memory_order_acquire);
        if (!file) {
            const vfs::Path below = overlay_inode().real_path();
            RefPtr<File> fresh = TRY(below.inode()->open(below, flags_below(status_flags())));
            if (opened_copy_.compare_exchange_strong(file, fresh.get(), std::memory_order_acq_rel))
                file = fresh.release();
        }
    }
    constexpr u32 changeable = abi::O_DIRECT | abi::O_NOATIME;
    const u32 flags = (file->status_flags() & ~changeable) | (status_flags() & changeable);
    if (flags != file->status_flags()) file->set_status_flags(flags);
    return file;
}

/// Changes the layer's file, and takes over what that has changed of its attributes. The lock keeps several changes in
/// order.
template <typename Change>
auto OverlayFile::change(Change make_change) {
    core::WriteGuard guard(inode().lock);
    const u32 old_mode = inode().mode();
    auto outcome = make_change();
    overlay_inode().mirror();
    // The layer's file told its own watches only that it has lost the set-user-ID bit.
    if (inode().mode() != old_mode) vfs::tell_watches(*this, abi::IN_ATTRIB);
    return outcome;
}

Result<usize> OverlayFile::read(vfs::IoBuffer& to, u64 offset) { return TRY(current())->read(to, offset); }

Result<usize> OverlayFile::write(vfs::IoBuffer& from, u64 offset) {
    return change([&]() -> Result<usize> { return TRY(current())->write(from, offset); });
}

Result<usize> OverlayFile::append(vfs::IoBuffer& from, u64& offset) {
    return change([&]() -> Result<usize> { return TRY(current())->append(from, offset); });
}

Result<u64> OverlayFile::seek(u64 position, i64 offset, u32 whence) {
    return TRY(current())->seek(position, offset, whence);
}

Result<RefPtr<mm::VmObject>> OverlayFile::mmap(const vfs::MapFileRequest& request) {
    if (request.executable && (path().mount->flags() & abi::MS_NOEXEC)) return error(Errno::EPERM);
    return opened_->mmap(request);
}

Result<void> OverlayFile::truncate(u64 size) {
    TRY(change([&]() -> Result<void> { return TRY(current())->truncate(size); }));
    vfs::tell_watches(*this, abi::IN_MODIFY);
    return {};
}

Result<void> OverlayFile::allocate_range(u32 mode, u64 offset, u64 length) {
    return change([&]() -> Result<void> { return TRY(current())->allocate_range(mode, offset, length); });
}

/// Nothing of a lower file is to be stored.
Result<void> OverlayFile::sync(SyncKind kind) {
    if (!overlay_inode().upper() || overlay_inode().overlay().is_volatile()) return {};
    return TRY(current())->sync(kind);
}

mm::VmObject* OverlayFile::lendable_pages() {
    const auto file = current();
    return file ? (*file)->lendable_pages() : nullptr;
}

} // namespace linnet::overlay
