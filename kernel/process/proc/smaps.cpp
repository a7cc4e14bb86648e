// /proc/PID/smaps and smaps_rollup (proc_pid_smaps(5)).
#include "mappings.hpp"

namespace linnet::process::proc {

namespace {

void line(TextSink sink, std::string_view name, u64 bytes) { format_to(sink, "{-16}{8} kB\n", name, bytes / 1024); }
void share_line(TextSink sink, std::string_view name, u64 share) {
    line(sink, name, share >> mm::MappingUsage::share_shift);
}

/// What a mapping and the roll-up have in common, in two parts: the roll-up puts shares by kind between them.
void show_shares(const mm::MappingUsage& usage, TextSink sink) {
    line(sink, "Rss:", usage.resident);
    share_line(sink, "Pss:", usage.share);
    share_line(sink, "Pss_Dirty:", usage.share_dirty);
}
void show_pages(const mm::MappingUsage& usage, TextSink sink) {
    line(sink, "Shared_Clean:", usage.shared_clean);
    line(sink, "Shared_Dirty:", usage.shared_dirty);
    line(sink, "Private_Clean:", usage.private_clean);
    line(sink, "Private_Dirty:", usage.private_dirty);
    line(sink, "Referenced:", usage.referenced);
    line(sink, "Anonymous:", usage.anonymous);
    // There is no merging of equal pages, no lazy freeing and no swap.
    line(sink, "KSM:", 0);
    line(sink, "LazyFree:", 0);
    line(sink, "AnonHugePages:", usage.anonymous_huge);
    line(sink, "ShmemPmdMapped:", usage.shared_huge);
    line(sink, "FilePmdMapped:", 0);
    line(sink, "Shared_Hugetlb:", usage.shared_hugetlb);
    line(sink, "Private_Hugetlb:", usage.private_hugetlb);
    line(sink, "Swap:", 0);
    line(sink, "SwapPss:", 0);
    share_line(sink, "Locked:", usage.share_locked);
}

/// Two letters for each property, in Linux's order (proc_pid_smaps(5), VmFlags).
void show_flags(const mm::MappingInfo& info, TextSink sink) {
    const bool is_shared = info.flags & mm::vma_shared;
    const bool is_physical = info.backing == mm::MappingInfo::Backing::Physical;
    const bool is_fixed = is_physical || (info.flags & (mm::vma_special | mm::vma_hugetlb));
    const struct {
        bool holds;
        std::string_view letters;
    } flags[] = {
        {(info.prot & abi::PROT_READ) != 0, "rd "},           {(info.prot & abi::PROT_WRITE) != 0, "wr "},
        {(info.prot & abi::PROT_EXEC) != 0, "ex "},           {is_shared && (info.max_prot & abi::PROT_WRITE), "sh "},
        {(info.max_prot & abi::PROT_READ) != 0, "mr "},       {(info.max_prot & abi::PROT_WRITE) != 0, "mw "},
        {(info.max_prot & abi::PROT_EXEC) != 0, "me "},       {is_shared, "ms "},
        {(info.flags & mm::vma_grows_down) != 0, "gd "},      {is_physical, "pf "},
        {(info.flags & mm::vma_locked) != 0, "lo "},          {is_physical, "io "},
        {(info.flags & mm::vma_sequential_read) != 0, "sr "}, {(info.flags & mm::vma_random_read) != 0, "rr "},
        {(info.flags & mm::vma_dont_fork) != 0, "dc "},       {is_fixed, "de "},
        {(info.flags & mm::vma_lock_on_fault) != 0, "lf "},   {(info.flags & mm::vma_accounted) != 0, "ac "},
        {(info.flags & mm::vma_no_reserve) != 0, "nr "},      {(info.flags & mm::vma_hugetlb) != 0, "ht "},
        {(info.flags & mm::vma_wipe_on_fork) != 0, "wf "},    {is_physical || (info.flags & mm::vma_dont_dump), "dd "},
        {(info.flags & mm::vma_soft_dirty) != 0, "sd "},      {(info.flags & mm::vma_huge_page) != 0, "hg "},
        {(info.flags & mm::vma_no_huge_page) != 0, "nh "},    {(info.flags & mm::vma_mergeable) != 0, "mg "},
        {(info.flags & mm::vma_sealed) != 0, "sl "},          {(info.flags & mm::vma_droppable) != 0, "dp "},
    };
    sink("VmFlags: ");
    for (const auto& flag : flags)
        if (flag.holds) sink(flag.letters);
    sink("\n");
}

void show_usage_of(const mm::MappingInfo& info, const mm::MappingUsage& usage, TextSink sink) {
    show_mapping(info, sink);
    line(sink, "Size:", info.end - info.begin);
    const u64 page_size = info.flags & mm::vma_hugetlb ? arch::huge_page_size : arch::page_size;
    line(sink, "KernelPageSize:", page_size);
    line(sink, "MMUPageSize:", page_size);
    show_shares(usage, sink);
    show_pages(usage, sink);
    format_to(sink, "{-16}{8}\n", std::string_view("THPeligible:"), info.may_have_huge_pages ? 1 : 0);
    if (arch::UserContext::protection_key_count() > 0)
        format_to(sink, "{-16}{8}\n", std::string_view("ProtectionKey:"), info.protection_key);
    show_flags(info, sink);
}

} // namespace

Result<u64> show_smaps(const Task& task, u64 from, TextSink sink) {
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    if (!space) return 0;
    auto show = [&](const mm::MappingInfo& info, const mm::MappingUsage& usage) { show_usage_of(info, usage, sink); };
    return visit_some_usage(*space, from, 4, show);
}

Result<void> show_smaps_rollup(const Task& task, TextSink sink) {
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    if (!space) return error(Errno::ESRCH);
    mm::MappingUsage total;
    VirtAddr first{}, last{};
    for_each_usage(*space, [&](const mm::MappingInfo& info, const mm::MappingUsage& usage) {
        if (last.value == 0) first = info.begin;
        last = info.end;
        total.add(usage);
    });
    char header[80];
    const std::string_view text = format_into(header, "{08x}-{08x} ---p 00000000 00:00 0 ", first.value, last.value);
    sink(text);
    for (usize column = text.size(); column < name_column; ++column) sink(" ");
    sink("[rollup]\n");
    show_shares(total, sink);
    share_line(sink, "Pss_Anon:", total.share_anonymous);
    share_line(sink, "Pss_File:", total.share_file);
    share_line(sink, "Pss_Shmem:", total.share_shared);
    show_pages(total, sink);
    return {};
}

} // namespace linnet::process::proc
