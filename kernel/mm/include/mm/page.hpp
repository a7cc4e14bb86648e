// Physical page frames: one Page for each frame of RAM, references to them, and the allocator's interface.
//
// A Page in use has a kind and a reference count. Every user mapping, the page cache and each kernel holder own one
// reference; when the last goes, the frame returns to the allocator. Frames of kind Reserved (the kernel image,
// firmware tables, the zero page) belong to nobody: they are mapped and unmapped without counting.
//
// Allocation and freeing may be called with preemption off or interrupts off, but not from interrupt handlers.
#pragma once

#include <arch/page.hpp>
#include <atomic>
#include <lib/assert.hpp>
#include <lib/result.hpp>
#include <lib/types.hpp>
#include <utility>

namespace linnet::mm {

class VmObject;

/// What a frame is used for; also the categories of memory_statistics().
enum class PageKind : u8 {
    Reserved,  // not the allocator's: never counted, never freed
    Free,      // in the buddy lists or a per-CPU list
    Kernel,    // whatever the kernel allocated by the page
    Slab,      // holds small heap objects
    HeapBlock, // a heap object of whole pages
    Stack,     // kernel stacks
    PageTable, // of user address spaces
    Anonymous, // private memory of a process
    File,      // page cache
    Shared,    // shared anonymous memory, tmpfs, memfd
    Hugetlb,   // of the pool of huge pages (huge_pool.hpp)
};

/// A PageKind that its page's owner changes while the buddy allocator, which looks at the neighbours of a block that is
/// freed, may read it. It becomes or ceases to be Free only under the allocator's lock, so no order is needed.
class SharedPageKind {
public:
    constexpr SharedPageKind(PageKind kind) : value_(kind) {}
    SharedPageKind(const SharedPageKind&) = delete;
    operator PageKind() const { return value_.load(std::memory_order_relaxed); }
    SharedPageKind& operator=(PageKind kind) { return value_.store(kind, std::memory_order_relaxed), *this; }

private:
    std::atomic<PageKind> value_;
};

/// Bits of Page::flags.
enum PageFlag : u32 {
    page_up_to_date = 1u << 0,      // its contents have been read in
    page_dirty = 1u << 1,           // differs from what is stored
    page_locked = 1u << 2,          // being read in or written out
    page_error = 1u << 3,           // reading it failed
    page_active = 1u << 4,          // used since reclaim last looked
    page_code_synced = 1u << 5,     // instruction fetches see its contents
    page_write_protected = 1u << 6, // PageTable: no entry lets a write through
    page_huge = 1u << 7,            // first of a huge page (huge_pages.hpp)
    page_of_object = 1u << 8,       // Hugetlb, first of a block: an object has it, or had it when it was mapped
    // From here on one bit for each of up to 16 blocks of a file system's metadata in the page: checked since it was
    // read.
    page_first_block_checked = 1u << 16,
};

/// One frame of RAM. The array of these is the largest table of the kernel, so every byte counts.
struct Page {
    std::atomic<u32> refs{0};
    // User mappings of File and Shared pages. Last-level page tables: entries that show anonymous pages. First frame of
    // an anonymous huge page: entries that map the block whole.
    std::atomic<u32> map_count{0};
    std::atomic<u32> flags{0};
    SharedPageKind kind = PageKind::Reserved;
    u8 order = 0; // of the block whose first frame this is
    union {
        u16 slab_class = 0; // Slab; Hugetlb, first of a block: how many frames of it are free
        u16 generation;     // of user memory: its age (generations.hpp), 0 when it can't be evicted; atomic
    };
    union {
        struct {
            VmObject* object; // File, Shared: where it belongs; guarded by the object's lock
            u64 index;        // in pages from the start of the object
        };
        struct {
            Page* next; // Free, Slab: links of the list that it is in
            Page* previous;
        };
        alignas(8) unsigned char lock_storage[16]; // PageTable: the spinlock of a last-level table
    };

    constexpr Page() : object(nullptr), index(0) {}
    Page(const Page&) = delete;
    Page& operator=(const Page&) = delete;

