// PathFile: what open(2) with O_PATH gives: a place in the tree, without the right to read or write it.
#pragma once

#include <vfs/file.hpp>

namespace linnet::vfs {

class PathFile final : public File {
public:
    static Result<RefPtr<File>> create(const Path& path, u32 flags) {
        auto* file = new (std::nothrow) PathFile(path, flags);
        if (!file) return error(Errno::ENOMEM);
        return RefPtr<File>(adopt_ref(*file));
    }

private:
    PathFile(const Path& path, u32 flags) : File(path, flags, Positioning::Stream) {}
};

} // namespace linnet::vfs
