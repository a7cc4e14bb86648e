// /proc/buddyinfo, pagetypeinfo, zoneinfo and slabinfo: the state of the allocators (proc_buddyinfo(5) and others). All
// memory is one node with one zone.
#include "procfs.hpp"

#include <arch/page.hpp>
#include <core/thread.hpp>
#include <mm/heap.hpp>
#include <mm/page.hpp>
#include <mm/statistics.hpp>

namespace linnet::fs {

namespace {

Result<void> show_buddyinfo(TextSink sink) {
    u64 counts[mm::free_block_orders] = {};
    mm::free_blocks(counts);
    sink("Node 0, zone   Normal ");
    for (u64 count : counts) format_to(sink, "{6} ", count);
    sink("\n");
    return {};
}

/// Nothing that is in use can be moved, so all blocks are of one type.
Result<void> show_pagetypeinfo(TextSink sink) {
    u64 counts[mm::free_block_orders] = {};
    mm::free_blocks(counts);
    const u64 block_pages = u64{1} << mm::max_order;
    format_to(sink, "Page block order: {}\nPages per block:  {}\n\n", mm::max_order, block_pages);
    sink("Free pages count per migrate type at order ");
    for (unsigned order = 0; order < mm::free_block_orders; ++order) format_to(sink, "{6} ", order);
    sink("\nNode    0, zone   Normal, type    Unmovable ");
    for (u64 count : counts) format_to(sink, "{6} ", count);
    sink("\n\nNumber of blocks type     Unmovable \n");
    format_to(sink, "Node 0, zone   Normal {12} \n", (mm::zone_statistics().spanned + block_pages - 1) / block_pages);
    return {};
}

void show_zone_counters(TextSink sink) {
    const mm::MemoryStatistics memory = mm::memory_statistics();
    const struct {
        std::string_view name;
        u64 value;
    } counters[] = {{"nr_inactive_anon", memory.anonymous + memory.shared},
                    {"nr_active_anon", 0},
                    {"nr_inactive_file", memory.inactive_file},
                    {"nr_active_file", memory.active_file},
                    {"nr_unevictable", 0},
                    {"nr_slab_reclaimable", memory.reclaimable_slab},
                    {"nr_slab_unreclaimable", memory.slab - memory.reclaimable_slab},
                    {"nr_anon_pages", memory.anonymous},
                    {"nr_mapped", memory.file_mapped},
                    {"nr_file_pages", memory.file_cache + memory.shared},
                    {"nr_dirty", memory.dirty},
                    {"nr_writeback", 0},
                    {"nr_shmem", memory.shared},
                    {"nr_kernel_stack", memory.kernel_stacks * (arch::page_size / 1024)},
                    {"nr_page_table_pages", memory.page_tables}};
    for (const auto& counter : counters) format_to(sink, "      {-12} {}\n", counter.name, counter.value);
}

Result<void> show_zoneinfo(TextSink sink) {
    const mm::ZoneStatistics zone = mm::zone_statistics();
    const mm::MemoryStatistics memory = mm::memory_statistics();
    sink("Node 0, zone   Normal\n  per-node stats\n");
    show_zone_counters(sink);
    format_to(sink, "  pages free     {}\n        boost    0\n        min      {}\n        low      {}\n", memory.free,
              zone.min, zone.low);
    format_to(sink, "        high     {}\n        spanned  {}\n        present  {}\n        managed  {}\n", zone.high,
              zone.spanned, zone.spanned, zone.managed);
    format_to(sink, "        protection: (0)\n      nr_free_pages {}\n      nr_mlock     {}\n  pagesets\n", memory.free,
              memory.locked);
    for (u32 cpu = 0; cpu < core::cpu_count(); ++cpu) {
        const mm::FrameListStatistics list = mm::frame_list_statistics(cpu);
        format_to(sink, "    cpu: {}\n              count: {}\n              high:  {}\n              batch: {}\n", cpu,
                  list.count, list.high, list.batch);
    }
    format_to(sink, "  start_pfn:           {}\n", zone.first_frame);
    return {};
}

Result<void> show_slabinfo(TextSink sink) {
    sink("slabinfo - version: 2.1\n"
         "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> "
         "<batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n");
    for (usize i = mm::slab_class_count(); i-- > 0;) {
        const mm::SlabClassStatistics slab = mm::slab_class_statistics(i);
        char name[24];
        format_to(sink, "{-17} {6} {6} {6} {4} {4}", format_into(name, "kmalloc-{}", slab.object_size),
                  slab.active_objects, slab.total_objects, slab.object_size, slab.objects_per_slab,
                  slab.pages_per_slab);
        format_to(sink, " : tunables {4} {4} {4} : slabdata {6} {6} {6}\n", 0, 0, 0, slab.slabs, slab.slabs, 0);
    }
    return {};
}

} // namespace

Result<void> add_allocator_files(vfs::pseudo::Directory& root) {
    TRY(root.add_text("buddyinfo", show_buddyinfo));
    TRY(root.add_text("pagetypeinfo", show_pagetypeinfo, 0400));
    TRY(root.add_text("zoneinfo", show_zoneinfo));
    return root.add_text("slabinfo", show_slabinfo, 0400);
}

} // namespace linnet::fs
