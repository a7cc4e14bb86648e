// memfd files: page-backed files that have a name only for display.
#include "paged_file.hpp"

#include <algorithm>
#include <cstring>
#include <vfs/memory_file.hpp>

namespace linnet::vfs {

namespace {

class MemoryFile final : public PagedFile {
public:
    static constexpr usize max_name = 249; // memfd_create(2)

    MemoryFile(RefPtr<Inode> inode, std::string_view name, u32 flags) : PagedFile(std::move(inode), flags) {
        length_ = static_cast<u8>(std::min(name.size(), max_name));
        std::memcpy(name_, name.data(), length_);
    }
    void describe(TextSink sink) const override {
        format_to(sink, "/memfd:{} (deleted)", std::string_view(name_, length_));
    }

private:
    u8 length_;
    char name_[max_name];
};

} // namespace

Result<RefPtr<File>> create_memory_file(RefPtr<Inode> inode, std::string_view name, u32 flags) {
    auto* file = new (std::nothrow) MemoryFile(std::move(inode), name, flags);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<File>(adopt_ref(*file));
}

} // namespace linnet::vfs
