// What /proc shows of an address space.
#include "huge_pages.hpp"
#include "vma_edit.hpp"
#include <algorithm>

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
    info.max_prot = vma.max_prot;
    info.protection_key = vma.protection_key;
    if (vma.object) info.backing = is_physical(vma) ? MappingInfo::Backing::Physical : MappingInfo::Backing::Pages;
    info.policy = vma.policy;
    info.flags = vma.flags;
    info.offset = vma.object ? vma.first_index << arch::page_shift : 0;
    info.label = vma.label.get();
    info.has_private_pages = vma.has_private_pages.load(std::memory_order_relaxed);
    info.may_have_huge_pages = may_be_huge(vma, {align_up(vma.begin.value, arch::huge_page_size)});
    if (info.label) return info;
    if (vma.is(vma_stack))
        info.name = "[stack]";
    else if (!vma.object && vma.begin < brk_ && vma.end > layout.brk_begin)
        info.name = "[heap]";
    else if (vma.object && vma.is(vma_shared) && vma.object->kind() == VmObject::Kind::Shared)
        info.name = "/dev/zero (deleted)"; // as Linux names shared anonymous memory
    if (vma.is(vma_hugetlb)) info.name = "/anon_hugepage (deleted)";
    return info;
}

namespace {
/// Whether neighbours would be one mapping if it weren't for a guard range.
bool differ_by_guard(const Vma& first, const Vma& second) {
    return ((first.flags ^ second.flags) & ~u32{vma_soft_dirty}) == vma_guard && first.prot == second.prot &&
           continues(first, second);
}
} // namespace

/// The last of the mappings from `first` on that are shown as one: guard ranges don't show.
Vma& AddressSpace::last_shown_with(Vma& first) {
    Vma* last = &first;
    for (Vma* next = vmas_.next(first); next; next = vmas_.next(*next)) {
        if (!differ_by_guard(*last, *next)) break;
        last = next;
    }
    return *last;
}

/// The mapping that ends behind `from`, or what is shown as one with it.
Vma* AddressSpace::find_shown(VirtAddr from) {
    Vma* vma = vmas_.find_ending_after(from);
    while (vma) {
        Vma* below = vmas_.previous(*vma);
        if (!below || !differ_by_guard(*below, *vma)) break;
        vma = below;
    }
    return vma;
}

void AddressSpace::for_each_mapping(FunctionRef<bool(const MappingInfo&)> visit, VirtAddr from) {
    core::ReadGuard guard(mmap_lock_);
    for (Vma* vma = find_shown(from); vma;) {
        Vma& last = last_shown_with(*vma);
        MappingInfo info = describe(*vma);
        info.end = last.end;
        for (const Vma* part = vma; part != &last;) {
            part = vmas_.next(*part);
            if (part->has_private_pages.load(std::memory_order_relaxed)) info.has_private_pages = true;
        }
        if (!visit(info)) return;
        vma = vmas_.next(last);
    }
}

VirtAddr AddressSpace::visit_usage(VirtAddr from, FunctionRef<void(const MappingInfo&, const MappingUsage&)> visit) {
    core::ReadGuard guard(mmap_lock_);
    Vma* vma = find_shown(from);
    if (!vma) return {};
    MappingInfo info = describe(*vma);
    MappingUsage usage = measure(*vma);
    for (Vma& last = last_shown_with(*vma); vma != &last;) {
        vma = vmas_.next(*vma);
        usage.add(measure(*vma));
    }
    info.end = vma->end;
    visit(info, usage);
    return info.end;
}

namespace {

/// Adds one page that is mapped `mappings` times.
void add_page(MappingUsage& usage, const Page& page, u32 mappings, bool is_referenced, bool is_dirty) {
    const u64 share = (u64{arch::page_size} << MappingUsage::share_shift) / mappings;
    const bool is_anonymous = page.kind == PageKind::Anonymous;
    usage.resident += arch::page_size;
    usage.share += share;
    ++usage.pages;
    if (is_anonymous) {
        usage.anonymous += arch::page_size;
        usage.share_anonymous += share;
        ++usage.anonymous_pages;
    } else {
        (page.kind == PageKind::File ? usage.share_file : usage.share_shared) += share;
    }
    if (is_referenced) usage.referenced += arch::page_size;
    if (page.has(page_active)) ++usage.active_pages;
    if (is_dirty) usage.share_dirty += share, ++usage.dirty_pages;
    usage.most_mappings = std::max(usage.most_mappings, mappings);
    u64& bucket = mappings > 1 ? (is_dirty ? usage.shared_dirty : usage.shared_clean)
                               : (is_dirty ? usage.private_dirty : usage.private_clean);
    bucket += arch::page_size;
}

} // namespace

