// The kernel heap. An object of up to 8192 bytes comes from a slab of its size class, usually out of a magazine: a
// per-CPU stack of free objects that needs only preemption turned off. Larger ones are whole blocks of frames, the
// largest are mapped page by page.
//
// A slab's bookkeeping lives in the Page of its first frame: `map_count` counts the objects outside of the slab, `refs`
// those that were never handed out (they need no free list), `flags` is the index of the first free object. Objects
// that came back are linked by their first two bytes. All frames of a slab are of kind Slab and know their class.
//
// Lock order: class lock -> page allocator. The class lock masks interrupts although no handler allocates: whoever
// allocates under a lock that handlers take would otherwise wait for a holder whom such a handler has interrupted.
#include "slab.hpp"
#include "kasan.hpp"
#include <core/panic.hpp>
#include <core/spinlock.hpp>
#include <cstring>
#include <mm/allocation_faults.hpp>
#include <mm/kernel_area.hpp>
#include <mm/shrinker.hpp>
#include <new>

namespace linnet::mm {

namespace {

// Those between the usual ones are for what every process or mapping has: a Vma, a Thread, x86's extended state.
constexpr u16 class_sizes[] = {16,  32,  48,  64,  80,   96,   112,  128,  160,  192,  256,  320, 384,
                               512, 640, 768, 896, 1024, 1280, 1536, 2048, 2720, 3072, 4096, 8192};
constexpr usize class_count = std::size(class_sizes);
constexpr usize largest_class = class_sizes[class_count - 1];
constexpr usize largest_block = usize{512} << 10; // beyond it, frames need not be in a row
constexpr u32 no_object = 0xffff;

/// Class of sizes 1 … 1024 by (size + 15) / 16.
struct SmallClassTable {
    u8 of[65] = {};
    constexpr SmallClassTable() {
        for (usize i = 0; i < std::size(of); ++i)
            while (class_sizes[of[i]] < i * 16) ++of[i];
    }
};
constexpr SmallClassTable small_classes;

constexpr usize class_of(usize size) {
    if (size <= 1024) return small_classes.of[(size + 15) / 16];
    usize index = small_classes.of[64];
    while (class_sizes[index] < size) ++index;
    return index;
}

/// At least four objects a slab and no more than an eighth lost.
constexpr unsigned slab_order(usize size) {
    unsigned order = 0;
    for (;; ++order) {
        usize bytes = arch::page_size << order;
        if (bytes / size >= 4 && bytes % size <= bytes / 8) return order;
    }
}

constexpr u32 magazine_capacity(usize size) { return size <= 256 ? 32 : (size <= 1024 ? 16 : 8); }

constinit core::LockClass slab_lock_class("slab");

struct SlabClass {
    core::InterruptSpinLock lock{slab_lock_class};
    Page* partial = nullptr; // slabs with free objects, at most one of them with nothing but free objects
    u32 slabs = 0;
    u32 empty_slabs = 0;
    u64 outside = 0; // objects not in slabs
};
constinit SlabClass classes[class_count];

struct Magazine {
    u32 count = 0;
    void* objects[32];
};
struct Magazines {
    Magazine of[class_count];
};
constinit Magazines boot_magazines{};

Magazines& this_cpu_magazines() { return *static_cast<Magazines*>(core::this_cpu().slab_cache); }

u32 objects_per_slab(usize index) {
    return static_cast<u32>((arch::page_size << slab_order(class_sizes[index])) / class_sizes[index]);
}

void link_partial(SlabClass& slab_class, Page& slab) {
    slab.previous = nullptr;
    slab.next = slab_class.partial;
    if (slab.next) slab.next->previous = &slab;
    slab_class.partial = &slab;
}

void unlink_partial(SlabClass& slab_class, Page& slab) {
    (slab.previous ? slab.previous->next : slab_class.partial) = slab.next;
    if (slab.next) slab.next->previous = slab.previous;
}

u8* object_at(const Page& slab, usize index, u32 object) {
    return page_data<u8>(slab) + usize{object} * class_sizes[index];
}

Page& slab_of(const void* object) {
    Page* page = page_of(arch::virt_to_phys(object));
    VERIFY(page && page->kind == PageKind::Slab);
    u64 frame = page_array.first_frame + static_cast<u64>(page - page_array.pages);
    unsigned order = slab_order(class_sizes[page->slab_class]);
    return *(page - (frame & ((u64{1} << order) - 1)));
}

/// Makes a slab, without any lock held.
Page* make_slab(usize index) {
    unsigned order = slab_order(class_sizes[index]);
    auto block = allocate_pages(order, PageZeroing::Uninitialised, PageKind::Slab);
    if (!block) return nullptr;
    Page& slab = **block;
    for (usize i = 0; i < (usize{1} << order); ++i) {
        (&slab)[i].kind = PageKind::Slab;
        (&slab)[i].slab_class = static_cast<u16>(index);
    }
    slab.refs.store(objects_per_slab(index), std::memory_order_relaxed);
    slab.map_count.store(0, std::memory_order_relaxed);
    slab.flags.store(no_object, std::memory_order_relaxed);
    kasan::forbid(page_data(slab), arch::page_size << order, kasan::Poison::FreeObject);
    return &slab;
}

void destroy_slab(Page& slab, usize index) {
    unsigned order = slab_order(class_sizes[index]);
    for (usize i = 1; i < (usize{1} << order); ++i) (&slab)[i].kind = PageKind::Kernel;
    free_pages(slab, order);
}

/// Takes a slab with nothing but free objects out of its list; null when there is none.
Page* take_empty_slab(usize index) {
    SlabClass& slab_class = classes[index];
    core::InterruptSpinGuard guard(slab_class.lock);
    if (slab_class.empty_slabs == 0) return nullptr;
    Page* slab = slab_class.partial;
    while (slab && slab->map_count.load(std::memory_order_relaxed) != 0) slab = slab->next;
    if (!slab) return nullptr;
    unlink_partial(slab_class, *slab);
    --slab_class.empty_slabs;
    --slab_class.slabs;
    return slab;
}

/// One object out of a slab with free ones; the class lock is held.
void* take_object(SlabClass& slab_class, usize index, Page& slab) {
    u32 first = slab.flags.load(std::memory_order_relaxed);
    u32 unused = slab.refs.load(std::memory_order_relaxed);
    u8* object;
    if (first != no_object) {
        object = object_at(slab, index, first);
        u16 next;
        std::memcpy(&next, object, sizeof(next));
        slab.flags.store(next, std::memory_order_relaxed);
        first = next;
    } else {
        object = object_at(slab, index, objects_per_slab(index) - unused);
        slab.refs.store(--unused, std::memory_order_relaxed);
    }
    if (slab.map_count.fetch_add(1, std::memory_order_relaxed) == 0) --slab_class.empty_slabs;
    if (first == no_object && unused == 0) unlink_partial(slab_class, slab);
    ++slab_class.outside;
    return object;
}

/// Puts an object back; the slab to destroy, if that made one too many empty. The class lock is held.
Page* put_object(SlabClass& slab_class, usize index, void* object) {
    Page& slab = slab_of(object);
    u32 number = static_cast<u32>((static_cast<u8*>(object) - page_data<u8>(slab)) / class_sizes[index]);
    DEBUG_ASSERT(object_at(slab, index, number) == object);
    u32 first = slab.flags.load(std::memory_order_relaxed);
    bool was_full = first == no_object && slab.refs.load(std::memory_order_relaxed) == 0;
    u16 next = static_cast<u16>(first);
    std::memcpy(object, &next, sizeof(next));
    slab.flags.store(number, std::memory_order_relaxed);
    --slab_class.outside;
    if (was_full) link_partial(slab_class, slab);
    if (slab.map_count.fetch_sub(1, std::memory_order_relaxed) != 1) return nullptr;
    if (++slab_class.empty_slabs <= 1) return nullptr;
    unlink_partial(slab_class, slab);
    --slab_class.empty_slabs;
    --slab_class.slabs;
    return &slab;
}

/// Fills half of this CPU's magazine and returns one object more; null when there is no memory. Preemption is on.
void* refill_and_take(usize index) {
    SlabClass& slab_class = classes[index];
    u32 wanted = magazine_capacity(class_sizes[index]) / 2;
    for (Page* fresh = nullptr;;) {
        {
            core::InterruptSpinGuard guard(slab_class.lock);
            if (fresh) {
                // Linked and used under one hold of the lock: other CPUs could take all of it in between.
                link_partial(slab_class, *fresh);
                ++slab_class.slabs;
                ++slab_class.empty_slabs;
            }
            if (Page* slab = slab_class.partial) {
                void* object = take_object(slab_class, index, *slab);
                Magazine& magazine = this_cpu_magazines().of[index];
                while (magazine.count < wanted && slab_class.partial)
                    magazine.objects[magazine.count++] = take_object(slab_class, index, *slab_class.partial);
                return object;
            }
        }
        fresh = make_slab(index);
        if (!fresh) return nullptr;
    }
}

/// Returns `count` objects of this CPU's magazine to their slabs. Preemption is off.
void flush_magazine(usize index, u32 count) {
    SlabClass& slab_class = classes[index];
    Magazine& magazine = this_cpu_magazines().of[index];
    Page* doomed = nullptr;
    {
        core::InterruptSpinGuard guard(slab_class.lock);
        while (count-- > 0 && magazine.count > 0)
            if (Page* slab = put_object(slab_class, index, magazine.objects[--magazine.count])) {
                slab->next = doomed;
                doomed = slab;
            }
    }
    while (doomed) {
        Page* slab = doomed;
        doomed = slab->next;
        destroy_slab(*slab, index);
    }
}

void* allocate_object(usize index) {
    core::disable_preemption();
    Magazine& magazine = this_cpu_magazines().of[index];
    if (magazine.count > 0) [[likely]] {
        void* object = magazine.objects[--magazine.count];
        core::enable_preemption();
        return object;
    }
    core::enable_preemption();
    return refill_and_take(index);
}

void free_object(void* object, usize index) {
#ifdef LINNET_DEBUG
    std::memset(object, 0xdb, class_sizes[index]);
#endif
    core::PreemptionGuard guard;
    Magazine& magazine = this_cpu_magazines().of[index];
    u32 capacity = magazine_capacity(class_sizes[index]);
    if (magazine.count == capacity) flush_magazine(index, capacity / 2);
    magazine.objects[magazine.count++] = object;
}

bool is_in_kernel_area(const void* pointer) {
    VirtAddr address{reinterpret_cast<u64>(pointer)};
    return arch::kernel_area_begin <= address && address < arch::kernel_area_end;
}

void* allocate_large(usize size) {
    if (size <= largest_block) {
        unsigned order = static_cast<unsigned>(std::bit_width((size - 1) >> arch::page_shift));
        if (auto block = allocate_pages(order, PageZeroing::Uninitialised, PageKind::HeapBlock)) {
            void* begin = page_data(**block);
            kasan::hand_out(begin, size, arch::page_size << order);
            return begin;
        }
    }
    if (!core::may_sleep()) return nullptr;
    auto area = allocate_virtual(size);
    return area ? *area : nullptr;
}

/// `size` bytes in a place of the class of `room` bytes.
void* allocate_in_class(usize room, usize size) {
    usize index = class_of(room);
    void* object = allocate_object(index);
    if (object) kasan::hand_out(object, size, class_sizes[index]);
    return object;
}

} // namespace

void* allocate_bytes(usize size) {
    if (fails_by_request(AllocationClass::Heap)) [[unlikely]]
        return nullptr;
    usize room = size + kasan::redzone_size;
    if (room <= largest_class && room >= size) [[likely]]
        return allocate_in_class(room, size);
    return allocate_large(size);
}

void* allocate_bytes_aligned(usize size, usize alignment) {
    if (alignment <= 16) return allocate_bytes(size);
    if (alignment > arch::page_size || fails_by_request(AllocationClass::Heap)) return nullptr;
    // An object of a power-of-two class lies at a multiple of its size.
    usize rounded = std::bit_ceil(size < alignment ? alignment : size);
    return rounded <= largest_class ? allocate_in_class(rounded, size) : allocate_large(rounded);
}

void free_bytes(void* pointer) {
    if (!pointer) return;
    if (is_in_kernel_area(pointer)) return free_virtual(pointer);
    Page* page = page_of(arch::virt_to_phys(pointer));
    VERIFY(page);
    if (page->kind == PageKind::Slab) [[likely]] {
        // A sanitizer lets it wait and gives an older one instead.
        void* object = kasan::take_back(pointer, class_sizes[page->slab_class]);
        if (object == pointer) [[likely]]
            return free_object(object, page->slab_class);
        if (object) free_object(object, page_of(arch::virt_to_phys(object))->slab_class);
        return;
    }
    if (page->kind != PageKind::HeapBlock || page_data(*page) != pointer)
        core::panic("free of {}, which is not a heap object", static_cast<const void*>(pointer));
    free_pages(*page, page->order);
}

bool find_heap_place(const void* address, HeapPlace& out) {
    Page* page = page_of(arch::virt_to_phys(address));
    if (!page || page->kind != PageKind::Slab) return false;
    usize size = class_sizes[page->slab_class];
    const u8* begin = page_data<u8>(slab_of(address));
    usize offset = static_cast<usize>(static_cast<const u8*>(address) - begin);
    out = {begin + offset / size * size, size};
    return true;
}

usize usable_size(const void* pointer) {
    Page* page = page_of(arch::virt_to_phys(pointer));
    VERIFY(page);
    return page->kind == PageKind::Slab ? class_sizes[page->slab_class] : arch::page_size << page->order;
}

void start_heap(core::Cpu& cpu) {
    if (cpu.slab_cache) return;
    if (&cpu == &core::this_cpu()) {
        cpu.slab_cache = &boot_magazines;
        return;
    }
    void* memory = allocate_bytes(sizeof(Magazines));
    if (!memory) core::panic("no memory for the heap of CPU {}", cpu.number);
    cpu.slab_cache = new (memory) Magazines();
}

u64 drain_magazines() {
    core::PreemptionGuard guard;
    u64 drained = 0;
    for (usize i = 0; i < class_count; ++i) {
        drained += this_cpu_magazines().of[i].count;
        flush_magazine(i, ~0u);
    }
    return drained;
}

namespace {

/// Slabs with nothing in them, and what this CPU keeps aside.
class EmptySlabs final : public Shrinker {
public:
    u64 count() override {
        u64 objects = 0;
        core::PreemptionGuard guard;
        for (usize i = 0; i < class_count; ++i)
            objects += this_cpu_magazines().of[i].count + classes[i].empty_slabs * objects_per_slab(i);
        return objects;
    }
    u64 scan(u64) override {
        u64 freed = drain_magazines();
        for (usize i = 0; i < class_count; ++i)
            while (Page* slab = take_empty_slab(i)) {
                destroy_slab(*slab, i);
                ++freed;
            }
        return freed;
    }
};
[[clang::no_destroy]] constinit EmptySlabs empty_slabs;

} // namespace

void add_heap_shrinker() { add_shrinker(empty_slabs); }

usize slab_class_count() { return class_count; }

SlabClassStatistics slab_class_statistics(usize index) {
    SlabClass& slab_class = classes[index];
    core::InterruptSpinGuard guard(slab_class.lock);
    SlabClassStatistics result;
    result.object_size = class_sizes[index];
    result.active_objects = slab_class.outside;
    result.slabs = slab_class.slabs;
    result.pages_per_slab = usize{1} << slab_order(class_sizes[index]);
    result.objects_per_slab = objects_per_slab(index);
    result.total_objects = u64{slab_class.slabs} * result.objects_per_slab;
    return result;
}

} // namespace linnet::mm
