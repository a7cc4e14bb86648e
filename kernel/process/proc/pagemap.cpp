// /proc/PID/pagemap and clear_refs (proc_pid_pagemap(5), proc_pid_clear_refs(5)).
#include "task.hpp"

#include <algorithm>
#include <mm/address_space.hpp>
#include <vfs/current.hpp>

namespace linnet::process::proc {

namespace {

// Bits of an entry. Soft-dirty (55), swapped (62) and userfaultfd's (57) are never set: as on a kernel built without.
constexpr u64 pagemap_present = u64{1} << 63;
constexpr u64 pagemap_file = u64{1} << 61;
constexpr u64 pagemap_guard = u64{1} << 58;
constexpr u64 pagemap_exclusive = u64{1} << 56;
constexpr u64 pagemap_frame_mask = (u64{1} << 55) - 1;

enum class FrameNumbers : u8 { Hidden, Shown };

u64 entry_of(const mm::PageState& state, FrameNumbers numbers) {
    if (!state.is_present) return state.is_guard ? pagemap_guard : 0;
    return pagemap_present | (state.is_of_object ? pagemap_file : 0) | (state.is_exclusive ? pagemap_exclusive : 0) |
           (numbers == FrameNumbers::Shown ? state.frame & pagemap_frame_mask : 0);
}

/// One entry of 8 bytes for each page of the address space that the process had when the file was opened.
class PagemapFile final : public vfs::File {
public:
    PagemapFile(const vfs::Path& path, u32 flags, NullableRefPtr<mm::AddressSpace> space, FrameNumbers numbers)
        : File(path, flags, Positioning::Seekable), space_(std::move(space)), numbers_(numbers) {}

    Result<usize> read(vfs::IoBuffer& to, u64 offset) override {
        if (offset % sizeof(u64) || to.remaining() % sizeof(u64)) return error(Errno::EINVAL);
        if (!space_) return 0;
        constexpr u64 all = arch::user_address_end.value >> arch::page_shift;
        usize total = 0;
        for (u64 page = offset / sizeof(u64); to.remaining() > 0 && page < all;) {
            mm::PageState states[batch];
            u64 entries[batch];
            const usize count = std::min({batch, to.remaining() / sizeof(u64), all - page});
            space_->page_states(VirtAddr{page << arch::page_shift}, std::span(states, count));
            for (usize i = 0; i < count; ++i) entries[i] = entry_of(states[i], numbers_);
            const std::span<const u8> bytes(reinterpret_cast<const u8*>(entries), count * sizeof(u64));
            Result<usize> copied = to.copy_out(bytes);
            if (!copied) return total > 0 ? Result<usize>(total) : error(copied.error());
            total += *copied;
            if (*copied < bytes.size()) break;
            page += count;
        }
        return total;
    }
    Result<u64> seek(u64 position, i64 offset, u32 whence) override {
        if (whence == abi::SEEK_SET) return static_cast<u64>(offset);
        if (whence == abi::SEEK_CUR) return position + static_cast<u64>(offset);
        return error(Errno::EINVAL);
    }

private:
    static constexpr usize batch = 16; // small: it lives on the kernel's stack
    NullableRefPtr<mm::AddressSpace> space_;
    const FrameNumbers numbers_;
};

class PagemapNode final : public vfs::pseudo::Node, public TaskNode {
public:
    PagemapNode(const TaskKey& key, Owner owner, u32 number)
        : Node(vfs::pseudo::proc().superblock(), inode_number(key, number), abi::S_IFREG | 0400, owner.uid, owner.gid),
          TaskNode(key, owner) {}
    bool is_still_valid() override { return still_exists(); }
    Result<RefPtr<vfs::File>> open(const vfs::Path& path, u32 flags) override {
        const Task task = TRY(resolve(key()));
        TRY(check_may_inspect(task));
        // Where memory lies physically helps attackers: only the privileged see it.
        const bool may_see = vfs::current_credentials().has(vfs::Capability::SysAdmin);
        auto* file = new (std::nothrow) PagemapFile(path, flags, task.representative()->address_space(),
                                                    may_see ? FrameNumbers::Shown : FrameNumbers::Hidden);
        if (!file) return error(Errno::ENOMEM);
        return RefPtr<vfs::File>::adopt(*file);
    }
};

} // namespace

Result<RefPtr<vfs::Inode>> make_pagemap_node(const TaskKey& key, u32 number) {
    auto* node = new (std::nothrow) PagemapNode(key, owner_of(TRY(resolve(key))), number);
    if (!node) return error(Errno::ENOMEM);
    return RefPtr<vfs::Inode>::adopt(*node);
}

Result<void> store_clear_refs(const Task& task, std::string_view text) {
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    const i64 command = TRY(parse_integer(text, 1, 5));
    if (!space) return {};
    switch (command) {
    case 1:
        space->clear_references(mm::ReferencedPages::All);
        break;
    case 2:
        space->clear_references(mm::ReferencedPages::Anonymous);
        break;
    case 3:
        space->clear_references(mm::ReferencedPages::OfObjects);
        break;
    case 5:
        space->reset_peak_resident();
        break;
    default: // 4 clears soft-dirty marks, which pagemap never shows
        break;
    }
    return {};
}

} // namespace linnet::process::proc