void MappingUsage::add(const MappingUsage& other) {
    constexpr u64 MappingUsage::* sums[] = {
        &MappingUsage::resident,      &MappingUsage::share,           &MappingUsage::share_dirty,
        &MappingUsage::share_file,    &MappingUsage::share_anonymous, &MappingUsage::share_shared,
        &MappingUsage::share_locked,  &MappingUsage::shared_clean,    &MappingUsage::shared_dirty,
        &MappingUsage::private_clean, &MappingUsage::private_dirty,   &MappingUsage::referenced,
        &MappingUsage::anonymous,     &MappingUsage::pages,           &MappingUsage::anonymous_pages,
        &MappingUsage::dirty_pages,   &MappingUsage::active_pages,    &MappingUsage::anonymous_huge,
        &MappingUsage::shared_huge,   &MappingUsage::private_hugetlb, &MappingUsage::shared_hugetlb};
    for (u64 MappingUsage::* sum : sums) this->*sum += other.*sum;
    most_mappings = std::max(most_mappings, other.most_mappings);
}

MappingUsage AddressSpace::measure(const Vma& vma) {
    MappingUsage usage;
    auto measure_table = [&](Page& table, VirtAddr from, VirtAddr to, Entry*) {
        for (Cursor cursor(table, from); cursor.address() < to; cursor.advance()) {
            Entry entry = cursor.entry();
            if (Policy::is_empty(entry)) continue;
            Page* page = counted_page(vma, Policy::address(entry, 0));
            if (!page) continue;
            // Private and shared memory have nowhere else to be: what differs from nothing is dirty.
            bool is_dirty = page->kind != PageKind::File || Policy::is_dirty(entry) || page->has(page_dirty);
            add_page(usage, *page, mapping_count(*page, &table), Policy::is_accessed(entry), is_dirty);
        }
    };
    auto measure_huge = [&](VirtAddr, VirtAddr, Entry* slot) {
        HugeTableCursor cursor(slot);
        const Entry entry = cursor.entry();
        Page* head = Policy::is_leaf(entry, 1) ? counted_page(vma, Policy::address(entry, 1)) : nullptr;
        if (!head) return;
        if (head->kind == PageKind::Hugetlb) {
            const u32 mappings = mapping_count(*head, nullptr);
            const bool is_private = is_private_block(*head);
            (mappings > 1 ? usage.shared_hugetlb : usage.private_hugetlb) += arch::huge_page_size;
            ++usage.pages;
            if (is_private) ++usage.anonymous_pages;
            if (!is_private || Policy::flags(entry, 1).dirty) ++usage.dirty_pages;
            usage.most_mappings = std::max(usage.most_mappings, mappings);
            return;
        }
        for (u64 i = 0; i < frames_per_huge_page; ++i)
            add_page(usage, head[i], mapping_count(head[i], nullptr), Policy::is_accessed(entry), true);
        (head->kind == PageKind::Anonymous ? usage.anonymous_huge : usage.shared_huge) += arch::huge_page_size;
    };
    tables_.for_each_leaf_slot(vma.begin, vma.end, measure_table, measure_huge);
    if (vma.is(vma_locked)) usage.share_locked = usage.share;
    return usage;
}

void AddressSpace::page_states(VirtAddr begin, std::span<PageState> states) {
    const VirtAddr end = begin + states.size() * arch::page_size;
    core::ReadGuard guard(mmap_lock_);
    for (Vma* vma = vmas_.find_ending_after(begin); vma && vma->begin < end; vma = vmas_.next(*vma)) {
        const VirtAddr first = std::max(begin, vma->begin), last = std::min(end, vma->end);
        if (vma->is(vma_guard))
            for (VirtAddr at = first; at < last; at += arch::page_size) states[pages_in(at - begin)].is_guard = true;
        if (vma->is(vma_soft_dirty))
            for (VirtAddr at = first; at < last; at += arch::page_size)
                states[pages_in(at - begin)].is_soft_dirty = true;
        auto note = [&](VirtAddr address, PhysAddr frame, const Page* table, bool is_soft_dirty) {
            PageState& state = states[pages_in(address - begin)];
            state.is_present = true;
            if (is_soft_dirty && !vma->is(vma_hugetlb)) state.is_soft_dirty = true; // as Linux, which has none there
            state.frame = pages_in(frame.value);
            const Page* page = counted_page(*vma, frame);
            if (!page) return;
            state.is_of_object = page->kind != PageKind::Anonymous;
            state.is_exclusive = mapping_count(*page, table) == 1;
        };
        auto look_at_table = [&](Page& table, VirtAddr from, VirtAddr to, Entry*) {
            for (Cursor cursor(table, from); cursor.address() < to; cursor.advance())
                if (Entry entry = cursor.entry(); !Policy::is_empty(entry))
                    note(cursor.address(), Policy::address(entry, 0), &table, Policy::is_soft_dirty(entry));
        };
        auto look_at_huge = [&](VirtAddr from, VirtAddr to, Entry* slot) {
            HugeTableCursor cursor(slot);
            const Entry entry = cursor.entry();
            if (!Policy::is_leaf(entry, 1)) return;
            const PhysAddr block = Policy::address(entry, 1);
            for (; from < to; from += arch::page_size)
                note(from, block + (from - huge_page_floor(from)), nullptr, Policy::is_soft_dirty(entry));
        };
        tables_.for_each_leaf_slot(first, last, look_at_table, look_at_huge);
    }
}

