// Splitting, merging and counting mappings. The mmap lock is held exclusively. Whatever changes the range of a mapping
// that an object links does so under the object's mappings lock.
#include "vma_edit.hpp"

namespace linnet::mm {

namespace {

VmObject::Writable writability(const Vma& vma) {
    return vma.counts_as_writable_mapping() ? VmObject::Writable::Yes : VmObject::Writable::No;
}

} // namespace

bool continues(const Vma& first, const Vma& second) {
    if (first.end != second.begin || first.max_prot != second.max_prot) return false;
    if (first.is(vma_special) || first.protection_key != second.protection_key) return false;
    if (first.object.get() != second.object.get() || first.label.get() != second.label.get()) return false;
    if (first.promise.get() != second.promise.get() || first.policy != second.policy) return false;
    return first.is_anonymous() || first.first_index + first.page_count() == second.first_index;
}

bool can_merge(const Vma& first, const Vma& second) {
    return ((first.flags ^ second.flags) & ~u32{vma_soft_dirty}) == 0 && first.prot == second.prot &&
           continues(first, second);
}

Result<Vma*> AddressSpace::clone_vma(const Vma& vma) {
    auto* copy = new (std::nothrow) Vma();
    if (!copy) return error(Errno::ENOMEM);
    copy->begin = vma.begin;
    copy->end = vma.end;
    copy->space = this;
    copy->object = vma.object;
    copy->first_index = vma.first_index;
    copy->label = vma.label;
    copy->promise = vma.promise;
    copy->policy = vma.policy;
    copy->flags = vma.flags;
    copy->prot = vma.prot;
    copy->max_prot = vma.max_prot;
    copy->protection_key = vma.protection_key;
    copy->lost_pages.store(vma.lost_pages.load(std::memory_order_relaxed), std::memory_order_relaxed);
    copy->has_private_pages.store(vma.has_private_pages.load(std::memory_order_relaxed), std::memory_order_relaxed);
    return copy;
}

void AddressSpace::link_vma(Vma& vma, ObjectMapping* after) {
    if (vma.object) vma.object->add_mapping(vma, writability(vma), after);
}

void AddressSpace::unlink_vma(Vma& vma) {
    if (vma.object) vma.object->remove_mapping(vma, writability(vma));
}

/// Takes a mapping for good out of what faults can find.
void AddressSpace::take_out(Vma& vma) {
    mmap_lock_.claim(vma);
    vmas_.remove(vma);
    // Who has entered the mapping has left it, and with it set hints no more.
    for (u64 cpus = active_cpus_.value(); cpus; cpus &= cpus - 1) {
        auto& hint = core::cpu(static_cast<u32>(std::countr_zero(cpus))).mapping_hint;
        if (hint.load(std::memory_order_relaxed) == &vma) hint.store(nullptr, std::memory_order_relaxed);
    }
}

void AddressSpace::claim_range(VirtAddr begin, VirtAddr end) {
    for (Vma* vma = vmas_.find_ending_after(begin); vma && vma->begin < end; vma = vmas_.next(*vma))
        mmap_lock_.claim(*vma);
}

/// Changes the range of a mapping in place; it stays where it is in the order.
void AddressSpace::set_range(Vma& vma, VirtAddr begin, VirtAddr end) {
    mmap_lock_.claim(vma);
    auto change = [&] {
        if (begin < vma.begin)
            vma.first_index -= pages_in(vma.begin - begin);
        else
            vma.first_index += pages_in(begin - vma.begin);
        vma.begin = begin;
        vma.end = end;
    };
    if (!vma.object) return change();
    core::MutexGuard guard(vma.object->mappings_lock());
    change();
}

Result<void> AddressSpace::split(Vma& vma, VirtAddr at) {
    if (vmas_.count() >= max_map_count) return error(Errno::ENOMEM);
    if (ends_within_huge_page(vma, at)) return error(Errno::EINVAL);
    mmap_lock_.claim(vma); // before it is looked at: faults make huge pages and private ones
    if (!is_aligned(at.value, leaf_table_span)) TRY(split_huge_leaf(at));
    Vma* tail = TRY(clone_vma(vma));
    mmap_lock_.claim(*tail);
    auto change = [&] {
        tail->first_index = vma.index_of(at);
        tail->begin = at;
        vma.end = at;
    };
    if (vma.object) {
        core::MutexGuard guard(vma.object->mappings_lock());
        change();
        vma.object->add_mapping_locked(*tail, writability(*tail), &vma);
    } else {
        change();
    }
    vmas_.insert_behind(vma, *tail);
    return {};
}

Result<Vma*> AddressSpace::isolate(Vma& vma, VirtAddr begin, VirtAddr end) {
    Vma* part = &vma;
    mmap_lock_.claim(vma);
    if (part->begin < begin) {
        TRY(split(*part, begin));
        part = vmas_.next(*part);
    }
    if (part->end > end) TRY(split(*part, end));
    return part;
}

/// Gives the second mapping's range to the first one, which lies right below.
void AddressSpace::absorb(Vma& first, Vma& second) {
    mmap_lock_.claim(first);
    mmap_lock_.claim(second);
    VirtAddr end = second.end;
    if (second.has_private_pages.load(std::memory_order_relaxed)) first.has_private_pages.store(true);
    if (second.lost_pages.load(std::memory_order_relaxed)) first.lost_pages.store(true);
    take_out(second);
    second.is_absorbed = true;
    // The first grows before the second leaves the object's list: truncation meets each page at least once.
    set_range(first, first.begin, end);
    first.flags |= second.flags & vma_soft_dirty;
    unlink_vma(second);
    second.object = {}; // never the last holder of the object or label: `first` has them too
    second.label = {};
}

/// Joins a mapping with its neighbours where they have become alike; returns the one that is left.
Vma* AddressSpace::merge(Vma& vma) {
    if (Vma* next = vmas_.next(vma); next && can_merge(vma, *next)) absorb(vma, *next);
    Vma* previous = vmas_.previous(vma);
    if (!previous || !can_merge(*previous, vma)) return &vma;
    absorb(*previous, vma);
    return previous;
}

void AddressSpace::account(const Vma& vma, i64 pages) {
    auto add = [&](std::atomic<u64>& counter) {
        counter.fetch_add(static_cast<u64>(pages), std::memory_order_relaxed);
    };
    add(total_pages_);
    u64 total = total_pages_.load(std::memory_order_relaxed);
    if (total > peak_total_.load(std::memory_order_relaxed)) peak_total_.store(total, std::memory_order_relaxed);
    if (vma.is(vma_locked)) add(locked_pages_), count_locked(pages);
    if (vma.is(vma_shared)) add(shared_pages_);
    if (counts_as_data(vma.prot, vma.flags)) add(data_pages_);
    if (vma.is(vma_grows_down)) add(stack_pages_);
    if (counts_as_text(vma.prot)) add(text_pages_);
    if (vma.is(vma_accounted)) commit_pages(pages);
}

/// `pages` of the mapping had other rights and flags before; nothing has come or gone.
void AddressSpace::account_change(const Vma& vma, u8 old_prot, u32 old_flags, u64 pages) {
    auto move = [&](std::atomic<u64>& counter, bool before, bool now) {
        if (before != now) counter.fetch_add(now ? pages : -pages, std::memory_order_relaxed);
    };
    move(data_pages_, counts_as_data(old_prot, old_flags), counts_as_data(vma.prot, vma.flags));
    move(text_pages_, counts_as_text(old_prot), counts_as_text(vma.prot));
    const u32 changed = old_flags ^ vma.flags;
    if (changed == 0) return;
    const i64 sign = static_cast<i64>(pages);
    move(locked_pages_, old_flags & vma_locked, vma.is(vma_locked));
    if (changed & vma_locked) count_locked(vma.is(vma_locked) ? sign : -sign);
    if (changed & vma_accounted) commit_pages(vma.is(vma_accounted) ? sign : -sign);
}

} // namespace linnet::mm
