// The kernel's own virtual range. Its lower quarter is an array of slots for kernel stacks, each with an unmapped guard
// page at its bottom; the rest holds device registers and virtually contiguous memory, first fit in an ordered tree.
//
// A freed stack stays mapped in a small cache, because processes come and go; what is beyond that is unmapped by a work
// item, since the caller of free_kernel_stack() may not sleep. Frames go back only after every CPU flushed its TLB.
//
// Lock order: area_lock -> page allocator; stack_lock is a leaf.
#include "kernel_area.hpp"
#include "tlb.hpp"
#include <core/hooks.hpp>
#include <core/panic.hpp>
#include <core/sched.hpp>
#include <core/spinlock.hpp>
#include <core/work_queue.hpp>
#include <lib/intrusive_tree.hpp>
#include <lib/own_ptr.hpp>
#include <mm/allocation_faults.hpp>
#include <mm/page_table.hpp>
#include <mm/shrinker.hpp>

namespace linnet::mm {

namespace {

using KernelTable = PageTable<arch::PagingPolicy>;

struct Area {
    TreeNode node;
    VirtAddr begin{};
    u64 pages = 0;                                                // mapped ones; one more stays unmapped behind them
    enum class Kind : u8 { Foreign, Owned } kind = Kind::Foreign; // whether its frames are ours to free
    struct BeginOf {
        using type = VirtAddr;
        const VirtAddr& operator()(const Area& area) const { return area.begin; }
    };
    [[nodiscard]] VirtAddr end() const { return begin + (pages + 1) * arch::page_size; }
};
using AreaTree = IntrusiveTree<Area, &Area::node, Area::BeginOf>;

constexpr u64 stack_pages = arch::kernel_stack_size / arch::page_size;
static_assert(stack_pages >= 1);
constexpr u64 slot_size = (stack_pages + 1) * arch::page_size;
constexpr u64 max_stacks = 32768;
constexpr u32 cached_stacks_high = 64, cached_stacks_low = 32;
constexpr VirtAddr stacks_begin = arch::kernel_area_begin;
constexpr VirtAddr stacks_end = stacks_begin + max_stacks * slot_size;
constexpr VirtAddr areas_begin{align_up(stacks_end.value, arch::huge_page_size)};
static_assert(areas_begin < arch::kernel_area_end);

constinit core::LockClass area_lock_class("kernel area");
constinit core::SpinLock area_lock(area_lock_class);
alignas(AreaTree) constinit unsigned char tree_storage[sizeof(AreaTree)] = {};
constinit std::atomic<u64> area_frames{0};

constinit core::LockClass stack_lock_class("kernel stacks");
constinit core::SpinLock stack_lock(stack_lock_class);
constinit u64 used_slots[max_stacks / 64] = {};
constinit u64 first_word_hint = 0;
/// A stack in the cache: at the bottom of its memory.
struct CachedStack {
    CachedStack* next;
};
constinit CachedStack* cached = nullptr;
constinit u32 cached_count = 0;

AreaTree& areas() { return *reinterpret_cast<AreaTree*>(tree_storage); }
KernelTable kernel_table() { return KernelTable(arch::kernel_root_table()); }

/// Enters `frame_of(i)` for `pages` pages from `begin`. On failure what was entered stays and is harmless.
template <typename FrameOf>
Result<void> enter(VirtAddr begin, u64 pages, arch::MappingFlags flags, FrameOf frame_of) {
    using Policy = arch::PagingPolicy;
    for (u64 i = 0; i < pages; ++i) {
        VirtAddr address = begin + i * arch::page_size;
        Page* table = TRY(kernel_table().make_leaf_table(address, [](Page&) {}));
        auto* slot = KernelTable::entries(*table) + KernelTable::index(address, 0);
        KernelTable::store(slot, Policy::make_leaf(frame_of(i), flags, 0));
    }
    // Some processors keep negative entries or need a fence before a new entry counts.
    arch::flush_kernel_tlb(begin, pages);
    return {};
}

/// Takes the entries out and flushes them everywhere; frames that `freed` accepts afterwards may be reused. May sleep.
void remove_entries(VirtAddr begin, u64 pages) {
    for (u64 i = 0; i < pages; ++i) {
        VirtAddr address = begin + i * arch::page_size;
        Page* table = kernel_table().find_leaf_table(address);
        if (!table) continue;
        KernelTable::store(KernelTable::entries(*table) + KernelTable::index(address, 0), arch::PagingPolicy::empty());
    }
    flush_kernel_everywhere(begin, pages);
}

PhysAddr mapped_frame(VirtAddr address) {
    Page* table = kernel_table().find_leaf_table(address);
    if (!table) return {};
    auto entry = KernelTable::load(KernelTable::entries(*table) + KernelTable::index(address, 0));
    return arch::PagingPolicy::is_leaf(entry, 0) ? arch::PagingPolicy::address(entry, 0) : PhysAddr{};
}

/// Finds room for `pages` and one unmapped page behind them.
Result<Area*> reserve_area(u64 pages, Area::Kind kind) {
    if (fails_by_request(AllocationClass::KernelArea)) return error(Errno::ENOMEM);
    auto area = TRY(try_make<Area>());
    core::SpinGuard guard(area_lock);
    VirtAddr begin = areas_begin;
    for (Area& other : areas()) {
        if (other.begin - begin >= (pages + 1) * arch::page_size) break;
        begin = other.end();
    }
    if (begin > arch::kernel_area_end || (arch::kernel_area_end - begin) / arch::page_size < pages + 1)
        return error(Errno::ENOMEM);
    area->begin = begin;
    area->pages = pages;
    area->kind = kind;
    areas().insert(*area);
    area_frames.fetch_add(pages, std::memory_order_relaxed);
    return area.release();
}

void release_area(Area& area) {
    {
        core::SpinGuard guard(area_lock);
        areas().erase(areas().iterator_to(area));
    }
    area_frames.fetch_sub(area.pages, std::memory_order_relaxed);
    delete &area;
}

Area* find_area(VirtAddr address) {
    core::SpinGuard guard(area_lock);
    auto it = areas().upper_bound(address);
    if (it == areas().begin()) return nullptr;
    --it;
    return address < it->end() ? &*it : nullptr;
}

/// Unmaps an area and frees the frames that are ours.
void unmap_area(Area& area) {
    // The entries are needed to find the frames, and the frames may go only after the flush: remember them in a chain.
    Page* doomed = nullptr;
    if (area.kind == Area::Kind::Owned)
        for (u64 i = 0; i < area.pages; ++i) {
            PhysAddr frame = mapped_frame(area.begin + i * arch::page_size);
            if (frame.value == 0) continue;
            Page* page = page_of(frame);
            page->next = doomed;
            doomed = page;
        }
    remove_entries(area.begin, area.pages);
    while (doomed) {
        Page* page = doomed;
        doomed = page->next;
        unref_page(*page);
    }
    release_area(area);
}

Result<VirtAddr> map_physical(PhysAddr address, usize size, arch::MappingFlags flags) {
    u64 first = align_down(address.value, arch::page_size);
    u64 end;
    if (size == 0 || __builtin_add_overflow(address.value, size, &end) || end > ~u64{0} - arch::page_size)
        return error(Errno::EINVAL);
    u64 pages = (align_up(end, arch::page_size) - first) >> arch::page_shift;
    Area* area = TRY(reserve_area(pages, Area::Kind::Foreign));
    auto entered = enter(area->begin, pages, flags, [&](u64 i) { return PhysAddr{first + i * arch::page_size}; });
    if (!entered) {
        unmap_area(*area);
        return error(entered.error());
    }
    return area->begin + (address.value - first);
}

// ---- kernel stacks ----

Result<u64> take_slot() {
    core::SpinGuard guard(stack_lock);
    for (u64 n = 0; n < std::size(used_slots); ++n) {
        u64 word = (first_word_hint + n) % std::size(used_slots);
        if (used_slots[word] == ~u64{0}) continue;
        first_word_hint = word;
        unsigned bit = static_cast<unsigned>(std::countr_one(used_slots[word]));
        used_slots[word] |= u64{1} << bit;
        return word * 64 + bit;
    }
    return error(Errno::EAGAIN);
}

void release_slot(u64 slot) {
    core::SpinGuard guard(stack_lock);
    used_slots[slot / 64] &= ~(u64{1} << (slot % 64));
    if (slot / 64 < first_word_hint) first_word_hint = slot / 64;
}

VirtAddr stack_bottom(u64 slot) { return stacks_begin + slot * slot_size + arch::page_size; }

/// Unmaps a stack for good. May sleep.
void destroy_stack(VirtAddr bottom) {
    PhysAddr frames[stack_pages];
    for (u64 i = 0; i < stack_pages; ++i) frames[i] = mapped_frame(bottom + i * arch::page_size);
    remove_entries(bottom, stack_pages);
    for (PhysAddr frame : frames)
        if (frame.value != 0) unref_page(*page_of(frame));
    release_slot((bottom - stacks_begin) / slot_size);
}

CachedStack* pop_cached(u32 above) {
    core::SpinGuard guard(stack_lock);
    if (cached_count <= above || !cached) return nullptr;
    CachedStack* stack = cached;
    cached = stack->next;
    --cached_count;
    return stack;
}

void trim_stacks(core::Work&) {
    while (CachedStack* stack = pop_cached(cached_stacks_low)) destroy_stack(VirtAddr{reinterpret_cast<u64>(stack)});
}
constinit core::Work trim_work(trim_stacks);

/// The cached stacks, when memory is short.
class SpareStacks final : public Shrinker {
public:
    u64 count() override { return __atomic_load_n(&cached_count, __ATOMIC_RELAXED); }
    u64 scan(u64 wanted) override {
        u64 freed = 0;
        for (CachedStack* stack; freed < wanted && (stack = pop_cached(0)); ++freed)
            destroy_stack(VirtAddr{reinterpret_cast<u64>(stack)});
        return freed;
    }
};
[[clang::no_destroy]] constinit SpareStacks spare_stacks;

} // namespace

void prepare_kernel_area() {
    new (tree_storage) AreaTree();
    add_shrinker(spare_stacks);
    // One table below each root entry: then user roots that copied the root entries see all that is mapped later.
    using Policy = arch::PagingPolicy;
    constexpr unsigned root = KernelTable::root_level;
    u64 span = KernelTable::span(root);
    for (u64 at = align_down(arch::kernel_area_begin.value, span); at < arch::kernel_area_end.value; at += span) {
        auto* slot = KernelTable::entries(arch::kernel_root_table()) + KernelTable::index(VirtAddr{at}, root);
        if (Policy::is_table(KernelTable::load(slot), root)) continue;
        auto table = allocate_page_table();
        if (!table) core::panic("no memory for the kernel's page tables");
        KernelTable::store(slot, Policy::make_table(page_address(**table)));
    }
}

u64 kernel_area_frames() { return area_frames.load(std::memory_order_relaxed); }

Result<VirtAddr> map_device(PhysAddr address, usize size, DeviceCaching caching) {
    arch::MappingFlags flags{.writable = true, .global = true, .dirty = true};
    flags.device = caching == DeviceCaching::Uncached;
    flags.write_combining = caching == DeviceCaching::WriteCombining;
    return map_physical(address, size, flags);
}

Result<VirtAddr> map_firmware(PhysAddr address, usize size) { return map_physical(address, size, {.global = true}); }

Result<VirtAddr> map_text(PhysAddr address, usize size) {
    return map_physical(address, size, {.writable = true, .global = true, .dirty = true});
}

void unmap_device(VirtAddr address) {
    Area* area = find_area(address);
    VERIFY(area);
    unmap_area(*area);
}

Result<void*> allocate_virtual(usize size) {
    u64 pages = divide_up(size, arch::page_size);
    if (pages == 0 || pages > page_array.count) return error(Errno::ENOMEM);
    Area* area = TRY(reserve_area(pages, Area::Kind::Owned));
    arch::MappingFlags flags{.writable = true, .global = true, .dirty = true};
    for (u64 i = 0; i < pages; ++i) {
        auto page = allocate_page(PageZeroing::Zeroed, PageKind::Kernel);
        if (page && enter(area->begin + i * arch::page_size, 1, flags, [&](u64) { return page->address(); })) {
            (void)page->release(); // the mapping owns it now
            continue;
        }
        unmap_area(*area);
        return error(Errno::ENOMEM);
    }
    return reinterpret_cast<void*>(area->begin.value);
}

void free_virtual(void* pointer) {
    Area* area = find_area(VirtAddr{reinterpret_cast<u64>(pointer)});
    VERIFY(area && area->kind == Area::Kind::Owned);
    unmap_area(*area);
}

Result<uintptr_t> allocate_kernel_stack() {
    if (fails_by_request(AllocationClass::KernelArea)) return error(Errno::ENOMEM);
    if (CachedStack* stack = pop_cached(0)) return reinterpret_cast<uintptr_t>(stack) + arch::kernel_stack_size;
    u64 slot = TRY(take_slot());
    VirtAddr bottom = stack_bottom(slot);
    arch::MappingFlags flags{.writable = true, .global = true, .dirty = true};
    for (u64 i = 0; i < stack_pages; ++i) {
        auto page = allocate_page(PageZeroing::Uninitialised, PageKind::Stack);
        if (page && enter(bottom + i * arch::page_size, 1, flags, [&](u64) { return page->address(); })) {
            (void)page->release();
            continue;
        }
        destroy_stack(bottom);
        return error(Errno::ENOMEM);
    }
    return bottom.value + arch::kernel_stack_size;
}

void free_kernel_stack(uintptr_t top) {
    auto* stack = reinterpret_cast<CachedStack*>(top - arch::kernel_stack_size);
    bool many;
    {
        core::SpinGuard guard(stack_lock);
        stack->next = cached;
        cached = stack;
        many = ++cached_count > cached_stacks_high;
    }
    if (many) core::queue_work(trim_work);
}

bool is_kernel_stack_guard(VirtAddr address) {
    if (address < stacks_begin || address >= stacks_end) return false;
    return (address - stacks_begin) % slot_size < arch::page_size;
}

} // namespace linnet::mm

namespace linnet::hooks {

Result<uintptr_t> allocate_kernel_stack() { return mm::allocate_kernel_stack(); }
void free_kernel_stack(uintptr_t top) { mm::free_kernel_stack(top); }

} // namespace linnet::hooks
