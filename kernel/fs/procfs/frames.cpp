// /proc/kpagecount and kpageflags: what is known of each frame of memory, as arrays of 8-byte numbers that are indexed
// by the frame's number (Linux's documentation, "pagemap").
#include "procfs.hpp"

#include <algorithm>
#include <mm/statistics.hpp>

namespace linnet::fs {

namespace {

using Figure = u64 (*)(u64 frame);

class FrameFile final : public vfs::File {
public:
    FrameFile(const vfs::Path& path, u32 flags, Figure figure)
        : File(path, flags, Positioning::Seekable), figure_(figure) {}

    Result<usize> read(vfs::IoBuffer& to, u64 offset) override {
        if (offset % sizeof(u64) || to.remaining() % sizeof(u64)) return error(Errno::EINVAL);
        usize total = 0;
        for (u64 frame = offset / sizeof(u64); to.remaining() > 0 && frame < mm::frame_number_end();) {
            u64 values[64];
            const usize count =
                std::min({std::size(values), to.remaining() / sizeof(u64), mm::frame_number_end() - frame});
            for (usize i = 0; i < count; ++i) values[i] = figure_(frame + i);
            const std::span<const u8> bytes(reinterpret_cast<const u8*>(values), count * sizeof(u64));
            Result<usize> copied = to.copy_out(bytes);
            if (!copied) return total > 0 ? Result<usize>(total) : error(copied.error());
            total += *copied;
            if (*copied < bytes.size()) break;
            frame += count;
        }
        return total;
    }
    Result<u64> seek(u64 position, i64 offset, u32 whence) override {
        if (whence == abi::SEEK_SET) return static_cast<u64>(offset);
        if (whence == abi::SEEK_CUR) return position + static_cast<u64>(offset);
        return error(Errno::EINVAL);
    }

private:
    const Figure figure_;
};

class FrameNode final : public vfs::pseudo::Node {
public:
    FrameNode(vfs::pseudo::FileSystem& file_system, Figure figure)
        : Node(file_system.superblock(), file_system.next_inode_number(), abi::S_IFREG | 0400), figure_(figure) {}
    Result<RefPtr<vfs::File>> open(const vfs::Path& path, u32 flags) override {
        auto* file = new (std::nothrow) FrameFile(path, flags, figure_);
        if (!file) return error(Errno::ENOMEM);
        return RefPtr<vfs::File>::adopt(*file);
    }

private:
    const Figure figure_;
};

Result<void> add_frame_file(vfs::pseudo::Directory& root, std::string_view name, Figure figure) {
    auto* node = new (std::nothrow) FrameNode(root.file_system(), figure);
    if (!node) return error(Errno::ENOMEM);
    return root.add(name, RefPtr<vfs::pseudo::Node>::adopt(*node));
}

} // namespace

Result<void> add_frame_files(vfs::pseudo::Directory& root) {
    TRY(add_frame_file(root, "kpagecount", mm::frame_mappings));
    return add_frame_file(root, "kpageflags", mm::frame_flags);
}

} // namespace linnet::fs
