// /proc/PID/maps and numa_maps (proc_pid_maps(5), proc_pid_numa_maps(5)).
#include "mappings.hpp"

namespace linnet::process::proc {

void show_label(const mm::MappingLabel& label, std::string_view escaped, TextSink sink) {
    label.format_name([&](std::string_view text) {
        for (char c : text) {
            if (!escaped.contains(c)) {
                sink({&c, 1});
                continue;
            }
            const u32 code = static_cast<u8>(c);
            format_to(sink, "\\{}{}{}", code >> 6, code >> 3 & 7, code & 7);
        }
    });
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
            show_label(*info.label, "\n", sink);
        else
            sink(info.name);
    }
    sink("\n");
}

Result<u64> show_maps(const Task& task, u64 from, TextSink sink) {
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    if (!space) return 0; // a zombie has no mappings
    usize left = 64;      // of one state of the address space
    u64 next = 0;
    space->for_each_mapping(
        [&](const mm::MappingInfo& info) {
            show_mapping(info, sink);
            next = --left == 0 ? info.end.value : 0;
            return left > 0;
        },
        {from});
    return next;
}

namespace {

/// There is one node, and all memory is on it.
void show_placement(const mm::MappingInfo& info, const mm::MemoryPolicy& policy, const mm::MappingUsage& usage,
                    TextSink sink) {
    const bool is_huge = (info.flags & mm::vma_hugetlb) != 0;
    format_to(sink, "{08x} ", info.begin.value);
    policy.format(sink);
    if (info.label && info.label->inode_number() != 0) {
        sink(" file=");
        show_label(*info.label, "\n\t= ", sink);
    } else if (info.name == "[heap]") {
        sink(" heap");
    } else if (info.name == "[stack]") {
        sink(" stack");
    } else if (is_huge) {
        sink(" file=/anon_hugepage\\040(deleted)");
    }
    if (is_huge) sink(" huge");
    if (usage.pages != 0) {
        if (usage.anonymous_pages != 0) format_to(sink, " anon={}", usage.anonymous_pages);
        if (usage.dirty_pages != 0) format_to(sink, " dirty={}", usage.dirty_pages);
        if (usage.pages != usage.anonymous_pages && usage.pages != usage.dirty_pages)
            format_to(sink, " mapped={}", usage.pages);
        if (usage.most_mappings > 1) format_to(sink, " mapmax={}", usage.most_mappings);
        if (usage.active_pages < usage.pages && !is_huge) format_to(sink, " active={}", usage.active_pages);
        const u64 page_size = is_huge ? arch::huge_page_size : arch::page_size;
        format_to(sink, " N0={} kernelpagesize_kB={}", usage.pages, page_size / 1024);
    }
    sink("\n");
}

} // namespace

Result<u64> show_numa_maps(const Task& task, u64 from, TextSink sink) {
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    if (!space) return 0;
    const mm::MemoryPolicy of_thread = task.representative()->memory_policy();
    auto show = [&](const mm::MappingInfo& info, const mm::MappingUsage& usage) {
        show_placement(info, info.policy == mm::MemoryPolicy() ? of_thread : info.policy, usage, sink);
    };
    return visit_some_usage(*space, from, 32, show);
}

} // namespace linnet::process::proc
