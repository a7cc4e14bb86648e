// /sys/kernel/mm/transparent_hugepage and hugepages (Linux's documentation, "Transparent Hugepage Support" and "HugeTLB
// Pages").
#include "sysfs.hpp"

#include <arch/page.hpp>
#include <fs/system_nodes.hpp>
#include <mm/huge_pool.hpp>
#include <mm/knobs.hpp>
#include <mm/statistics.hpp>
#include <vfs/pseudo/knob.hpp>

namespace linnet::fs {

using vfs::pseudo::Directory;

namespace {

Result<void> show_pool_size(TextSink sink) { return format_to(sink, "{}\n", mm::huge_pool_size()), Result<void>{}; }
Result<void> store_pool_size(std::string_view text) {
    return mm::resize_huge_pool(TRY(vfs::pseudo::parse_number(text, ~u32{0}))), Result<void>{};
}
Result<void> show_overcommit(TextSink sink) {
    return format_to(sink, "{}\n", mm::huge_pool_overcommit()), Result<void>{};
}
Result<void> store_overcommit(std::string_view text) {
    return mm::set_huge_pool_overcommit(TRY(vfs::pseudo::parse_number(text, ~u32{0}))), Result<void>{};
}

constexpr std::string_view defrag_modes[] = {"always", "defer", "defer+madvise", "madvise", "never"};
static_assert(mm::defrag_defer == 1 && mm::defrag_defer_or_madvise == 2 && mm::defrag_madvise == 3 &&
              mm::defrag_never == 4);

constexpr std::string_view shared_modes[] = {"always", "within_size", "advise", "never", "deny", "force"};
static_assert(mm::shared_huge_advise == 2 && mm::shared_huge_never == 3 && mm::shared_huge_force == 5);

Result<void> show_size(TextSink sink) { return format_to(sink, "{}\n", arch::huge_page_size), Result<void>{}; }
Result<void> show_collapsed(TextSink sink) {
    return format_to(sink, "{}\n", mm::huge_page_events().background_collapsed), Result<void>{};
}
Result<void> show_full_scans(TextSink sink) {
    return format_to(sink, "{}\n", mm::huge_page_events().full_scans), Result<void>{};
}

template <auto Field>
Result<void> show_pool(TextSink sink) {
    return format_to(sink, "{}\n", mm::huge_pool_statistics().*Field), Result<void>{};
}
/// kernel/mm/hugepages: one folder for each size.
Result<void> add_pool() {
    RefPtr<Directory> sizes = TRY(vfs::pseudo::sys().root().add_path("kernel/mm/hugepages"));
    char name[32];
    RefPtr<Directory> pool =
        TRY(sizes->add_directory(format_into(name, "hugepages-{}kB", arch::huge_page_size / 1024)));
    TRY(add_huge_pool_sizes(*pool));
    TRY(pool->add_text("free_hugepages", show_pool<&mm::HugePoolStatistics::free>));
    TRY(pool->add_text("resv_hugepages", show_pool<&mm::HugePoolStatistics::reserved>));
    return pool->add_text("surplus_hugepages", show_pool<&mm::HugePoolStatistics::surplus>);
}

} // namespace

Result<void> add_huge_pool_sizes(Directory& directory) {
    TRY(directory.add_text("nr_hugepages", show_pool_size, 0644, store_pool_size));
    return directory.add_text("nr_overcommit_hugepages", show_overcommit, 0644, store_overcommit);
}

Result<void> register_huge_page_knobs() {
    using vfs::pseudo::add_choice;
    using vfs::pseudo::add_knob;
    constexpr u64 most_absent = arch::huge_page_size / arch::page_size - 1;
    RefPtr<Directory> top = TRY(vfs::pseudo::sys().root().add_path("kernel/mm/transparent_hugepage"));
    TRY(add_choice(
        *top, "enabled",
        {.value = mm::transparent_hugepage.stored, .words = mm::huge_page_mode_words, .changed = mm::wake_khugepaged}));
    TRY(add_choice(*top, "defrag", {.value = mm::transparent_hugepage_defrag.stored, .words = defrag_modes}));
    TRY(add_choice(*top, "shmem_enabled", {.value = mm::shared_hugepage.stored, .words = shared_modes}));
    TRY(add_knob(*top, "use_zero_page", {.value = mm::huge_zero_pages.stored, .most = 1}));
    TRY(top->add_text("hpage_pmd_size", show_size));
    RefPtr<Directory> background = TRY(top->add_directory("khugepaged", 0755));
    auto knob = [&](std::string_view name, mm::Tunable<u64>& value, u64 most, u64 least = 0) {
        return add_knob(*background, name,
                        {.value = value.stored, .least = least, .most = most, .changed = mm::wake_khugepaged});
    };
    TRY(knob("defrag", mm::khugepaged_defrag, 1));
    TRY(knob("pages_to_scan", mm::khugepaged_pages_to_scan, ~u32{0}, 1));
    TRY(knob("scan_sleep_millisecs", mm::khugepaged_scan_sleep_ms, ~u32{0}));
    TRY(knob("alloc_sleep_millisecs", mm::khugepaged_alloc_sleep_ms, ~u32{0}));
    TRY(knob("max_ptes_none", mm::khugepaged_max_absent, most_absent));
    TRY(knob("max_ptes_shared", mm::khugepaged_max_shared, most_absent));
    TRY(background->add_text("pages_collapsed", show_collapsed));
    TRY(background->add_text("full_scans", show_full_scans));
    return add_pool();
}

} // namespace linnet::fs
