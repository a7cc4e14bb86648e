// DirectoryFile: an open directory, read with getdents64(2).
#pragma once

#include <vfs/file.hpp>

namespace linnet::vfs {

class DirectoryFile final : public File {
public:
    static Result<RefPtr<File>> create(const Path& path, u32 flags);

    Result<usize> read(IoBuffer&, u64) override { return error(Errno::EISDIR); }
    bool feeds_pipes() const override { return false; }
    Result<u64> seek(u64 position, i64 offset, u32 whence) override;
    Result<void> read_directory(u64& position, DirectorySink sink) override;

private:
    DirectoryFile(const Path& path, u32 flags) : File(path, flags, Positioning::Seekable) {}
};

} // namespace linnet::vfs
