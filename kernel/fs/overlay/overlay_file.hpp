// Open files of an overlay. A regular file reads, writes and maps the file of its layer, opened beside it, through that
// one's page cache. One that was opened for reading follows a later copy; what it has mapped, or maps, stays the lower
// file's, as on Linux.
#pragma once

#include "listing.hpp"
#include "overlay_directory.hpp"

#include <vfs/file.hpp>

namespace linnet::overlay {

class OverlayFile final : public vfs::File {
public:
    static Result<RefPtr<File>> create(const vfs::Path& path, u32 flags);
    ~OverlayFile() override;

    Result<usize> read(vfs::IoBuffer& to, u64 offset) override;
    Result<usize> write(vfs::IoBuffer& from, u64 offset) override;
    Result<usize> append(vfs::IoBuffer& from, u64& offset) override;
    Result<u64> seek(u64 position, i64 offset, u32 whence) override;
    Result<RefPtr<mm::VmObject>> mmap(const vfs::MapFileRequest& request) override;
    Result<void> truncate(u64 size) override;
    Result<void> allocate_range(u32 mode, u64 offset, u64 length) override;
    Result<void> sync(SyncKind kind) override;
    bool accepts_direct() override { return opened_->accepts_direct(); }
    mm::VmObject* lendable_pages() override;

private:
    OverlayFile(const vfs::Path& path, u32 flags, RefPtr<File> opened)
        : File(path, flags, Positioning::Seekable), opened_(std::move(opened)) {}
    OverlayInode& overlay_inode() const { return of_overlay(inode()); }
    Result<File*> current();
    template <typename Change>
    auto change(Change make_change);

    const RefPtr<File> opened_;               // what there was at the time
    std::atomic<File*> opened_copy_{nullptr}; // counted; of the upper layer, where it was copied up since
};

class OverlayDirectoryFile final : public vfs::File {
public:
    static Result<RefPtr<File>> create(const vfs::Path& path, u32 flags);
    ~OverlayDirectoryFile() override;

    Result<usize> read(vfs::IoBuffer&, u64) override { return error(Errno::EISDIR); }
    bool feeds_pipes() const override { return false; }
    Result<u64> seek(u64 position, i64 offset, u32 whence) override;
    Result<void> read_directory(u64& position, vfs::DirectorySink sink) override;

private:
    OverlayDirectoryFile(const vfs::Path& path, u32 flags) : File(path, flags, Positioning::Seekable) {}
    OverlayDirectory& directory() const { return of_directory(inode()); }
    Result<void> begin();
    void forget();
    Result<void> pass_on_real(u64& position, vfs::DirectorySink sink);
    Result<void> pass_on_listing(u64& position, vfs::DirectorySink sink);
    Result<std::optional<u64>> number_of(const Listing::Entry& entry);

    // The position lock guards these.
    NullableRefPtr<vfs::Dentry> real_; // the one directory that there is …
    NullableRefPtr<Listing> listing_;  // … or the names of several, as they were when reading began
};

} // namespace linnet::overlay
