// /proc/meminfo, vmstat, buddyinfo, swaps and sys/vm.
#include "procfs.hpp"

#include <arch/page.hpp>
#include <mm/allocation_faults.hpp>
#include <mm/statistics.hpp>

namespace linnet::fs {

namespace {

constexpr u64 kib_per_page = arch::page_size / 1024;

void line(TextSink sink, std::string_view name, u64 pages) {
    format_to(sink, "{-16}{8} kB\n", name, pages * kib_per_page);
}

Result<void> show_meminfo(TextSink sink) {
    const mm::MemoryStatistics memory = mm::memory_statistics();
    // Reclaim has no active and inactive lists by kind to tell apart: all of a kind counts as inactive.
    const u64 cache = memory.file_cache + memory.shared;
    line(sink, "MemTotal:", memory.total);
    line(sink, "MemFree:", memory.free);
    line(sink, "MemAvailable:", memory.available());
    line(sink, "Buffers:", 0);
    line(sink, "Cached:", cache);
    line(sink, "SwapCached:", 0);
    line(sink, "Active:", 0);
    line(sink, "Inactive:", memory.anonymous + cache);
    line(sink, "Active(anon):", 0);
    line(sink, "Inactive(anon):", memory.anonymous + memory.shared);
    line(sink, "Active(file):", 0);
    line(sink, "Inactive(file):", memory.file_cache);
    line(sink, "Unevictable:", 0);
    line(sink, "Mlocked:", memory.locked);
    line(sink, "SwapTotal:", 0);
    line(sink, "SwapFree:", 0);
    line(sink, "Dirty:", memory.dirty);
    line(sink, "Writeback:", 0);
    line(sink, "AnonPages:", memory.anonymous);
    line(sink, "Mapped:", memory.file_mapped);
    line(sink, "Shmem:", memory.shared);
    line(sink, "KReclaimable:", 0);
    line(sink, "Slab:", memory.slab);
    line(sink, "SReclaimable:", 0);
    line(sink, "SUnreclaim:", memory.slab);
    line(sink, "KernelStack:", memory.kernel_stacks);
    line(sink, "PageTables:", memory.page_tables);
    line(sink, "CommitLimit:", memory.commit_limit);
    line(sink, "Committed_AS:", memory.committed);
    format_to(sink, "VmallocTotal:   {} kB\n", (arch::kernel_area_end - arch::kernel_area_begin) / 1024);
    line(sink, "VmallocUsed:", memory.virtual_area);
    return {};
}

Result<void> show_vmstat(TextSink sink) {
    const mm::MemoryStatistics memory = mm::memory_statistics();
    const mm::MemoryEvents events = mm::memory_events();
    format_to(sink, "nr_free_pages {}\nnr_inactive_anon {}\nnr_inactive_file {}\nnr_mlock {}\n", memory.free,
              memory.anonymous + memory.shared, memory.file_cache, memory.locked);
    format_to(sink, "nr_anon_pages {}\nnr_mapped {}\nnr_file_pages {}\nnr_dirty {}\nnr_shmem {}\n", memory.anonymous,
              memory.file_mapped, memory.file_cache + memory.shared, memory.dirty, memory.shared);
    format_to(sink, "nr_page_table_pages {}\nnr_kernel_stack {}\n", memory.page_tables,
              memory.kernel_stacks * kib_per_page);
    format_to(sink, "pgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgalloc_normal {}\npgfree {}\n", events.pages_allocated,
              events.pages_freed);
    format_to(sink, "pgfault {}\npgmajfault {}\noom_kill {}\n", events.page_faults, events.major_faults,
              events.out_of_memory_kills);
    format_to(sink, "nr_tlb_local_flush_all {}\nnr_tlb_remote_flush {}\n", events.tlb_local_flushes,
              events.tlb_remote_flushes);
    return {};
}

Result<void> show_buddyinfo(TextSink sink) {
    u64 counts[mm::free_block_orders] = {};
    mm::free_blocks(counts);
    sink("Node 0, zone   Normal ");
    for (u64 count : counts) format_to(sink, "{6} ", count);
    sink("\n");
    return {};
}

Result<void> show_swaps(TextSink sink) {
    sink("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    return {};
}

/// Heuristic overcommit: the mode there is.
Result<void> show_zero(TextSink sink) { return sink("0\n"), Result<void>{}; }
Result<void> show_minimum_address(TextSink sink) {
    format_to(sink, "{}\n", u64{65536});
    return {};
}
Result<void> show_map_count_limit(TextSink sink) { return sink("65530\n"), Result<void>{}; }

Result<void> show_fail_allocations(TextSink sink) { return mm::show_allocation_faults(sink), Result<void>{}; }
Result<void> store_fail_allocations(std::string_view text) {
    return mm::set_allocation_faults(text, mm::FaultScope::Descendants);
}

} // namespace

Result<void> add_memory_files(vfs::pseudo::Directory& root) {
    TRY(root.add_text("meminfo", show_meminfo));
    TRY(root.add_text("vmstat", show_vmstat));
    TRY(root.add_text("buddyinfo", show_buddyinfo));
    TRY(root.add_text("swaps", show_swaps));
    vfs::pseudo::Directory& vm = *TRY(root.add_path("sys/vm"));
    TRY(vm.add_text("overcommit_memory", show_zero));
    TRY(vm.add_text("mmap_min_addr", show_minimum_address));
    TRY(vm.add_text("max_map_count", show_map_count_limit));
    TRY(vm.add_text("fail_allocations", show_fail_allocations, 0600, store_fail_allocations));
    return {};
}

} // namespace linnet::fs
