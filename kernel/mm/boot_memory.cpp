// From BootInfo to a working allocator: finds room for the array of Pages, gives everything that is neither reserved
// nor the array to the buddy lists. Runs once, on the boot CPU, before anything can be allocated.
//
// Where RAM has large holes, the parts of the array that would describe only them are given away as well; nobody asks
// for a Page there, because mappings of what is not RAM never count pages.
#include "kasan.hpp"
#include "kernel_area.hpp"
#include "page_allocator.hpp"
#include "slab.hpp"
#include <core/log.hpp>
#include <core/panic.hpp>
#include <mm/init.hpp>
#include <mm/knobs.hpp>

namespace linnet::mm {

namespace {

constexpr u64 block_frames = u64{1} << max_order;

struct FrameRange {
    u64 first = 0;
    u64 end = 0;
};

u64 frame_down(u64 address) { return address >> arch::page_shift; }
u64 frame_up(u64 address) { return (address + arch::page_size - 1) >> arch::page_shift; }

/// The first part of [first, end) that no reserved region (and not physical address 0) touches.
FrameRange next_free(std::span<const boot::MemoryRegion> reserved, FrameRange range) {
    if (range.first == 0) range.first = 1;
    for (bool moved = true; moved && range.first < range.end;) {
        moved = false;
        for (const auto& region : reserved) {
            if (region.size == 0) continue;
            u64 first = frame_down(region.begin.value), end = frame_up(region.begin.value + region.size);
            if (first <= range.first && range.first < end) range.first = end, moved = true;
        }
    }
    if (range.first >= range.end) return {range.end, range.end};
    for (const auto& region : reserved) {
        if (region.size == 0) continue;
        u64 first = frame_down(region.begin.value);
        if (first > range.first && first < range.end) range.end = first;
    }
    return range;
}

template <typename Visit>
void for_each_free(const boot::BootInfo& info, Visit visit) {
    for (const auto& region : info.usable_memory()) {
        FrameRange rest{frame_up(region.begin.value), frame_down(region.begin.value + region.size)};
        while (rest.first < rest.end) {
            FrameRange part = next_free(info.reserved_memory(), rest);
            if (part.first >= rest.end) break;
            visit(part);
            rest.first = part.end;
        }
    }
}

FrameRange all_frames(const boot::BootInfo& info) {
    FrameRange all{~u64{0}, 0};
    for (const auto& region : info.usable_memory()) {
        if (region.size < arch::page_size) continue;
        all.first = std::min(all.first, frame_up(region.begin.value));
        all.end = std::max(all.end, frame_down(region.begin.value + region.size));
    }
    // Blocks are aligned by absolute frame number, so the array begins with a whole block.
    all.first = align_down(all.first, block_frames);
    return all;
}

/// Whether any RAM lies in [first, end).
bool has_memory(const boot::BootInfo& info, u64 first, u64 end) {
    for (const auto& region : info.usable_memory())
        if (frame_down(region.begin.value) < end && frame_up(region.begin.value + region.size) > first) return true;
    return false;
}

/// Gives away [first, end), which holds the part of the array that describes frames [described, …): whole pages of it
/// that describe only holes.
void give_unused_array(const boot::BootInfo& info, FrameRange array) {
    u64 per_frame = arch::page_size / sizeof(Page);
    FrameRange unused{};
    for (u64 frame = array.first; frame < array.end; ++frame) {
        u64 described = page_array.first_frame + (frame - array.first) * per_frame;
        u64 first = align_down(described, block_frames);
        u64 end = align_up(described + per_frame, block_frames);
        if (has_memory(info, first, end)) continue;
        if (unused.end == frame)
            ++unused.end;
        else {
            if (unused.first < unused.end) give_frames(unused.first, unused.end);
            unused = {frame, frame + 1};
        }
    }
    if (unused.first < unused.end) give_frames(unused.first, unused.end);
}

/// Clears only what describes RAM.
void clear_array(const boot::BootInfo& info) {
    for (const auto& region : info.usable_memory()) {
        u64 first = align_down(frame_down(region.begin.value), block_frames);
        u64 end = align_up(frame_up(region.begin.value + region.size), block_frames);
        end = std::min(end, page_array.first_frame + page_array.count);
        for (u64 frame = first; frame < end; ++frame) new (&page_array.pages[frame - page_array.first_frame]) Page();
    }
}

FrameRange place_array(const boot::BootInfo& info, u64 bytes) {
    u64 frames = frame_up(bytes);
    FrameRange chosen{};
    // The last range that is large enough: low memory stays free for devices that need it.
    for_each_free(info, [&](FrameRange part) {
        if (part.end - part.first >= frames) chosen = {part.end - frames, part.end};
    });
    if (chosen.end == 0) core::panic("no room for the page array ({} KiB)", bytes / 1024);
    return chosen;
}

} // namespace

void initialise(const boot::BootInfo& info) {
    FrameRange all = all_frames(info);
    if (all.end <= all.first) core::panic("no usable memory");
    // The buddy allocator's map and a sanitizer's shadow follow the Pages.
    u64 page_frames = frame_up((all.end - all.first) * sizeof(Page));
    u64 map_frames = frame_up(((all.end - all.first) >> huge_page_order) + 1);
    u64 shadow_size = kasan::shadow_size(all.end - all.first);
    FrameRange array = place_array(info, ((page_frames + map_frames) << arch::page_shift) + shadow_size);
    page_array = {arch::phys_to_virt<Page>({array.first << arch::page_shift}), all.first, all.end - all.first};
    clear_array(info);
    start_buddy_lists(arch::phys_to_virt({(array.first + page_frames) << arch::page_shift}), map_frames);
    kasan::start(arch::phys_to_virt({(array.first + page_frames + map_frames) << arch::page_shift}), all.first,
                 all.end - all.first);

    attach_page_cache(core::this_cpu(), boot_cpu_page_cache);
    for_each_free(info, [&](FrameRange part) {
        // The array lies at the end of one of the parts.
        if (part.first <= array.first && array.end == part.end) part.end = array.first;
        if (part.first < part.end) give_frames(part.first, part.end);
    });
    give_unused_array(info, {array.first, array.first + page_frames});
    start_page_allocator();
    initialise_knobs();
    start_heap(core::this_cpu());
    prepare_kernel_area();
    add_heap_shrinker();
    initialise_zero_page();
    core::log_info("memory: {} KiB usable, {} KiB for {} page descriptors", managed_frames() * arch::page_size / 1024,
                   (array.end - array.first) * arch::page_size / 1024, page_array.count);
}

void initialise_cpu(core::Cpu& cpu) {
    if (cpu.page_cache) return;
    auto* cache = static_cast<CpuPageCache*>(allocate_bytes(sizeof(CpuPageCache)));
    if (!cache) core::panic("no memory for the page lists of CPU {}", cpu.number);
    attach_page_cache(cpu, *new (cache) CpuPageCache());
    start_heap(cpu);
}

void release_boot_memory(PhysAddr begin, u64 size) {
    u64 first = frame_up(begin.value), end = frame_down(begin.value + size);
    if (first < page_array.first_frame) first = page_array.first_frame;
    if (end > page_array.first_frame + page_array.count) end = page_array.first_frame + page_array.count;
    // Frames that something else reserved too stay where they are.
    const boot::BootInfo& info = boot::boot_info();
    for (u64 frame = first; frame < end; ++frame) {
        bool shared = !has_memory(info, frame, frame + 1);
        for (const auto& region : info.reserved_memory()) {
            if (region.begin == begin) continue;
            if (frame_down(region.begin.value) <= frame && frame < frame_up(region.begin.value + region.size))
                shared = true;
        }
        if (!shared && page_array.pages[frame - page_array.first_frame].kind == PageKind::Reserved)
            give_frames(frame, frame + 1);
    }
    apply_min_free(); // the watermarks depend on how much there is
}

} // namespace linnet::mm
