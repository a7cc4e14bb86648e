// What BootInfo needs out of a device tree: memory, reserved memory, initrd, command line, CPUs (Devicetree
// Specification, chapter 3). The same on AArch64, RISC-V and LoongArch.
#include <arch/hooks.hpp>
#include <boot/fdt.hpp>

#include "parse.hpp"

namespace linnet::boot {

namespace {

constinit Fdt machine_tree;

constexpr usize most_entries = 256; // of one `reg` or reservation list; hostile trees can't keep us busy

Result<void> read_memory(const Fdt& tree, BootInfo& info) {
    for (auto node = tree.root(); node; node = tree.next(*node)) {
        if (node->text("device_type") != "memory" || !node->is_enabled()) continue;
        for (usize i = 0; i < most_entries; ++i) {
            auto region = node->region(i);
            if (!region) break;
            TRY(add_usable(info, region->begin, region->size));
        }
    }
    return {};
}

Result<void> read_reservations(const Fdt& tree, BootInfo& info) {
    for (usize i = 0; i < most_entries; ++i) {
        FdtRegion region = tree.reservation(i);
        if (region.size == 0) break;
        TRY(add_reserved(info, region.begin, region.size));
    }
    auto parent = tree.find_path("/reserved-memory");
    if (!parent) return {};
    for (auto node = tree.next_child(*parent); node; node = tree.next_child(*parent, &*node)) {
        for (usize i = 0; i < most_entries; ++i) {
            auto region = node->region(i);
            if (!region) break;
            TRY(add_reserved(info, region->begin, region->size));
        }
    }
    return {};
}

void read_chosen(const Fdt& tree, BootInfo& info) {
    auto chosen = tree.find_path("/chosen");
    if (!chosen) return;
    if (auto text = chosen->text("bootargs")) set_command_line(info, *text);
    auto begin = chosen->number("linux,initrd-start"), end = chosen->number("linux,initrd-end");
    if (begin && end && *begin < *end) info.initrd = {{*begin}, *end - *begin};
}

void read_cpus(const Fdt& tree, BootInfo& info) {
    auto parent = tree.find_path("/cpus");
    if (!parent) return;
    for (auto node = tree.next_child(*parent); node; node = tree.next_child(*parent, &*node)) {
        if (node->text("device_type") != "cpu" || !node->is_enabled()) continue;
        auto id = node->number("reg"); // one or two cells, as the parent says
        if (id) add_cpu(info, *id);
    }
}

} // namespace

const Fdt& device_tree() { return machine_tree; }

Result<void> parse_device_tree(PhysAddr address, const Handoff&, BootInfo& info) {
    machine_tree = TRY(Fdt::at(address));
    info.device_tree = address;
    TRY(add_reserved(info, address, machine_tree.blob().size()));
    read_chosen(machine_tree, info); // first: the command line says what a panic about the rest shall do
    TRY(read_memory(machine_tree, info));
    TRY(read_reservations(machine_tree, info));
    read_cpus(machine_tree, info);
    if (info.usable_count == 0) return error(Errno::EINVAL);
    return {};
}

} // namespace linnet::boot

namespace linnet::hooks {

std::span<const u8> device_tree_property(std::string_view path, std::string_view property) {
    auto node = boot::device_tree().find_path(path);
    if (!node) return {};
    return node->property(property).value_or(std::span<const u8>{});
}

} // namespace linnet::hooks
