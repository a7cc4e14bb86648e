// /proc/PID/mem: the memory of a process as a file (proc_pid_mem(5)).
#include "task.hpp"

#include <algorithm>
#include <mm/address_space.hpp>

namespace linnet::process::proc {

namespace {

/// Holds the address space that the process had when the file was opened: after an execve it reads nothing.
class MemoryFile final : public vfs::File {
public:
    MemoryFile(const vfs::Path& path, u32 flags, NullableRefPtr<mm::AddressSpace> space)
        : File(path, flags, Positioning::Seekable), space_(std::move(space)) {}

    Result<usize> read(vfs::IoBuffer& to, u64 offset) override {
        if (!space_) return 0;
        usize total = 0;
        u8 chunk[512];
        while (to.remaining() > 0) {
            const usize size = std::min(sizeof(chunk), to.remaining());
            Result<usize> count =
                space_->read_memory(VirtAddr{offset + total}, std::span(chunk).first(size), mm::ForeignAccess::Forced);
            if (!count) return total > 0 ? Result<usize>(total) : error(Errno::EIO);
            total += TRY(to.copy_out(std::span<const u8>(chunk).first(*count)));
            if (*count < size) break;
        }
        return total;
    }
    Result<usize> write(vfs::IoBuffer& from, u64 offset) override {
        if (!space_) return 0;
        usize total = 0;
        u8 chunk[512];
        while (from.remaining() > 0) {
            const usize size = TRY(from.copy_in(std::span(chunk).first(std::min(sizeof(chunk), from.remaining()))));
            Result<usize> count = space_->write_memory(VirtAddr{offset + total}, std::span<const u8>(chunk).first(size),
                                                       mm::ForeignAccess::Forced);
            if (!count) return total > 0 ? Result<usize>(total) : error(Errno::EIO);
            total += *count;
            if (*count < size) break;
        }
        return total;
    }

private:
    NullableRefPtr<mm::AddressSpace> space_;
};

class MemoryNode final : public vfs::pseudo::Node, public TaskNode {
public:
    MemoryNode(const TaskKey& key, Owner owner, u32 number)
        : Node(vfs::pseudo::proc().superblock(), inode_number(key, number), abi::S_IFREG | 0600, owner.uid, owner.gid),
          TaskNode(key, owner) {}
    bool is_still_valid() override { return still_exists(); }
    Result<RefPtr<vfs::File>> open(const vfs::Path& path, u32 flags) override {
        const Task task = TRY(resolve(key()));
        TRY(check_may_inspect(task));
        auto* file = new (std::nothrow) MemoryFile(path, flags, task.representative()->address_space());
        if (!file) return error(Errno::ENOMEM);
        return RefPtr<vfs::File>::adopt(*file);
    }
};

} // namespace

Result<RefPtr<vfs::Inode>> make_memory_node(const TaskKey& key, u32 number) {
    const Owner owner = owner_of(TRY(resolve(key)));
    auto* node = new (std::nothrow) MemoryNode(key, owner, number);
    if (!node) return error(Errno::ENOMEM);
    return RefPtr<vfs::Inode>::adopt(*node);
}

} // namespace linnet::process::proc
