// memfd files: page-backed files that have a name only for display.
#include "paged_file.hpp"

#include <algorithm>
#include <cstring>
#include <mm/vm_object.hpp>
#include <vfs/memory_file.hpp>

namespace linnet::vfs {

namespace {

class MemoryFile : public PagedFile {
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

/// A file of huge pages: it can only be mapped, read and sized.
class HugeMemoryFile final : public MemoryFile {
public:
    using MemoryFile::MemoryFile;
    Result<usize> write(IoBuffer&, u64) override { return error(Errno::EINVAL); }
    Result<usize> append(IoBuffer&, u64&) override { return error(Errno::EINVAL); }
};

} // namespace

Result<RefPtr<File>> create_memory_file(RefPtr<Inode> inode, std::string_view name, u32 flags) {
    MemoryFile* file;
    if (inode->pages()->is_hugetlb())
        file = new (std::nothrow) HugeMemoryFile(std::move(inode), name, flags);
    else
        file = new (std::nothrow) MemoryFile(std::move(inode), name, flags);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<File>(adopt_ref(*file));
}

} // namespace linnet::vfs
