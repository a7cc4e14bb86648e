// The pool of huge pages, and the objects of mappings that use it.
#include "huge_pages.hpp"
#include "page_allocator.hpp"
#include <algorithm>
#include <mm/huge_pool.hpp>

namespace linnet::mm {

namespace {

/// The pool's lock guards all of it.
struct Pool {
    Page* list = nullptr; // free blocks that are promised to nobody, linked by their first frames
    u64 wanted = 0;       // nr_hugepages
    u64 total = 0;
    u64 listed = 0;   // in the list
    u64 promised = 0; // set aside
    u64 overcommit = 0;
    [[nodiscard]] u64 surplus() const { return total > wanted ? total - wanted : 0; }
};

constinit core::LockClass pool_lock_class("huge page pool");
constinit core::SpinLock pool_lock(pool_lock_class);
constinit Pool pool;

void put(Page& head) {
    head.next = pool.list;
    pool.list = &head;
    ++pool.listed;
}

Page* pop() {
    Page* head = pool.list;
    pool.list = head->next;
    --pool.listed;
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

/// Lets go of blocks beyond the wanted size. Takes the lock itself.
void drop_surplus() {
    for (;;) {
        Page* head = nullptr;
        {
            core::SpinGuard guard(pool_lock);
            if (pool.surplus() == 0 || pool.listed == 0) return;
            head = pop();
            --pool.total;
        }
        dissolve(head);
    }
}

enum class Purpose : u8 { Use, Promise };

/// So many blocks out of the list, linked, or null; the pool grows where overcommitting is allowed.
Page* take_out(u64 blocks, Purpose purpose) {
    for (;;) {
        bool may_grow;
        {
            core::SpinGuard guard(pool_lock);
            if (pool.listed >= blocks) {
                Page* chain = nullptr;
                for (u64 i = 0; i < blocks; ++i) {
                    Page* head = pop();
                    head->next = chain;
                    chain = head;
                }
                if (purpose == Purpose::Promise) pool.promised += blocks;
                return chain;
            }
            may_grow = pool.surplus() < pool.overcommit;
        }
        if (may_grow && grow()) continue;
        drop_surplus();
        return nullptr;
    }
}

/// Blocks that were set aside are no longer.
void list_promised(Page* chain) {
    {
        core::SpinGuard guard(pool_lock);
        while (chain) {
            Page* next = chain->next;
            put(*chain);
            --pool.promised;
            chain = next;
        }
    }
    drop_surplus();
}

/// Gives each frame one reference, and zeros.
void prepare_block(Page& head) {
    head.refs.store(1, std::memory_order_relaxed);
    head.flags.store(0, std::memory_order_relaxed);
    head.map_count.store(0, std::memory_order_relaxed);
    head.object = nullptr;
    head.slab_class = 0;
    split_block(head, huge_page_order);
    for (u64 i = 0; i < frames_per_huge_page; ++i) {
        (&head)[i].set(page_up_to_date);
        clear_page(page_data((&head)[i]));
    }
}

} // namespace

HugePoolStatistics huge_pool_statistics() {
    core::SpinGuard guard(pool_lock);
    return {pool.total, pool.listed + pool.promised, pool.promised, pool.surplus()};
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

void free_pool_block(Page& head) {
    for (u64 i = 0; i < frames_per_huge_page; ++i) unref_page((&head)[i]);
}

Result<RefPtr<HugePromise>> HugePromise::create() {
    auto* promise = new (std::nothrow) HugePromise();
    if (!promise) return error(Errno::ENOMEM);
    return adopt_ref(*promise);
}

bool HugePromise::insert(u64 number, Page& head) {
    core::SpinGuard guard(lock_);
    return !blocks_.find(number) && blocks_.insert(number, head);
}

template <typename Predicate>
Result<void> HugePromise::add(u64 first, u64 last, Predicate is_wanted) {
    u64 missing = 0, most;
    {
        core::SpinGuard guard(pool_lock);
        most = pool.total + pool.overcommit;
    }
    for (u64 number = first; number < last; ++number)
        if (is_wanted(number) && ++missing > most) return error(Errno::ENOMEM);
    if (missing == 0) return {};
    Page* chain = take_out(missing, Purpose::Promise);
    if (!chain) return error(Errno::ENOMEM);
    bool is_noted = true;
    for (u64 number = first; chain && is_noted && number < last; ++number) {
        if (!is_wanted(number)) continue;
        Page* next = chain->next;
        is_noted = insert(number, *chain);
        if (is_noted) chain = next;
    }
    if (chain) list_promised(chain);
    if (!is_noted) return error(Errno::ENOMEM); // what could be noted stays, and is found by who asks again
    return {};
}

Result<void> HugePromise::add(u64 first, u64 last) {
    return add(first, last, [](u64) { return true; });
}

bool HugePromise::has(u64 number) {
    core::SpinGuard guard(lock_);
    return blocks_.find(number) != nullptr;
}

Page* HugePromise::take(u64 number) {
    Page* head;
    {
        core::SpinGuard guard(lock_);
        head = blocks_.remove(number);
    }
    if (!head) return nullptr;
    core::SpinGuard guard(pool_lock);
    --pool.promised;
    return head;
}

bool HugePromise::keep(u64 number, Page& head) {
    {
        core::SpinGuard guard(pool_lock);
        ++pool.promised;
    }
    for (u64 i = 0; i < frames_per_huge_page; ++i) (&head)[i].refs.store(0, std::memory_order_release);
    if (insert(number, head)) return true;
    head.next = nullptr;
    list_promised(&head);
    return false;
}

void HugePromise::give_back(u64 first, u64 last) {
    Page* chain = nullptr;
    {
        core::SpinGuard guard(lock_);
        for (u64 at = first; blocks_.find_next(at) && at < last;) {
            Page* head = blocks_.remove(at);
            head->next = chain;
            chain = head;
        }
    }
    if (chain) list_promised(chain);
}

PoolBlock take_pool_block(HugePromise* promise, u64 number) {
    PoolBlock block;
    if (promise) block.head = promise->take(number);
    block.was_promised = block.head != nullptr;
    if (!block.head) block.head = take_out(1, Purpose::Use);
    if (block.head) prepare_block(*block.head);
    return block;
}

void return_pool_block(PoolBlock block, HugePromise* promise, u64 number) {
    if (block.was_promised)
        (void)promise->keep(number, *block.head);
    else
        free_pool_block(*block.head);
}

Result<RefPtr<HugetlbObject>> HugetlbObject::create(u64 size) {
    RefPtr<HugePromise> promise = TRY(HugePromise::create());
    auto* object = new (std::nothrow) HugetlbObject(size, std::move(promise));
    if (!object) return error(Errno::ENOMEM);
    return adopt_ref(*object);
}

Result<void> HugetlbObject::promise(u64 first, u64 last) {
    core::MutexGuard guard(blocks_lock_);
    return promise_->add(first, last, [&](u64 number) {
        return !promise_->has(number) && !has_huge_page(number * frames_per_huge_page);
    });
}

bool HugetlbObject::make_page(u64 first, Reach reach) {
    if (has_huge_page(first)) return true;
    core::MutexGuard guard(blocks_lock_);
    if (has_huge_page(first)) return true; // another thread was faster
    if (reach == Reach::WithinSize && first >= divide_up(size(), arch::page_size)) return false;
    const u64 number = first / frames_per_huge_page;
    const PoolBlock block = take_pool_block(promise_.get(), number);
    if (!block.head) return false;
    block.head->set(page_of_object);
    if (insert_huge_page(first, *block.head)) return true;
    return_pool_block(block, promise_.get(), number);
    return false;
}

void HugetlbObject::truncate(u64 size) {
    core::MutexGuard guard(blocks_lock_);
    set_size(size);
    // What was allocated beyond the size goes too.
    VmObject::punch_hole(align_up(size, arch::huge_page_size), align_down(~u64{0}, arch::huge_page_size));
    promise_->give_back(divide_up(size, arch::huge_page_size), ~u64{0});
}

/// Only where there are pages.
void HugetlbObject::zero_range(u64 begin, u64 end) {
    while (begin < end) {
        const u64 index = begin >> arch::page_shift, page = index << arch::page_shift;
        const u64 stop = std::min(end, page + arch::page_size);
        zero_part(index, begin - page, stop - page);
        begin = stop;
    }
}

void HugetlbObject::punch_hole(u64 begin, u64 end) {
    const u64 first = align_up(begin, arch::huge_page_size), last = align_down(end, arch::huge_page_size);
    core::MutexGuard guard(blocks_lock_);
    if (first >= last) {
        zero_range(begin, std::min(first, end));
        zero_range(std::max(last, std::min(first, end)), end);
        return;
    }
    zero_range(begin, first);
    VmObject::punch_hole(first, last);
    promise_->give_back(first / arch::huge_page_size, last / arch::huge_page_size);
    zero_range(last, end);
}

Result<PageRef> HugetlbObject::get_page(u64 index, arch::Access) {
    const u64 first = align_down(index, u64{frames_per_huge_page});
    if (make_huge_page(first))
        if (PageRef page = find_page(index)) return page;
    return error(Errno::ENOMEM);
}

} // namespace linnet::mm
