// /proc/PID/maps, smaps, smaps_rollup (proc_pid_maps(5), proc_pid_smaps(5)).
#include "task.hpp"

#include <mm/address_space.hpp>

namespace linnet::process::proc {

namespace {

constexpr usize name_column = 73;

Result<RefPtr<mm::AddressSpace>> space_of(const Task& task) {
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    if (!space) return error(Errno::ESRCH);
    return RefPtr<mm::AddressSpace>(std::move(space));
}

/// A name with its newlines as \012, so that a line stays a line.
void put_escaped(TextSink sink, std::string_view text) {
    for (char c : text) {
        if (c == '\n')
            sink("\\012");
        else
            sink({&c, 1});
    }
}

void show_mapping(const mm::MappingInfo& info, TextSink sink) {
    const char rights[] = {(info.prot & abi::PROT_READ) ? 'r' : '-', (info.prot & abi::PROT_WRITE) ? 'w' : '-',
                           (info.prot & abi::PROT_EXEC) ? 'x' : '-', (info.flags & mm::vma_shared) ? 's' : 'p'};
    const u64 device = info.label ? info.label->device_number() : 0;
    char line[128];
    const std::string_view text = format_into(
        line, "{08x}-{08x} {} {08x} {02x}:{02x} {} ", info.begin.value, info.end.value, std::string_view(rights, 4),
        info.offset, abi::device_major(device), abi::device_minor(device), info.label ? info.label->inode_number() : 0);
    sink(text);
    if (info.label || !info.name.empty()) {
        for (usize column = text.size(); column < name_column; ++column) sink(" ");
        if (info.label)
            info.label->format_name([&](std::string_view piece) { put_escaped(sink, piece); });
        else
            sink(info.name);
    }
    sink("\n");
}

void show_usage(const mm::MappingUsage& usage, TextSink sink) {
    const auto line = [&](std::string_view name, u64 bytes) { format_to(sink, "{-16}{8} kB\n", name, bytes / 1024); };
    line("Rss:", usage.resident);
    line("Pss:", usage.proportional);
    line("Pss_Dirty:", usage.private_dirty);
    line("Shared_Clean:", usage.shared_clean);
    line("Shared_Dirty:", usage.shared_dirty);
    line("Private_Clean:", usage.private_clean);
    line("Private_Dirty:", usage.private_dirty);
    line("Referenced:", usage.referenced);
    line("Anonymous:", usage.anonymous);
    line("LazyFree:", 0);
    line("AnonHugePages:", 0);
    line("ShmemPmdMapped:", 0);
    line("FilePmdMapped:", 0);
    line("Shared_Hugetlb:", 0);
    line("Private_Hugetlb:", 0);
    line("Swap:", 0);
    line("SwapPss:", 0);
    line("Locked:", usage.locked);
}

/// Two letters for each property (proc_pid_smaps(5), VmFlags).
void show_flags(const mm::MappingInfo& info, TextSink sink) {
    sink("VmFlags: ");
    if (info.prot & abi::PROT_READ) sink("rd ");
    if (info.prot & abi::PROT_WRITE) sink("wr ");
    if (info.prot & abi::PROT_EXEC) sink("ex ");
    if (info.flags & mm::vma_shared) sink("sh ");
    sink("mr mw me ");
    if (info.flags & mm::vma_grows_down) sink("gd ");
    if (info.flags & mm::vma_locked) sink("lo ");
    if (info.flags & mm::vma_dont_fork) sink("dc ");
    if (info.flags & mm::vma_wipe_on_fork) sink("wf ");
    if (info.flags & mm::vma_dont_dump) sink("dd ");
    if (info.flags & mm::vma_accounted) sink("ac ");
    sink("\n");
}

/// Calls `visit` for one mapping after the other without the lock held between them: measuring takes it
/// itself.
template <typename Visit>
void for_each_unlocked(mm::AddressSpace& space, Visit visit) {
    VirtAddr from{};
    for (;;) {
        bool found = false;
        VirtAddr begin{}, end{};
        space.for_each_mapping(
            [&](const mm::MappingInfo& info) {
                found = true;
                begin = info.begin;
                end = info.end;
                return false;
            },
            from);
        if (!found) return;
        visit(begin, end);
        from = end;
    }
}

} // namespace

Result<void> show_maps(const Task& task, TextSink sink) {
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    if (!space) return {}; // a zombie has no mappings
    space->for_each_mapping([&](const mm::MappingInfo& info) {
        show_mapping(info, sink);
        return true;
    });
    return {};
}

Result<void> show_smaps(const Task& task, TextSink sink) {
    RefPtr<mm::AddressSpace> space = TRY(space_of(task));
    for_each_unlocked(*space, [&](VirtAddr begin, VirtAddr end) {
        const mm::MappingUsage usage = space->measure(begin, end);
        space->for_each_mapping(
            [&](const mm::MappingInfo& info) {
                show_mapping(info, sink);
                format_to(sink, "{-16}{8} kB\n", std::string_view("Size:"), (info.end - info.begin) / 1024);
                format_to(sink, "{-16}{8} kB\n", std::string_view("KernelPageSize:"), arch::page_size / 1024);
                format_to(sink, "{-16}{8} kB\n", std::string_view("MMUPageSize:"), arch::page_size / 1024);
                show_usage(usage, sink);
                sink("THPeligible:           0\n");
                show_flags(info, sink);
                return false;
            },
            begin);
    });
    return {};
}

Result<void> show_smaps_rollup(const Task& task, TextSink sink) {
    RefPtr<mm::AddressSpace> space = TRY(space_of(task));
    mm::MappingUsage total;
    VirtAddr first{}, last{};
    for_each_unlocked(*space, [&](VirtAddr begin, VirtAddr end) {
        const mm::MappingUsage usage = space->measure(begin, end);
        if (first.value == 0) first = begin;
        last = end;
        total.resident += usage.resident;
        total.proportional += usage.proportional;
        total.shared_clean += usage.shared_clean;
        total.shared_dirty += usage.shared_dirty;
        total.private_clean += usage.private_clean;
        total.private_dirty += usage.private_dirty;
        total.referenced += usage.referenced;
        total.anonymous += usage.anonymous;
        total.locked += usage.locked;
    });
    char line[80];
    const std::string_view text = format_into(line, "{08x}-{08x} ---p 00000000 00:00 0 ", first.value, last.value);
    sink(text);
    for (usize column = text.size(); column < name_column; ++column) sink(" ");
    sink("[rollup]\n");
    show_usage(total, sink);
    return {};
}

} // namespace linnet::process::proc
