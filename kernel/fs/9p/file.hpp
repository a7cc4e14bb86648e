// Open regular files of 9p: reads and writes are the server's.
#pragma once

#include "inode.hpp"

#include <vfs/file.hpp>

namespace linnet::fs {

class P9File final : public vfs::File {
public:
    static Result<RefPtr<vfs::File>> create(const vfs::Path& path, u32 flags, RefPtr<p9::Fid> fid);
    ~P9File() override;

    Result<usize> read(vfs::IoBuffer& to, u64 offset) override;
    Result<usize> write(vfs::IoBuffer& from, u64 offset) override;
    Result<usize> append(vfs::IoBuffer& from, u64& offset) override;
    Result<RefPtr<mm::VmObject>> mmap(const vfs::MapFileRequest& request) override;
    Result<u64> seek(u64 position, i64 offset, u32 whence) override;
    Result<void> truncate(u64 size) override;
    Result<void> allocate_range(u32, u64, u64) override { return error(Errno::EOPNOTSUPP); }
    Result<void> sync(SyncKind kind) override;
    bool accepts_direct() override { return true; }

private:
    P9File(const vfs::Path& path, u32 flags, RefPtr<p9::Fid> fid);
    [[nodiscard]] P9Regular& file_inode() const { return static_cast<P9Regular&>(inode()); }
    [[nodiscard]] p9::Client& client() const;
    Result<usize> write_locked(vfs::IoBuffer& from, u64 offset);

    RefPtr<p9::Fid> fid_; // open
};

} // namespace linnet::fs