    [[nodiscard]] bool has(PageFlag flag) const { return (flags.load(std::memory_order_acquire) & flag) != 0; }
    void set(PageFlag flag) { flags.fetch_or(flag, std::memory_order_release); }
    void clear(PageFlag flag) { flags.fetch_and(~u32{flag}, std::memory_order_release); }
};
static_assert(sizeof(Page) == 32);

/// The array of all frames; frame 0 is physical address 0 of the first region of RAM.
struct PageArray {
    Page* pages = nullptr;
    u64 first_frame = 0; // frame number (address >> page_shift) of pages[0]
    u64 count = 0;
};
extern constinit PageArray page_array;

inline PhysAddr page_address(const Page& page) {
    return {(page_array.first_frame + static_cast<u64>(&page - page_array.pages)) << arch::page_shift};
}
/// The contents of the frame through the direct map.
inline void* page_data(const Page& page) { return arch::phys_to_virt(page_address(page)); }
template <typename T>
T* page_data(const Page& page) {
    return static_cast<T*>(page_data(page));
}
/// The frame that holds `address`; null when that is not RAM.
inline Page* page_of(PhysAddr address) {
    u64 frame = (address.value >> arch::page_shift) - page_array.first_frame;
    return frame < page_array.count ? &page_array.pages[frame] : nullptr;
}
/// The same where it is known to be RAM.
inline Page& ram_page_of(PhysAddr address) {
    return page_array.pages[(address.value >> arch::page_shift) - page_array.first_frame];
}

/// ram_page_of() for a loop: page_array at hand, which the compiler would read anew after each atomic operation.
class RamPages {
public:
    RamPages() : frame_zero_(reinterpret_cast<uintptr_t>(page_array.pages) - page_array.first_frame * sizeof(Page)) {}
    Page& operator[](PhysAddr address) const {
        return *reinterpret_cast<Page*>(frame_zero_ + (address.value >> arch::page_shift) * sizeof(Page));
    }

private:
    uintptr_t frame_zero_;
};

/// Frees a block whose last reference is gone. The block's order is the one it was allocated with.
void free_pages(Page& page, unsigned order);
/// Frees one frame of any kind but Reserved.
void free_page(Page& page);

/// Takes one more reference to a frame that the caller keeps alive.
inline void ref_page(Page& page, u32 count = 1) { page.refs.fetch_add(count, std::memory_order_relaxed); }
/// Gives one back; frees the frame with the last.
inline void unref_page(Page& page) {
    if (page.refs.fetch_sub(1, std::memory_order_acq_rel) == 1) free_page(page);
}

/// Owns one reference to a frame. Never null except after a move or release().
class [[nodiscard]] PageRef {
public:
    PageRef() = default; // empty; only so that arrays of them can be made
    PageRef(PageRef&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
    PageRef& operator=(PageRef&& other) noexcept { return std::swap(page_, other.page_), *this; }
    PageRef(const PageRef&) = delete;
    PageRef& operator=(const PageRef&) = delete;
    ~PageRef() {
        if (page_) unref_page(*page_);
    }
    /// Takes over a reference that the caller holds.
    static PageRef adopt(Page& page) { return PageRef(page); }
    /// Takes a new reference.
    static PageRef share(Page& page) { return ref_page(page), PageRef(page); }

    [[nodiscard]] Page* get() const { return page_; }
    Page& operator*() const { return *page_; }
    Page* operator->() const { return page_; }
    explicit operator bool() const { return page_ != nullptr; }
    /// Hands the reference to the caller.
    [[nodiscard]] Page* release() { return std::exchange(page_, nullptr); }
    [[nodiscard]] PhysAddr address() const { return page_address(*page_); }
    [[nodiscard]] void* data() const { return page_data(*page_); }
    template <typename T>
    [[nodiscard]] T* data() const {
        return static_cast<T*>(page_data(*page_));
    }

private:
    explicit PageRef(Page& page) : page_(&page) {}
    Page* page_ = nullptr;
};

enum class PageZeroing : u8 { Zeroed, Uninitialised };

/// One frame with one reference; ENOMEM when there is none.
Result<PageRef> allocate_page(PageZeroing zeroing = PageZeroing::Zeroed, PageKind kind = PageKind::Kernel);

/// Of a block that one entry above the last level maps.
inline constexpr unsigned huge_page_order = arch::entries_per_table_shift;
inline constexpr unsigned max_order = huge_page_order > 10 ? huge_page_order : 10; // of the largest blocks

/// 2^order frames in a row, naturally aligned, with one reference on the first; freed by free_pages or free_page.
Result<Page*> allocate_pages(unsigned order, PageZeroing zeroing = PageZeroing::Zeroed,
                             PageKind kind = PageKind::Kernel);

/// Makes the frames of a block independent: each has the block's kind and one reference.
void split_block(Page& head, unsigned order);
/// Frees the frames that split_block() made; as one block where nobody else has a reference to one of them.
void unref_block(Page& head, unsigned order);

/// Fills a page with zeros; a page of memory copied to another.
void clear_page(void* page);
void copy_page(void* to, const void* from);

/// The frame of zeros that reads of untouched anonymous memory see. Reserved: not counted.
Page& zero_page();

} // namespace linnet::mm
