// Vma: one mapping of an address space (policy; what is really mapped is in the page tables). VmaMap: the ordered set
// of them. Guarded by AddressSpace's mmap lock unless a member says otherwise.
#pragma once

#include <lib/address.hpp>
#include <lib/format.hpp>
#include <lib/intrusive_tree.hpp>
#include <mm/huge_pool.hpp>
#include <mm/memory_policy.hpp>
#include <mm/vm_object.hpp>

namespace linnet::mm {

class AddressSpace;

/// What /proc/PID/maps prints behind a mapping, and what keeps its file alive. Implemented by vfs (a File or Path) and
/// by the names of special mappings. ref/unref are virtual so that the implementer keeps its own count.
class MappingLabel {
public:
    virtual void ref() const = 0;
    virtual void unref() const = 0;
    virtual void format_name(TextSink sink) const = 0;
    virtual u64 device_number() const { return 0; } // as in stat's st_dev
    virtual u64 inode_number() const { return 0; }
    /// Whether no name in the tree of files leads to it (any more).
    virtual bool is_unlinked() const { return true; }
    /// Whether it is a file that somebody may execute.
    virtual bool is_executable() const { return false; }

protected:
    ~MappingLabel() = default;
};

/// A label that is a constant text such as "[vdso]"; constinit objects, never freed.
class ConstantLabel final : public MappingLabel {
public:
    constexpr explicit ConstantLabel(std::string_view name) : name_(name) {}
    void ref() const override {}
    void unref() const override {}
    void format_name(TextSink sink) const override { sink(name_); }

private:
    std::string_view name_;
};

/// Bits of Vma::flags.
enum VmaFlag : u32 {
    vma_shared = 1u << 0,
    vma_grows_down = 1u << 1,
    vma_locked = 1u << 2,
    vma_lock_on_fault = 1u << 3,
    vma_dont_fork = 1u << 4,
    vma_wipe_on_fork = 1u << 5,
    vma_dont_dump = 1u << 6,
    vma_no_reserve = 1u << 7,
    vma_random_read = 1u << 8,
    vma_sequential_read = 1u << 9,
    vma_no_huge_page = 1u << 10,
    vma_huge_page = 1u << 11,
    vma_mergeable = 1u << 12,
    vma_stack = 1u << 13,      // the main stack, for its name
    vma_special = 1u << 14,    // vDSO and the like: not unmapped by accident of merging, not expandable
    vma_accounted = 1u << 15,  // counted in Committed_AS
    vma_sealed = 1u << 16,     // mseal(2)
    vma_hugetlb = 1u << 17,    // of the pool of huge pages; begins and ends at multiples of their size
    vma_guard = 1u << 19,      // MADV_GUARD_INSTALL: every access faults; user space doesn't see it as a mapping
    vma_droppable = 1u << 20,  // MAP_DROPPABLE
    vma_soft_dirty = 1u << 24, // new since soft-dirty marks were cleared last: all of it counts as written (x86_64)
};

struct Vma : ObjectMapping {
    VirtAddr begin{};
    VirtAddr end{}; // exclusive
    TreeNode node;
    Vma* previous = nullptr; // in order of address; the VmaMap's
    Vma* next = nullptr;
    AddressSpace* space = nullptr;
    Vma* next_doomed = nullptr;
    NullableRefPtr<VmObject> object; // null: private anonymous
    u64 first_index = 0;             // page of the object that `begin` shows
    NullableRefPtr<MappingLabel> label;
    NullableRefPtr<HugePromise> promise; // private vma_hugetlb: what is set aside for it; not for a forked copy
    MemoryPolicy policy;
    u32 flags = 0;
    u8 prot = 0;     // PROT_READ | PROT_WRITE | PROT_EXEC
    u8 max_prot = 7; // what mprotect may grant
    u8 protection_key = 0;
    /// Faults that are at work in the mapping, and `claimed` while whoever holds the mmap lock exclusively keeps them
    /// out, or for ever once the mapping has been taken out (MmapLock).
    std::atomic<u32> users{0};
    static constexpr u32 claimed = 1u << 31;
    bool is_mapped = false;   // in its address space's tree
    bool is_absorbed = false; // taken out because a neighbour has its range now
    Vma* next_claimed = nullptr;
    /// The page tables may hold pages here that can't be had again from the object: fork must copy entries. Set by
    /// faults.
    std::atomic<bool> has_private_pages{false};
    /// A forked copy of a vma_hugetlb mapping whose pages the parent needed: what isn't there is SIGBUS for ever.
    std::atomic<bool> lost_pages{false};

    [[nodiscard]] bool is(VmaFlag flag) const { return (flags & flag) != 0; }
    [[nodiscard]] bool is_anonymous() const { return !object; }
    [[nodiscard]] u64 page_count() const { return (end - begin) >> arch::page_shift; }
    [[nodiscard]] bool contains(VirtAddr address) const { return begin <= address && address < end; }
    [[nodiscard]] u64 index_of(VirtAddr address) const { return first_index + ((address - begin) >> arch::page_shift); }
    [[nodiscard]] bool counts_as_writable_mapping() const;

    struct BeginOf {
        using type = VirtAddr;
        const VirtAddr& operator()(const Vma& vma) const { return vma.begin; }
    };
};

/// Mappings in order of address; they never overlap.
class VmaMap {
public:
    using Tree = IntrusiveTree<Vma, &Vma::node, Vma::BeginOf>;

    /// The mapping that contains `address`, else null.
    Vma* find(VirtAddr address) {
        Vma* hint = last_found_.load(std::memory_order_relaxed);
        return hint && hint->contains(address) ? hint : find_in_tree(address);
    }
    /// Without any lock, interrupts off: the mapping that probably contains `address`, or one that no longer belongs
    /// here, or null. Whoever takes mappings out sees to it that their memory stays meanwhile.
    Vma* find_unlocked(VirtAddr address);
    /// The first mapping that ends behind `address` (it may begin behind it too), else null.
    Vma* find_ending_after(VirtAddr address) {
        Vma* hint = last_found_.load(std::memory_order_relaxed);
        if (hint && address < hint->end && (!hint->previous || hint->previous->end <= address)) return hint;
        return find_ending_after_in_tree(address);
    }
    static Vma* next(const Vma& vma) { return vma.next; }
    static Vma* previous(const Vma& vma) { return vma.previous; }
    [[nodiscard]] Vma* first() const { return first_; }
    [[nodiscard]] Vma* last() const { return last_; }
    void insert(Vma& vma);
    /// The same, where the place is known.
    void insert_behind(Vma& before, Vma& vma);
    void remove(Vma& vma);
    [[nodiscard]] usize count() const { return count_; }
    /// The highest free range of `length` within [low, high) that keeps `guard` bytes from a mapping that grows down
    /// above it; 0 when there is none. `alignment` is a power of two. `largest_skipped`, where given, grows to the
    /// largest hole passed over.
    VirtAddr find_gap_top_down(u64 length, VirtAddr low, VirtAddr high, u64 alignment, u64 guard,
                               u64* largest_skipped = nullptr);
    /// The lowest such range.
    VirtAddr find_gap_bottom_up(u64 length, VirtAddr low, VirtAddr high, u64 alignment, u64 guard);

private:
    Vma* find_in_tree(VirtAddr address);
    Vma* find_ending_after_in_tree(VirtAddr address);
    void link(Vma& vma, Vma* previous, Vma* next);

    Tree tree_;
    Vma* first_ = nullptr;
    Vma* last_ = nullptr;
    usize count_ = 0;
    std::atomic<Vma*> last_found_{nullptr}; // only a hint
};

} // namespace linnet::mm
