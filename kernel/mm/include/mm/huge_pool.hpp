// HUGETLB: huge pages that programs ask for by name, from a pool that the administrator fills (Linux's documentation,
// "HugeTLB Pages"). A mapping reserves what it could use when it is made; a fault that finds the pool empty is SIGBUS.
//
// Frames of the pool are of kind PageKind::Hugetlb all their life. Whoever maps a block owns one reference to each
// frame; when all frames of a block are free again it is back in the pool. What is reserved is set aside block by block
// (HugePromise), so that no race can lose it to somebody else.
//
// Lock order: mmap lock -> a fault's lock (hugetlb_mappings.cpp) or HugetlbObject::blocks_lock_ -> VmObject::mappings
// lock; HugePromise::lock_ and the pool's lock are leaves.
#pragma once

#include <mm/vm_object.hpp>

namespace linnet::mm {

/// In huge pages. `reserved` are promised to mappings and not yet used; `surplus` is what exists beyond the size that
/// was asked for, because it was in use or may be overcommitted.
struct HugePoolStatistics {
    u64 total = 0, free = 0, reserved = 0, surplus = 0;
};
HugePoolStatistics huge_pool_statistics();

u64 huge_pool_size();
/// nr_hugepages: makes or frees blocks as far as that is possible now.
void resize_huge_pool(u64 blocks);
/// nr_overcommit_hugepages.
u64 huge_pool_overcommit();
void set_huge_pool_overcommit(u64 blocks);

/// A frame of the pool lost its last reference. For the page allocator.
void free_pool_frame(Page& page);
/// Frames of a block to which nobody else has a reference go back to the pool at once.
void free_pool_block(Page& head);

/// Blocks that are set aside for some of the huge pages of a mapping or an object, by the number of the huge page.
class HugePromise final : public RefCounted<HugePromise> {
public:
    /// With none.
    static Result<RefPtr<HugePromise>> create();
    ~HugePromise() { give_back(0, ~u64{0}); }
    /// Sets blocks aside for those among [first, last) that `is_wanted` says; all of them, or ENOMEM.
    template <typename Predicate>
    Result<void> add(u64 first, u64 last, Predicate is_wanted);
    Result<void> add(u64 first, u64 last);
    [[nodiscard]] bool has(u64 number);
    /// The block for this page, whose promise ends; null when there is none.
    Page* take(u64 number);
    /// Sets a block aside that nobody refers to. False when there is no memory to note it or the page has one.
    bool keep(u64 number, Page& head);
    /// The pages [first, last) will not be wanted any more.
    void give_back(u64 first, u64 last);

private:
    HugePromise() = default;
    bool insert(u64 number, Page& head);
    core::SpinLock lock_;
    PageIndex blocks_;
};

/// A zeroed block with one reference to each frame, and where it came from.
struct PoolBlock {
    Page* head = nullptr; // null: the pool is empty
    bool was_promised = false;
};
/// For page `number`, from `promise` where that has it, else from what is promised to nobody.
PoolBlock take_pool_block(HugePromise* promise, u64 number);
/// A block that was not used after all goes where it came from.
void return_pool_block(PoolBlock block, HugePromise* promise, u64 number);

/// What a mapping with MAP_HUGETLB looks into. Shared mappings have their pages here; those of private mappings belong
/// to the entries that map them, and what is promised to them hangs on the mapping (Vma::promise).
class HugetlbObject : public VmObject {
public:
    static Result<RefPtr<HugetlbObject>> create(u64 size);

    bool is_hugetlb() const override { return true; }
    Result<PageRef> get_page(u64 index, arch::Access access) override;
    bool make_huge_page(u64 first) override { return make_page(first, Reach::WithinSize); }
    /// The same, also where the size doesn't reach (fallocate(2)).
    enum class Reach : u8 { WithinSize, Anywhere };
    bool make_page(u64 first, Reach reach);
    /// As set_size(); what is promised beyond is given back. `size` is a multiple of a huge page where it shrinks.
    void truncate(u64 size);
    void punch_hole(u64 begin, u64 end) override;
    /// Sets blocks aside for those pages among [first, last), counted in huge pages, that aren't there. ENOMEM.
    Result<void> promise(u64 first, u64 last);

protected:
    HugetlbObject(u64 size, RefPtr<HugePromise> promise)
        : VmObject(Kind::Shared, size, Commitment::None), promise_(std::move(promise)) {}

private:
    void zero_range(u64 begin, u64 end);
    core::Mutex blocks_lock_; // held while pages are made, promised or dropped
    RefPtr<HugePromise> promise_;
};

} // namespace linnet::mm
