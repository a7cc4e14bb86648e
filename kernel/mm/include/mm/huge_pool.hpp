// HUGETLB: huge pages that programs ask for by name, from a pool that the administrator fills (Linux's documentation,
// "HugeTLB Pages"). A mapping reserves what it could use when it is made; a fault that finds the pool empty is SIGBUS.
//
// Frames of the pool are of kind PageKind::Hugetlb all their life. Whoever maps a block owns one reference to each
// frame; when all frames of a block are free again it is back in the pool.
//
// Lock order: the pool's lock is a leaf.
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

/// What a mapping with MAP_HUGETLB looks into. Shared mappings have their pages here; a private one only its promise,
/// for its pages belong to the entries that map them.
class HugetlbObject final : public VmObject {
public:
    /// With `promised` huge pages set aside for it. ENOMEM when the pool hasn't so many.
    static Result<RefPtr<HugetlbObject>> create(u64 size, u64 promised);
    ~HugetlbObject() override;

    bool is_hugetlb() const override { return true; }
    Result<PageRef> get_page(u64 index, arch::Access access) override;
    bool make_huge_page(u64 first) override;
    /// A zeroed block for one private entry, with one reference to each frame; from what is promised when `may_use`.
    /// Null when the pool is empty.
    enum class Promise : u8 { Kept, Used };
    Page* take_private(Promise promise);
    /// So many huge pages of a private mapping will not be wanted any more.
    void give_back_promise(u64 blocks);

private:
    explicit HugetlbObject(u64 size) : VmObject(Kind::Shared, size, Commitment::None) {}
    std::atomic<u64> promised_{0};
};

} // namespace linnet::mm
