// /proc/meminfo, vmstat, swaps and sys/vm (proc_meminfo(5), proc_vmstat(5), proc_sys_vm(5)).
#include "procfs.hpp"

#include <abi_arch/mman.hpp>
#include <arch/page.hpp>
#include <fs/system_nodes.hpp>
#include <mm/allocation_faults.hpp>
#include <mm/huge_pool.hpp>
#include <mm/knobs.hpp>
#include <mm/statistics.hpp>
#include <vfs/pseudo/knob.hpp>

namespace linnet::fs {

namespace {

constexpr u64 kib_per_page = arch::page_size / 1024;

void line(TextSink sink, std::string_view name, u64 pages) {
    format_to(sink, "{-16}{8} kB\n", name, pages * kib_per_page);
}

Result<void> show_meminfo(TextSink sink) {
    const mm::MemoryStatistics memory = mm::memory_statistics();
    // Only file pages have an age; anonymous memory, which could go nowhere, counts as inactive.
    const u64 cache = memory.file_cache + memory.shared;
    line(sink, "MemTotal:", memory.total);
    line(sink, "MemFree:", memory.free);
    line(sink, "MemAvailable:", memory.available);
    line(sink, "Buffers:", 0);
    line(sink, "Cached:", cache);
    line(sink, "SwapCached:", 0);
    line(sink, "Active:", memory.active_file);
    line(sink, "Inactive:", memory.anonymous + memory.shared + memory.inactive_file);
    line(sink, "Active(anon):", 0);
    line(sink, "Inactive(anon):", memory.anonymous + memory.shared);
    line(sink, "Active(file):", memory.active_file);
    line(sink, "Inactive(file):", memory.inactive_file);
    line(sink, "Unevictable:", 0);
    line(sink, "Mlocked:", memory.locked);
    line(sink, "SwapTotal:", 0);
    line(sink, "SwapFree:", 0);
    line(sink, "Dirty:", memory.dirty);
    line(sink, "Writeback:", 0);
    line(sink, "AnonPages:", memory.anonymous);
    line(sink, "Mapped:", memory.file_mapped);
    line(sink, "Shmem:", memory.shared);
    line(sink, "KReclaimable:", memory.reclaimable_slab);
    line(sink, "Slab:", memory.slab);
    line(sink, "SReclaimable:", memory.reclaimable_slab);
    line(sink, "SUnreclaim:", memory.slab - memory.reclaimable_slab);
    line(sink, "KernelStack:", memory.kernel_stacks);
    line(sink, "PageTables:", memory.page_tables);
    line(sink, "CommitLimit:", memory.commit_limit);
    line(sink, "Committed_AS:", memory.committed);
    format_to(sink, "VmallocTotal:   {8} kB\n", (arch::kernel_area_end - arch::kernel_area_begin) / 1024);
    line(sink, "VmallocUsed:", memory.virtual_area);
    line(sink, "VmallocChunk:", 0);
    line(sink, "AnonHugePages:", memory.anonymous_huge);
    line(sink, "ShmemHugePages:", memory.shared_huge);
    line(sink, "ShmemPmdMapped:", memory.shared_huge);
    line(sink, "FileHugePages:", 0);
    line(sink, "FilePmdMapped:", 0);
    const mm::HugePoolStatistics pool = mm::huge_pool_statistics();
    constexpr u64 huge_kib = arch::huge_page_size / 1024;
    format_to(sink, "HugePages_Total:   {5}\nHugePages_Free:    {5}\nHugePages_Rsvd:    {5}\nHugePages_Surp:    {5}\n",
              pool.total, pool.free, pool.reserved, pool.surplus);
    format_to(sink, "Hugepagesize:   {8} kB\nHugetlb:        {8} kB\n", huge_kib, pool.total * huge_kib);
    return {};
}

void show_reclaim(TextSink sink) {
    const mm::ReclaimStatistics reclaim = mm::reclaim_statistics();
    const struct {
        std::string_view name;
        u64 value;
    } counters[] = {{"allocstall_normal", reclaim.stalls},
                    {"pgactivate", reclaim.activated},
                    {"pgsteal_kswapd", reclaim.stolen_background},
                    {"pgsteal_direct", reclaim.stolen_direct},
                    {"pgscan_kswapd", reclaim.scanned_background},
                    {"pgscan_direct", reclaim.scanned_direct},
                    {"pgscan_anon", 0},
                    {"pgscan_file", reclaim.scanned_background + reclaim.scanned_direct},
                    {"pgsteal_anon", 0},
                    {"pgsteal_file", reclaim.stolen_background + reclaim.stolen_direct},
                    {"slabs_scanned", reclaim.objects_scanned},
                    {"pageoutrun", reclaim.background_runs},
                    {"drop_pagecache", reclaim.page_cache_drops},
                    {"drop_slab", reclaim.object_drops}};
    for (const auto& counter : counters) format_to(sink, "{} {}\n", counter.name, counter.value);
}

Result<void> show_vmstat(TextSink sink) {
    const mm::MemoryStatistics memory = mm::memory_statistics();
    const mm::MemoryEvents events = mm::memory_events();
    format_to(sink, "nr_free_pages {}\nnr_inactive_anon {}\nnr_active_anon 0\n", memory.free,
              memory.anonymous + memory.shared);
    format_to(sink, "nr_inactive_file {}\nnr_active_file {}\nnr_mlock {}\n", memory.inactive_file, memory.active_file,
              memory.locked);
    format_to(sink, "nr_slab_reclaimable {}\nnr_slab_unreclaimable {}\n", memory.reclaimable_slab,
              memory.slab - memory.reclaimable_slab);
    format_to(sink, "nr_anon_pages {}\nnr_mapped {}\nnr_file_pages {}\nnr_dirty {}\nnr_shmem {}\n", memory.anonymous,
              memory.file_mapped, memory.file_cache + memory.shared, memory.dirty, memory.shared);
    format_to(sink, "nr_page_table_pages {}\nnr_kernel_stack {}\n", memory.page_tables,
              memory.kernel_stacks * kib_per_page);
    format_to(sink, "pgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgalloc_normal {}\npgfree {}\n", events.pages_allocated,
              events.pages_freed);
    format_to(sink, "pgfault {}\npgmajfault {}\noom_kill {}\n", events.page_faults, events.major_faults,
              events.out_of_memory_kills);
    show_reclaim(sink);
    // Not Linux's: pages that idle CPUs cleared, and those of them that were wanted.
    format_to(sink, "pgzero_idle {}\npgzero_taken {}\n", events.pages_zeroed_idle, events.zeroed_pages_taken);
    format_to(sink, "nr_tlb_remote_flush {}\nnr_tlb_remote_flush_received {}\n", events.tlb_remote_flushes,
              events.tlb_remote_flushes_received);
    format_to(sink, "nr_tlb_local_flush_all {}\nnr_tlb_local_flush_one {}\n", events.tlb_local_flushes_of_all,
              events.tlb_local_flushes_of_pages);
    format_to(sink, "address_space_switches {}\n", events.address_space_switches);
    const u64 pages = arch::huge_page_size / arch::page_size;
    format_to(sink, "nr_anon_transparent_hugepages {}\nnr_shmem_hugepages {}\nnr_shmem_pmdmapped {}\n",
              memory.anonymous_huge / pages, memory.shared_huge / pages, memory.shared_huge / pages);
    const mm::HugePageEvents huge = mm::huge_page_events();
    format_to(sink, "thp_fault_alloc {}\nthp_fault_fallback {}\nthp_collapse_alloc {}\nthp_collapse_alloc_failed {}\n",
              huge.fault_alloc, huge.fault_fallback, huge.collapse_alloc, huge.collapse_alloc_failed);
    format_to(sink, "thp_split_page {}\nthp_split_pmd {}\nthp_zero_page_alloc {}\nthp_zero_page_alloc_failed {}\n",
              huge.split_page, huge.split_mapping, huge.zero_page_alloc, huge.zero_page_alloc_failed);
    return {};
}

Result<void> show_swaps(TextSink sink) {
    sink("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    return {};
}

/// The ratio and the number of kilobytes are two ways to say one thing: setting one unsets the other.
void ratio_changed() { mm::overcommit_kbytes.stored = 0; }
void kbytes_changed() { mm::overcommit_ratio.stored = 0; }

Result<void> show_write_only(TextSink) { return error(Errno::EINVAL); }

/// 1: file pages, 2: what the kernel caches of its own, 3: both.
Result<void> store_drop_caches(std::string_view text) {
    const Result<u64> what = vfs::pseudo::parse_number(text, 4);
    if (!what || *what == 0) return error(Errno::EINVAL);
    if (*what & 1) mm::drop_page_cache();
    if (*what & 2) mm::drop_kernel_caches();
    return {};
}

Result<void> add_knobs(vfs::pseudo::Directory& vm) {
    using vfs::pseudo::add_knob;
    constexpr u64 any = ~u64{0} >> 1;
    TRY(add_knob(vm, "overcommit_memory", {.value = mm::overcommit_mode.stored, .most = mm::overcommit_never}));
    TRY(add_knob(vm, "overcommit_ratio", {.value = mm::overcommit_ratio.stored, .changed = ratio_changed}));
    TRY(add_knob(vm, "overcommit_kbytes",
                 {.value = mm::overcommit_kbytes.stored, .most = any, .changed = kbytes_changed}));
    TRY(add_knob(vm, "user_reserve_kbytes", {.value = mm::user_reserve_kbytes.stored, .most = any}));
    TRY(add_knob(vm, "admin_reserve_kbytes", {.value = mm::admin_reserve_kbytes.stored, .most = any}));
    TRY(add_knob(vm, "max_map_count", {.value = mm::max_map_count.stored}));
    TRY(add_knob(vm, "mmap_min_addr", {.value = mm::lowest_user_address.stored, .most = any}));
    TRY(add_knob(vm, "legacy_va_layout", {.value = mm::legacy_va_layout.stored}));
    TRY(add_knob(
        vm, "mmap_rnd_bits",
        {.value = mm::mmap_rnd_bits.stored, .least = abi::mmap_random_bits, .most = abi::mmap_random_bits_max}));
    TRY(add_knob(vm, "min_free_kbytes", {.value = mm::min_free_kbytes.stored, .changed = mm::apply_min_free}));
    TRY(add_knob(
        vm, "watermark_scale_factor",
        {.value = mm::watermark_scale_factor.stored, .least = 1, .most = 3000, .changed = mm::apply_min_free}));
    return vm.add_text("drop_caches", show_write_only, 0200, store_drop_caches);
}

Result<void> show_fail_allocations(TextSink sink) { return mm::show_allocation_faults(sink), Result<void>{}; }
Result<void> store_fail_allocations(std::string_view text) {
    return mm::set_allocation_faults(text, mm::FaultScope::Descendants);
}

} // namespace

Result<void> add_memory_files(vfs::pseudo::Directory& root) {
    TRY(root.add_text("meminfo", show_meminfo));
    TRY(root.add_text("vmstat", show_vmstat));
    TRY(add_allocator_files(root));
    TRY(add_frame_files(root));
    TRY(root.add_text("swaps", show_swaps));
    vfs::pseudo::Directory& vm = *TRY(root.add_path("sys/vm"));
    TRY(add_huge_pool_sizes(vm));
    TRY(vm.add_text("fail_allocations", show_fail_allocations, 0600, store_fail_allocations));
    vfs::pseudo::Directory& kernel = *TRY(root.add_path("sys/kernel"));
    TRY(vfs::pseudo::add_knob(kernel, "randomize_va_space", {.value = mm::randomize_va_space.stored}));
    return add_knobs(vm);
}

} // namespace linnet::fs
