// /sys/kernel/mm/transparent_hugepage (Linux's documentation, "Transparent Hugepage Support").
#include "sysfs.hpp"

#include <arch/page.hpp>
#include <mm/knobs.hpp>
#include <mm/statistics.hpp>
#include <vfs/pseudo/knob.hpp>

namespace linnet::fs {

namespace {

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

} // namespace

Result<void> register_huge_page_knobs() {
    using vfs::pseudo::add_choice;
    using vfs::pseudo::add_knob;
    constexpr u64 most_absent = arch::huge_page_size / arch::page_size - 1;
    RefPtr<vfs::pseudo::Directory> top = TRY(vfs::pseudo::sys().root().add_path("kernel/mm/transparent_hugepage"));
    TRY(add_choice(*top, "enabled",
                   {.value = mm::transparent_hugepage.stored, .words = mm::huge_page_mode_words, .changed = mm::wake_khugepaged}));
    TRY(add_choice(*top, "defrag", {.value = mm::transparent_hugepage_defrag.stored, .words = defrag_modes}));
    TRY(add_choice(*top, "shmem_enabled", {.value = mm::shared_hugepage.stored, .words = shared_modes}));
    TRY(add_knob(*top, "use_zero_page", {.value = mm::huge_zero_pages.stored, .most = 1}));
    TRY(top->add_text("hpage_pmd_size", show_size));
    RefPtr<vfs::pseudo::Directory> background = TRY(top->add_directory("khugepaged", 0755));
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
    return background->add_text("full_scans", show_full_scans);
}

} // namespace linnet::fs
