// The handover in portable form: BootInfo, and the tidying of what the protocol parsers put in.
#include <algorithm>
#include <arch/page.hpp>

#include "parse.hpp"

namespace linnet::boot {

namespace {

constinit BootInfo machine_info;

using RegionTable = MemoryRegion (&)[BootInfo::max_regions];

Result<void> add_region(RegionTable table, usize& count, PhysAddr begin, u64 size) {
    if (size == 0 || begin.value + size < begin.value) return {};
    if (count == BootInfo::max_regions) return error(Errno::ENOSPC);
    table[count++] = {begin, size};
    return {};
}

enum class Rounding { Inwards, Outwards };

/// Aligns to pages, sorts, and merges what overlaps or touches.
void tidy(RegionTable table, usize& count, Rounding rounding) {
    usize kept = 0;
    for (usize i = 0; i < count; ++i) {
        u64 begin = table[i].begin.value, end = begin + table[i].size;
        if (rounding == Rounding::Outwards) {
            begin = align_down(begin, arch::page_size);
            end = end > ~u64{0} - arch::page_size ? align_down(end, arch::page_size) : align_up(end, arch::page_size);
        } else {
            begin = begin > ~u64{0} - arch::page_size ? end : align_up(begin, arch::page_size);
            end = align_down(end, arch::page_size);
        }
        if (begin < end) table[kept++] = {{begin}, end - begin};
    }
    std::sort(table, table + kept, [](const MemoryRegion& a, const MemoryRegion& b) { return a.begin < b.begin; });
    count = 0;
    for (usize i = 0; i < kept; ++i) {
        if (count > 0 && table[i].begin.value <= table[count - 1].begin.value + table[count - 1].size) {
            MemoryRegion& last = table[count - 1];
            last.size = std::max(last.size, table[i].begin - last.begin + table[i].size);
        } else {
            table[count++] = table[i];
        }
    }
}

bool is_inside(std::span<const MemoryRegion> regions, u64 begin, u64 size) {
    return std::ranges::any_of(regions, [&](const MemoryRegion& region) {
        return begin >= region.begin.value && size <= region.size && begin - region.begin.value <= region.size - size;
    });
}

} // namespace

Result<void> add_usable(BootInfo& info, PhysAddr begin, u64 size) {
    return add_region(info.usable, info.usable_count, begin, size);
}

Result<void> add_reserved(BootInfo& info, PhysAddr begin, u64 size) {
    return add_region(info.reserved, info.reserved_count, begin, size);
}

void add_cpu(BootInfo& info, u64 hardware_id) {
    for (const CpuInfo& cpu : info.all_cpus())
        if (cpu.hardware_id == hardware_id) return;
    if (info.cpu_count < BootInfo::max_cpus) info.cpus[info.cpu_count++] = {hardware_id};
}

void set_command_line(BootInfo& info, std::string_view text) {
    usize length = std::min(text.size(), BootInfo::max_command_line - 1);
    std::copy_n(text.data(), length, info.command_line_buffer);
    info.command_line_buffer[length] = 0;
    info.command_line = {info.command_line_buffer, length};
}

Result<void> parse(const Handoff& handoff, BootInfo& info) {
    add_cpu(info, handoff.boot_cpu);
    TRY(add_reserved(info, handoff.image_begin, handoff.image_end - handoff.image_begin));
    TRY(parse_protocol(handoff, info));
    tidy(info.usable, info.usable_count, Rounding::Inwards);
    // Tables that don't know the memory we run in know nothing.
    u64 image_size = handoff.image_end - handoff.image_begin;
    if (!is_inside(info.usable_memory(), handoff.image_begin.value, image_size)) return error(Errno::EINVAL);
    if (info.initrd.size != 0 && !is_inside(info.usable_memory(), info.initrd.begin.value, info.initrd.size)) {
        info.initrd = {};
        info.initrd_was_outside_memory = true;
    }
    if (info.initrd.size != 0) TRY(add_reserved(info, info.initrd.begin, info.initrd.size));
    tidy(info.reserved, info.reserved_count, Rounding::Outwards);
    return {};
}

const BootInfo& boot_info() { return machine_info; }
BootInfo& mutable_boot_info() { return machine_info; }

} // namespace linnet::boot
