// What all objects share: the index of pages, the list of mappings, truncation; and the two simple kinds.
//
// Truncation: the new size is stored first, then every mapping's entries go (under the lock of their table), then the
// pages. A fault that looked before must look again under that lock: it sees the new size or its entry is removed.
#include "generations.hpp"
#include "huge_pages.hpp"
#include "page_allocator.hpp"
#include "rmap.hpp"
#include "space.hpp"
#include <cstring>
#include <lib/own_ptr.hpp>
#include <mm/address_space.hpp>
#include <mm/page_cache.hpp>
#include <mm/vm_object.hpp>

namespace linnet::mm {

namespace {
constinit core::LockClass pages_lock_class("object pages");
constinit core::LockClass mappings_lock_class("object mappings");
} // namespace

VmObject::VmObject(Kind kind, u64 size, Commitment commitment)
    : pages_lock_(pages_lock_class), mappings_lock_(mappings_lock_class), size_(size), kind_(kind),
      commitment_(kind == Kind::Shared ? commitment : Commitment::None) {}

VmObject::~VmObject() {
    VERIFY(mappings_.is_empty());
    drop_pages(0, ~u64{0});
}

u64 VmObject::identity() {
    static constinit std::atomic<u64> last{0};
    u64 identity = identity_.load(std::memory_order_relaxed);
    if (identity != 0) return identity;
    const u64 fresh = last.fetch_add(1, std::memory_order_relaxed) + 1;
    // Where another thread was faster, its number holds.
    return identity_.compare_exchange_strong(identity, fresh, std::memory_order_relaxed) ? fresh : identity;
}

PageRef VmObject::find_any_page(u64 index) {
    core::SpinGuard guard(pages_lock_);
    Page* page = pages_.find(index);
    if (page && is_evictable()) generations::touch(*page);
    return page ? PageRef::share(*page) : PageRef();
}

PageRef VmObject::find_page(u64 index) {
    PageRef page = find_any_page(index);
    if (page && !page->has(page_up_to_date)) return {};
    return page;
}

usize VmObject::find_pages(u64 first, std::span<PageRef> pages) {
    usize found = 0, i = 0;
    core::SpinGuard guard(pages_lock_);
    while (i < pages.size()) {
        usize count;
        Page* const* slots = pages_.run(first + i, count);
        count = std::min(count, pages.size() - i);
        for (usize j = 0; slots && j < count; ++j) {
            if (!slots[j] || !slots[j]->has(page_up_to_date)) continue;
            pages[i + j] = PageRef::share(*slots[j]);
            if (is_evictable()) generations::touch(*slots[j]);
            ++found;
        }
        i += count;
    }
    return found;
}

u64 VmObject::next_resident(u64 from) {
    core::SpinGuard guard(pages_lock_);
    return pages_.find_next(from) ? from : ~u64{0};
}

VmObject::CacheCount VmObject::count_pages(u64 first, u64 last) {
    constexpr usize pages_at_once = 512; // then others get at the lock
    CacheCount result;
    for (u64 at = first; at < last;) {
        core::SpinGuard guard(pages_lock_);
        for (usize i = 0; i < pages_at_once; ++i, ++at) {
            Page* page = at < last ? pages_.find_next(at) : nullptr;
            if (!page || at >= last) return result;
            ++result.pages;
            if (page->has(page_dirty)) ++result.dirty;
        }
    }
    return result;
}

PageRef VmObject::find_flagged(u64& from, u64 end, PageFlag flag) {
    core::SpinGuard guard(pages_lock_);
    for (Page* page; from < end && (page = pages_.find_next(from)) && from < end; ++from)
        if (page->has(flag)) return PageRef::share(*page);
    return {};
}

PageRef VmObject::find_any_from(u64& from) {
    core::SpinGuard guard(pages_lock_);
    Page* page = pages_.find_next(from);
    return page ? PageRef::share(*page) : PageRef();
}

Result<PageRef> VmObject::insert_page(u64 index, PageRef page) {
    core::SpinGuard guard(pages_lock_);
    if (Page* other = pages_.find(index)) return PageRef::share(*other);
    if (commitment_ == Commitment::ByPage && !can_commit(1, 0)) return error(Errno::ENOSPC);
    TRY(pages_.insert(index, *page));
    if (commitment_ == Commitment::ByPage) commit_pages(1);
    page->index = index;
    __atomic_store_n(&page->object, this, __ATOMIC_RELEASE);
    resident_.fetch_add(1, std::memory_order_relaxed);
    ref_page(*page); // the index's own
    if (is_evictable()) generations::add(*page);
    return page;
}

bool VmObject::has_huge_page(u64 first) {
    core::SpinGuard guard(pages_lock_);
    Page* head = pages_.find(first);
    return head && head->has(page_huge);
}

Page* VmObject::map_huge_page(u64 first) {
    core::SpinGuard guard(pages_lock_);
    Page* head = pages_.find(first);
    if (!head || !head->has(page_huge)) return nullptr;
    note_huge_mapping(*head);
    return head;
}

bool VmObject::insert_huge_page(u64 first, Page& head) {
    core::SpinGuard guard(pages_lock_);
    u64 next = first;
    if (pages_.find_next(next) && next < first + frames_per_huge_page) return false;
    if (commitment_ == Commitment::ByPage && !can_commit(frames_per_huge_page, 0)) return false;
    for (u64 i = 0; i < frames_per_huge_page; ++i) {
        Page& page = (&head)[i];
        if (!pages_.insert(first + i, page)) {
            while (i-- > 0) pages_.remove(first + i);
            return false;
        }
        page.index = first + i;
        __atomic_store_n(&page.object, this, __ATOMIC_RELEASE);
    }
    head.set(page_huge);
    resident_.fetch_add(frames_per_huge_page, std::memory_order_relaxed);
    if (commitment_ == Commitment::ByPage) commit_pages(i64{frames_per_huge_page});
    return true;
}

void VmObject::remove_page(u64 index, const Page& page) {
    {
        core::SpinGuard guard(pages_lock_);
        if (pages_.find(index) != &page) return;
        Page* gone = pages_.remove(index);
        forget_huge_page_of(*gone);
        if (is_evictable()) generations::remove(*gone);
        __atomic_store_n(&gone->object, nullptr, __ATOMIC_RELEASE);
        resident_.fetch_sub(1, std::memory_order_relaxed);
        if (commitment_ == Commitment::ByPage) commit_pages(-1);
    }
    unref_page(const_cast<Page&>(page));
}

void VmObject::drop_pages(u64 first, u64 last) {
    u64 at = first;
    for (;;) {
        // A handful at a time, so that others get at the lock.
        Page* doomed[16];
        usize count = 0;
        {
            core::SpinGuard guard(pages_lock_);
            while (count < std::size(doomed)) {
                Page* page = pages_.find_next(at);
                if (!page || at >= last) break;
                pages_.remove(at);
                forget_huge_page_of(*page);
                if (is_evictable()) generations::remove(*page);
                __atomic_store_n(&page->object, nullptr, __ATOMIC_RELEASE);
                doomed[count++] = page;
            }
            resident_.fetch_sub(count, std::memory_order_relaxed);
            if (commitment_ == Commitment::ByPage) commit_pages(-static_cast<i64>(count));
        }
        for (usize i = 0; i < count; ++i) {
            note_clean(*doomed[i]);
            unref_page(*doomed[i]);
        }
        if (count < std::size(doomed)) return;
    }
}

void VmObject::add_mapping(ObjectMapping& mapping, Writable writable, ObjectMapping* after) {
    core::MutexGuard guard(mappings_lock_);
    add_mapping_locked(mapping, writable, after);
}

void VmObject::add_mapping_locked(ObjectMapping& mapping, Writable writable, ObjectMapping* after) {
    ObjectMapping* behind = after ? mappings_.next(*after) : nullptr;
    if (behind)
        mappings_.insert_before(*behind, mapping);
    else
        mappings_.push_back(mapping);
    mapping_count_.fetch_add(1, std::memory_order_relaxed);
    if (writable == Writable::Yes) writable_mappings_.fetch_add(1, std::memory_order_relaxed);
    on_mapped();
}

void VmObject::remove_mapping(ObjectMapping& mapping, Writable writable) {
    core::MutexGuard guard(mappings_lock_);
    mappings_.remove(mapping);
    mapping_count_.fetch_sub(1, std::memory_order_relaxed);
    if (writable == Writable::Yes) writable_mappings_.fetch_sub(1, std::memory_order_relaxed);
    on_unmapped();
}

/// Takes the pages [first, last) out of every mapping.
void VmObject::unmap_range(u64 first, u64 last, PrivateCopies copies) {
    core::MutexGuard guard(mappings_lock_);
    unmap_range_locked(first, last, copies);
}

void VmObject::unmap_range_locked(u64 first, u64 last, PrivateCopies copies) {
    for (ObjectMapping& mapping : mappings_) {
        auto& vma = static_cast<Vma&>(mapping);
        u64 vma_end = vma.first_index + vma.page_count();
        u64 from = std::max(first, vma.first_index), to = std::min(last, vma_end);
        if (from >= to) continue;
        VirtAddr begin = vma.begin + ((from - vma.first_index) << arch::page_shift);
        VirtAddr end = vma.begin + ((to - vma.first_index) << arch::page_shift);
        unmap_object_range(vma, begin, end, copies == PrivateCopies::Keep);
    }
}

bool VmObject::unmap_if_unused(u64 index, Page& page) {
    // Whoever reclaims may hold the lock, as it made a table for a mapping that moves.
    if (mappings_lock_.is_held_by_current() || !mappings_lock_.try_lock()) return false;
    bool is_used = false;
    for (ObjectMapping& mapping : mappings_) {
        auto& vma = static_cast<Vma&>(mapping);
        if (index < vma.first_index || index - vma.first_index >= vma.page_count()) continue;
        const VirtAddr address = vma.begin + ((index - vma.first_index) << arch::page_shift);
        if (vma.is(vma_locked) || take_accessed_mark(vma, address, page)) is_used = true;
    }
    if (!is_used) unmap_range_locked(index, index + 1, PrivateCopies::Keep);
    mappings_lock_.unlock();
    return !is_used;
}

bool VmObject::remove_if_unused(u64 index, Page& page) {
    {
        core::SpinGuard guard(pages_lock_);
        // New references are only made under this lock, or by who has one.
        if (pages_.find(index) != &page || page.refs.load(std::memory_order_acquire) != 2) return false;
        if (page.flags.load(std::memory_order_acquire) & (page_dirty | page_locked)) return false;
        if (page.map_count.load(std::memory_order_acquire) != 0) return false;
        pages_.remove(index);
        if (is_evictable()) generations::remove(page);
        __atomic_store_n(&page.object, nullptr, __ATOMIC_RELEASE);
        resident_.fetch_sub(1, std::memory_order_relaxed);
        if (commitment_ == Commitment::ByPage) commit_pages(-1);
    }
    unref_page(page);
    return true;
}

void VmObject::write_protect_page(u64 index) {
    core::MutexGuard guard(mappings_lock_);
    for (ObjectMapping& mapping : mappings_) {
        auto& vma = static_cast<Vma&>(mapping);
        if (!vma.is(vma_shared) || index < vma.first_index || index - vma.first_index >= vma.page_count()) continue;
        write_protect_mapping(vma, vma.begin + ((index - vma.first_index) << arch::page_shift));
    }
}

void VmObject::zero_part(u64 index, usize begin, usize end) {
    PageRef page = find_page(index);
    if (!page) return;
    std::memset(page.data<u8>() + begin, 0, end - begin);
    if (kind_ == Kind::File) note_dirty(*page);
}

void VmObject::set_size(u64 size) {
    u64 old = size_.exchange(size, std::memory_order_acq_rel);
    if (size >= old) return;
    u64 first = divide_up(size, arch::page_size);
    if (is_mapped()) unmap_range(first, ~u64{0}, PrivateCopies::Unmap);
    drop_pages(first, ~u64{0});
    if (usize rest = size & (arch::page_size - 1)) zero_part(size >> arch::page_shift, rest, arch::page_size);
}

void VmObject::punch_hole(u64 begin, u64 end) {
    if (begin >= end) return;
    u64 first = divide_up(begin, arch::page_size), last = end >> arch::page_shift;
    if (first < last) {
        // No entry is made for a page that is dropped already, and those made before go after it.
        drop_pages(first, last);
        if (is_mapped()) unmap_range(first, last, PrivateCopies::Keep);
    }
    usize head = begin & (arch::page_size - 1), tail = end & (arch::page_size - 1);
    if (begin >> arch::page_shift == end >> arch::page_shift) {
        if (head != tail) zero_part(begin >> arch::page_shift, head, tail);
        return;
    }
    if (head) zero_part(begin >> arch::page_shift, head, arch::page_size);
    if (tail) zero_part(end >> arch::page_shift, 0, tail);
}

AnonObject::AnonObject(u64 size, Commitment commitment) : VmObject(Kind::Shared, size, commitment) {
    if (commitment == Commitment::Whole) promised_pages_ = divide_up(size, arch::page_size);
    commit_pages(static_cast<i64>(promised_pages_));
}

Result<void> AnonObject::check_promise(u64 size, Commitment commitment) {
    const AddressSpace* asker = current_address_space();
    if (commitment == Commitment::Whole && asker && !asker->can_commit(divide_up(size, arch::page_size)))
        return error(Errno::ENOMEM);
    return {};
}

Result<RefPtr<AnonObject>> AnonObject::create(u64 size, Commitment commitment) {
    TRY(check_promise(size, commitment));
    auto* object = new (std::nothrow) AnonObject(size, commitment);
    if (!object) return error(Errno::ENOMEM);
    return adopt_ref(*object);
}

Result<RefPtr<AnonObject>> AnonObject::create_secret() {
    RefPtr<AnonObject> object = TRY(create(0));
    object->make_secret();
    return object;
}

AnonObject::~AnonObject() { commit_pages(-static_cast<i64>(promised_pages_)); }

Result<PageRef> AnonObject::get_page(u64 index, arch::Access) {
    if (PageRef page = find_any_page(index)) return page;
    PageRef page = TRY(allocate_page(PageZeroing::Zeroed, PageKind::Shared));
    page->object = nullptr;
    page->set(page_up_to_date);
    return insert_page(index, std::move(page));
}

bool VmObject::add_huge_page(u64 first) {
    Page* head = allocate_block(huge_page_order, PageZeroing::Zeroed, PageKind::Shared, Effort::Shrink);
    if (!head) return false;
    split_block(*head, huge_page_order);
    for (u64 i = 0; i < frames_per_huge_page; ++i) head[i].set(page_up_to_date);
    if (insert_huge_page(first, *head)) return true;
    for (u64 i = 0; i < frames_per_huge_page; ++i) head[i].object = nullptr;
    unref_block(*head, huge_page_order);
    return false;
}

bool AnonObject::make_huge_page(u64 first) {
    return has_huge_page(first) || add_huge_page(first) || has_huge_page(first); // another thread may be faster
}

Result<RefPtr<PhysicalObject>> PhysicalObject::create(PhysAddr begin, u64 size, Caching caching) {
    if (!is_aligned(begin.value, arch::page_size)) return error(Errno::EINVAL);
    auto* object = new (std::nothrow) PhysicalObject(begin, size, caching);
    if (!object) return error(Errno::ENOMEM);
    return adopt_ref(*object);
}

Result<PhysAddr> PhysicalObject::physical_address(u64 index) const {
    if (index >= divide_up(size(), arch::page_size)) return error(Errno::EFAULT);
    return begin_ + index * arch::page_size;
}

} // namespace linnet::mm
