// Debug builds look at all of the kernel's own mappings once: none may be writable and executable, and what one maps
// executable none may map writable, the direct map included.
//
// No lock: entries that come and go meanwhile (stacks, devices) are either there or not.
#include <core/log.hpp>
#include <core/panic.hpp>
#include <mm/init.hpp>
#include <mm/page_table.hpp>

namespace linnet::mm {

#ifdef LINNET_DEBUG
namespace {

using Policy = arch::PagingPolicy;
using KernelTable = PageTable<Policy>;

struct Range {
    u64 begin = ~u64{0};
    u64 end = 0;
};

struct Leaf {
    u64 virt;
    Range physical;
    arch::MappingFlags flags;
};

/// Calls visit(const Leaf&) for every leaf at or below a table; `base` is the virtual address of its first entry,
/// without the sign extension.
template <typename Visit>
void for_each_leaf(PhysAddr table, unsigned level, u64 base, Visit& visit) {
    for (u64 i = 0; i < entries_per_table; ++i) {
        auto entry = KernelTable::load(KernelTable::entries(table) + i);
        u64 virt = base + i * KernelTable::span(level);
        if (Policy::is_table(entry, level)) {
            for_each_leaf(Policy::address(entry, level), level - 1, virt, visit);
        } else if (!Policy::is_empty(entry) && Policy::is_leaf(entry, level)) {
            u64 physical = Policy::address(entry, level).value;
            visit(Leaf{virt, {physical, physical + KernelTable::span(level)}, Policy::flags(entry, level)});
        }
    }
}

} // namespace

void check_kernel_mappings() {
    u64 leaves = 0;
    Range text;
    auto find_text = [&](const Leaf& leaf) {
        ++leaves;
        if (!leaf.flags.executable) return;
        if (leaf.flags.writable) core::panic("W^X: {#x} is mapped writable and executable", leaf.virt);
        text.begin = std::min(text.begin, leaf.physical.begin);
        text.end = std::max(text.end, leaf.physical.end);
    };
    auto check_alias = [&](const Leaf& leaf) {
        if (leaf.flags.writable && leaf.physical.begin < text.end && text.begin < leaf.physical.end)
            core::panic("W^X: executable memory is mapped writable at {#x}", leaf.virt);
    };
    PhysAddr root = arch::kernel_root_table();
    for_each_leaf(root, KernelTable::root_level, 0, find_text);
    for_each_leaf(root, KernelTable::root_level, 0, check_alias);
    core::log_info("W^X: {} kernel mappings checked, {} KiB of text", leaves,
                   text.end > text.begin ? (text.end - text.begin) / 1024 : 0);
}
#endif

} // namespace linnet::mm
