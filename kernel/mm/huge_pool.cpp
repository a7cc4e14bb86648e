// The pool of huge pages, and the objects of mappings that use it.
#include "huge_pages.hpp"
#include "page_allocator.hpp"
#include <algorithm>
#include <lib/own_ptr.hpp>
#include <mm/huge_pool.hpp>

namespace linnet::mm {

namespace {

/// The pool's lock guards all of it.
struct Pool {
    Page* list = nullptr; // free blocks, linked by their first frames
    u64 wanted = 0;       // nr_hugepages
    u64 total = 0, free = 0, reserved = 0;
    u64 overcommit = 0;
    [[nodiscard]] u64 surplus() const { return total > wanted ? total - wanted : 0; }
};

constinit core::LockClass pool_lock_class("huge page pool");
constinit core::SpinLock pool_lock(pool_lock_class);
constinit Pool pool;

void put(Page& head) {
    head.next = pool.list;
    pool.list = &head;
    ++pool.free;
}

Page* pop() {
    Page* head = pool.list;
    pool.list = head->next;
    --pool.free;
    return head;
}

void dissolve(Page* head) {
    if (head) free_pages(*head, huge_page_order);
}

/// Adds a block to the pool; false when there is no memory. Takes the lock itself.
bool grow() {
    Page* head = allocate_block(huge_page_order, PageZeroing::Uninitialised, PageKind::Hugetlb, Effort::Shrink);
    if (!head) return false;
    core::SpinGuard guard(pool_lock);
    put(*head);
    ++pool.total;
    return true;
}

/// Sets blocks aside, growing the pool where overcommitting is allowed.
bool reserve(u64 blocks) {
    for (;;) {
        {
            core::SpinGuard guard(pool_lock);
            if (pool.free - pool.reserved >= blocks) {
                pool.reserved += blocks;
                return true;
            }
            if (pool.surplus() >= pool.overcommit) return false;
        }
        if (!grow()) return false;
    }
}

/// Lets go of blocks beyond the wanted size. Takes the lock itself.
void drop_surplus() {
    for (;;) {
        Page* head = nullptr;
        {
            core::SpinGuard guard(pool_lock);
            if (pool.surplus() == 0 || pool.free <= pool.reserved) return;
            head = pop();
            --pool.total;
        }
        dissolve(head);
    }
}

void unreserve(u64 blocks) {
    if (blocks == 0) return;
    {
        core::SpinGuard guard(pool_lock);
        pool.reserved -= blocks;
    }
    drop_surplus();
}

/// A block with one zeroed frame after the other, each with one reference. `is_reserved`: it was set aside before.
Page* take(bool is_reserved) {
    if (!is_reserved && !reserve(1)) return nullptr;
    Page* head;
    {
        core::SpinGuard guard(pool_lock);
        --pool.reserved;
        head = pop();
    }
    head->refs.store(1, std::memory_order_relaxed);
    head->flags.store(0, std::memory_order_relaxed);
    head->map_count.store(0, std::memory_order_relaxed);
    head->object = nullptr;
    head->slab_class = 0;
    split_block(*head, huge_page_order);
    for (u64 i = 0; i < frames_per_huge_page; ++i) {
        head[i].set(page_up_to_date);
        clear_page(page_data(head[i]));
    }
    return head;
}

} // namespace

HugePoolStatistics huge_pool_statistics() {
    core::SpinGuard guard(pool_lock);
    return {pool.total, pool.free, pool.reserved, pool.surplus()};
}

u64 huge_pool_size() {
    const HugePoolStatistics now = huge_pool_statistics();
    return now.total - now.surplus;
}

void resize_huge_pool(u64 blocks) {
    {
        core::SpinGuard guard(pool_lock);
        pool.wanted = blocks;
    }
    while (huge_pool_statistics().total < blocks)
        if (!grow()) break;
    drop_surplus();
    core::SpinGuard guard(pool_lock);
    // What could not be made is not waited for; what is in use becomes surplus.
    pool.wanted = std::min(pool.wanted, pool.total);
}

u64 huge_pool_overcommit() {
    core::SpinGuard guard(pool_lock);
    return pool.overcommit;
}
void set_huge_pool_overcommit(u64 blocks) {
    core::SpinGuard guard(pool_lock);
    pool.overcommit = blocks;
}

/// The first frame counts, in slab_class, how many frames of the block are free.
void free_pool_frame(Page& page) {
    Page& head = *first_frame_of_huge_page(page);
    if (__atomic_add_fetch(&head.slab_class, u16{1}, __ATOMIC_ACQ_REL) != frames_per_huge_page) return;
    {
        core::SpinGuard guard(pool_lock);
        put(head);
    }
    drop_surplus();
}

Result<RefPtr<HugetlbObject>> HugetlbObject::create(u64 size, u64 promised) {
    OwnPtr<HugetlbObject> object(new (std::nothrow) HugetlbObject(size));
    if (!object) return error(Errno::ENOMEM);
    if (!reserve(promised)) return error(Errno::ENOMEM);
    object->promised_.store(promised);
    return adopt_ref(*object.release());
}

HugetlbObject::~HugetlbObject() { unreserve(promised_.load()); }

Page* HugetlbObject::take_private(Promise promise) {
    bool is_reserved = false;
    if (promise == Promise::Used) {
        u64 left = promised_.load();
        while (left > 0 && !promised_.compare_exchange_weak(left, left - 1)) {
        }
        is_reserved = left > 0;
    }
    return take(is_reserved);
}

void HugetlbObject::give_back_promise(u64 blocks) {
    u64 left = promised_.load();
    while (!promised_.compare_exchange_weak(left, left - std::min(left, blocks))) {
    }
    unreserve(std::min(left, blocks));
}

bool HugetlbObject::make_huge_page(u64 first) {
    if (has_huge_page(first)) return true;
    Page* head = take_private(Promise::Used);
    if (!head) return false;
    const bool is_ours = insert_huge_page(first, *head);
    if (is_ours) return true;
    for (u64 i = 0; i < frames_per_huge_page; ++i) unref_page(head[i]);
    return has_huge_page(first); // another thread was faster
}

Result<PageRef> HugetlbObject::get_page(u64 index, arch::Access) {
    const u64 first = align_down(index, u64{frames_per_huge_page});
    if (make_huge_page(first))
        if (PageRef page = find_page(index)) return page;
    return error(Errno::ENOMEM);
}

} // namespace linnet::mm
