// /proc/PID/pagemap and clear_refs (proc_pid_pagemap(5), proc_pid_clear_refs(5)).
#include "task.hpp"

#include <algorithm>
#include <mm/address_space.hpp>
#include <vfs/current.hpp>
#include <vfs/pseudo/word_array.hpp>

namespace linnet::process::proc {

namespace {

// Bits of an entry. Swapped (62) and userfaultfd's (57) are never set: as on a kernel built without.
constexpr u64 pagemap_present = u64{1} << 63;
constexpr u64 pagemap_file = u64{1} << 61;
constexpr u64 pagemap_guard = u64{1} << 58;
constexpr u64 pagemap_exclusive = u64{1} << 56;
constexpr u64 pagemap_soft_dirty = u64{1} << 55;
constexpr u64 pagemap_frame_mask = (u64{1} << 55) - 1;

enum class FrameNumbers : u8 { Hidden, Shown };

u64 entry_of(const mm::PageState& state, FrameNumbers numbers) {
    const u64 dirty = state.is_soft_dirty ? pagemap_soft_dirty : 0;
    if (!state.is_present) return dirty | (state.is_guard ? pagemap_guard : 0);
    return dirty | pagemap_present | (state.is_of_object ? pagemap_file : 0) |
           (state.is_exclusive ? pagemap_exclusive : 0) |
           (numbers == FrameNumbers::Shown ? state.frame & pagemap_frame_mask : 0);
}

/// One entry of 8 bytes for each page of the address space that the process had when the file was opened.
class PagemapFile final : public vfs::pseudo::WordArrayFile {
public:
    PagemapFile(const vfs::Path& path, u32 flags, NullableRefPtr<mm::AddressSpace> space, FrameNumbers numbers)
        : WordArrayFile(path, flags), space_(std::move(space)), numbers_(numbers) {}

private:
    u64 count() const override { return space_ ? arch::user_address_end.value >> arch::page_shift : 0; }
    void get(u64 first, std::span<u64> words) override {
        while (!words.empty()) {
            mm::PageState states[batch];
            const usize number = std::min(batch, words.size());
            space_->page_states(VirtAddr{first << arch::page_shift}, std::span(states, number));
            for (usize i = 0; i < number; ++i) words[i] = entry_of(states[i], numbers_);
            words = words.subspan(number);
            first += number;
        }
    }

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
        const bool may_see = vfs::current_credentials().effective.has(vfs::Capability::SysAdmin);
        auto* file = new (std::nothrow) PagemapFile(path, flags, task.representative()->address_space(),
                                                    may_see ? FrameNumbers::Shown : FrameNumbers::Hidden);
        if (!file) return error(Errno::ENOMEM);
        return RefPtr<vfs::File>::adopt(*file);
    }
};

} // namespace

Result<RefPtr<vfs::Inode>> make_pagemap_node(const TaskKey& key, u32 number) {
    const Owner owner = owner_of(TRY(resolve(key)));
    auto* node = new (std::nothrow) PagemapNode(key, owner, number);
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
    case 4:
        return space->clear_soft_dirty();
    default:
        space->reset_peak_resident();
        break;
    }
    return {};
}

} // namespace linnet::process::proc