VirtAddr AddressSpace::find_present(VirtAddr begin, VirtAddr end) {
    VirtAddr found = end;
    auto look_at_table = [&](Page& table, VirtAddr from, VirtAddr to, Entry*) {
        for (Cursor cursor(table, from); cursor.address() < to && found == end; cursor.advance())
            if (!Policy::is_empty(cursor.entry())) found = cursor.address();
    };
    auto look_at_huge = [&](VirtAddr from, VirtAddr, Entry* slot) {
        HugeTableCursor cursor(slot);
        if (found == end && Policy::is_leaf(cursor.entry(), 1)) found = from;
    };
    // What is looked at in one go grows as long as nothing is found: behind the first page found nobody needs to look.
    u64 stretch = arch::huge_page_size;
    core::ReadGuard guard(mmap_lock_);
    while (begin < end && found == end) {
        const VirtAddr stop = end - begin > stretch ? begin + stretch : end;
        tables_.for_each_leaf_slot(begin, stop, look_at_table, look_at_huge);
        begin = stop;
        stretch *= 2;
    }
    return found;
}

void AddressSpace::clear_references_in(const Vma& vma, ReferencedPages which, TlbBatch& batch) {
    auto is_meant = [&](const Page& page) {
        const bool is_anonymous = page.kind == PageKind::Anonymous;
        return which == ReferencedPages::All || is_anonymous == (which == ReferencedPages::Anonymous);
    };
    auto clear_in_table = [&](Page& table, VirtAddr from, VirtAddr to, Entry*) {
        for (Cursor cursor(table, from); cursor.address() < to; cursor.advance()) {
            Entry entry = cursor.entry();
            if (Policy::is_empty(entry) || !Policy::is_accessed(entry)) continue;
            Page* page = counted_page(vma, Policy::address(entry, 0));
            if (!page || !is_meant(*page)) continue;
            while (!Policy::is_empty(entry) && !cursor.compare_exchange(entry, Policy::without_accessed(entry))) {
            }
            page->clear(page_active);
            batch.note(cursor.address());
        }
    };
    auto clear_in_huge = [&](VirtAddr from, VirtAddr to, Entry* slot) {
        HugeTableCursor cursor(slot);
        Entry entry = cursor.entry();
        Page* head = Policy::is_leaf(entry, 1) ? counted_page(vma, Policy::address(entry, 1)) : nullptr;
        if (!head || !is_meant(*head)) return;
        while (!cursor.compare_exchange(entry, Policy::without_accessed(entry))) {
        }
        for (u64 i = 0; i < frames_per_huge_page; ++i) head[i].clear(page_active);
        batch.note_range(from, to);
    };
    tables_.for_each_leaf_slot(vma.begin, vma.end, clear_in_table, clear_in_huge);
}

void AddressSpace::clear_references(ReferencedPages which) {
    core::ReadGuard guard(mmap_lock_);
    TlbBatch batch(*this);
    for (Vma* vma = vmas_.first(); vma; vma = vmas_.next(*vma)) clear_references_in(*vma, which, batch);
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
    result.hugetlb = read(hugetlb_pages_) * frames_per_huge_page;
    result.page_tables = read(table_pages_) - 1; // the root is part of every address space
    result.mapping_count = vmas_.count();
    return result;
}

void AddressSpace::reset_peak_resident() {
    peak_resident_.store(0, std::memory_order_relaxed);
    note_resident_peak();
}

} // namespace linnet::mm
