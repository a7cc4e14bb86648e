// PagedFile: an open regular file whose data is in pages (the page cache, or tmpfs's memory). Reads and
// writes copy straight between those pages and the caller's memory.
#pragma once

#include <mm/read_ahead.hpp>
#include <optional>
#include <vfs/device.hpp>
#include <vfs/file.hpp>

namespace linnet::vfs {

class PagedFile : public File {
public:
    static Result<RefPtr<File>> create(const Path& path, u32 flags);

    Result<usize> read(IoBuffer& to, u64 offset) override;
    Result<usize> write(IoBuffer& from, u64 offset) override;
    Result<usize> append(IoBuffer& from, u64& offset) override;
    Result<RefPtr<mm::VmObject>> mmap(const MapFileRequest& request) override;
    Result<void> truncate(u64 size) override;
    Result<void> allocate_range(u32 mode, u64 offset, u64 length) override;
    Result<long> fcntl(u32 command, u64 argument) override;
    mm::VmObject* lendable_pages() override;
    bool accepts_direct() override;
    mm::ReadAhead* read_ahead() override { return &read_ahead_; }

protected:
    /// A file without a place (memfd).
    PagedFile(RefPtr<Inode> inode, u32 flags) : File(std::move(inode), flags, Positioning::Seekable) {}

private:
    PagedFile(const Path& path, u32 flags) : File(path, flags, Positioning::Seekable) {}
    Result<long> add_seals(u32 seals);
    Result<usize> read_directly(IoBuffer& to, u64 offset, const DirectAlignment& alignment);
    Result<usize> write_locked(IoBuffer& from, u64 offset);
    Result<usize> write_through_pages(IoBuffer& from, u64 offset, usize wanted);
    [[nodiscard]] std::optional<DirectAlignment> alignment_for(const IoBuffer& buffer);

    mm::ReadAhead read_ahead_;
};

} // namespace linnet::vfs
