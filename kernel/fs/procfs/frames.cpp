// /proc/kpagecount and kpageflags: what is known of each frame of memory, as arrays of 8-byte numbers that are indexed
// by the frame's number (Linux's documentation, "pagemap").
#include "procfs.hpp"

#include <mm/statistics.hpp>
#include <vfs/pseudo/word_array.hpp>

namespace linnet::fs {

namespace {

using Figure = void (*)(u64 first, std::span<u64> words);

class FrameFile final : public vfs::pseudo::WordArrayFile {
public:
    FrameFile(const vfs::Path& path, u32 flags, Figure figure) : WordArrayFile(path, flags), figure_(figure) {}

private:
    u64 count() const override { return mm::frame_number_end(); }
    void get(u64 first, std::span<u64> words) override { figure_(first, words); }

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
