// What /proc shows of an address space.
#include "space.hpp"

namespace linnet::mm {

namespace {
u64 not_negative(const std::atomic<i64>& counter) {
    i64 value = counter.load(std::memory_order_relaxed);
    return value > 0 ? static_cast<u64>(value) : 0;
}
} // namespace

MappingInfo AddressSpace::describe(const Vma& vma) const {
    MappingInfo info;
    info.begin = vma.begin;
    info.end = vma.end;
    info.prot = vma.prot;
    info.flags = vma.flags;
    info.offset = vma.object ? vma.first_index << arch::page_shift : 0;
    info.label = vma.label.get();
    if (info.label) return info;
    if (vma.is(vma_stack))
        info.name = "[stack]";
    else if (!vma.object && vma.begin < brk_ && vma.end > layout.brk_begin)
        info.name = "[heap]";
    else if (vma.object && vma.is(vma_shared) && vma.object->kind() == VmObject::Kind::Shared)
        info.name = "/dev/zero (deleted)"; // as Linux names shared anonymous memory
    return info;
}

void AddressSpace::for_each_mapping(FunctionRef<bool(const MappingInfo&)> visit, VirtAddr from) {
    core::ReadGuard guard(mmap_lock_);
    for (Vma* vma = vmas_.find_ending_after(from); vma; vma = vmas_.next(*vma))
        if (!visit(describe(*vma))) return;
}

MappingUsage AddressSpace::measure(VirtAddr begin, VirtAddr end) {
    MappingUsage usage;
    core::ReadGuard guard(mmap_lock_);
    for (Vma* vma = vmas_.find_ending_after(begin); vma && vma->begin < end; vma = vmas_.next(*vma))
        measure_mapping(*vma, std::max(begin, vma->begin), std::min(end, vma->end), usage);
    return usage;
}

void AddressSpace::measure_mapping(Vma& vma, VirtAddr begin, VirtAddr end, MappingUsage& usage) {
    u64 resident_before = usage.resident;
    tables_.for_each_leaf_table(begin, end, [&](Page& table, VirtAddr from, VirtAddr to) {
        const u32 other_owners = table.refs.load(std::memory_order_relaxed) - 1;
        for (Cursor cursor(table, from); cursor.address() < to; cursor.advance()) {
            Entry entry = cursor.entry();
            if (Policy::is_empty(entry)) continue;
            Page* page = counted_page(vma, Policy::address(entry, 0));
            if (!page) continue;
            bool is_anonymous = page->kind == PageKind::Anonymous;
            u32 sharers = is_anonymous ? page->refs.load(std::memory_order_relaxed) + other_owners
                                       : page->map_count.load(std::memory_order_relaxed);
            if (sharers == 0) sharers = 1;
            bool is_dirty =
                is_anonymous || page->kind == PageKind::Shared || Policy::is_dirty(entry) || page->has(page_dirty);
            usage.resident += arch::page_size;
            usage.proportional += arch::page_size / sharers;
            if (is_anonymous) usage.anonymous += arch::page_size;
            if (Policy::is_accessed(entry)) usage.referenced += arch::page_size;
            u64& bucket = sharers > 1 ? (is_dirty ? usage.shared_dirty : usage.shared_clean)
                                      : (is_dirty ? usage.private_dirty : usage.private_clean);
            bucket += arch::page_size;
        }
    });
    if (vma.is(vma_locked)) usage.locked += usage.resident - resident_before;
}

/// The peak is taken when somebody looks and when pages go, not at every fault.
void AddressSpace::note_resident_peak() const {
    u64 resident = not_negative(resident_anonymous_) + not_negative(resident_file_) + not_negative(resident_shared_);
    if (resident > peak_resident_.load(std::memory_order_relaxed))
        peak_resident_.store(resident, std::memory_order_relaxed);
}

AddressSpaceStatistics AddressSpace::statistics() const {
    auto read = [](const std::atomic<u64>& counter) { return counter.load(std::memory_order_relaxed); };
    note_resident_peak();
    AddressSpaceStatistics result;
    result.total = read(total_pages_);
    result.peak_total = read(peak_total_);
    result.locked = read(locked_pages_);
    result.data = read(data_pages_);
    result.stack = read(stack_pages_);
    result.text = read(text_pages_);
    result.shared_mappings = read(shared_pages_);
    result.anonymous = not_negative(resident_anonymous_);
    result.file = not_negative(resident_file_);
    result.shared = not_negative(resident_shared_);
    result.peak_resident = read(peak_resident_);
    result.page_tables = read(table_pages_);
    result.mapping_count = vmas_.count();
    return result;
}

void AddressSpace::reset_peak_resident() {
    peak_resident_.store(0, std::memory_order_relaxed);
    note_resident_peak();
}

} // namespace linnet::mm
