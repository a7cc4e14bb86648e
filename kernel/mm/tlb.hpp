// Translation buffers: what must be flushed, on which CPUs, and which frames wait for it.
#pragma once

#include <lib/address.hpp>
#include <mm/page.hpp>

namespace linnet::mm {

class AddressSpace;

/// Collects frames and page tables that an operation took out of an address space, and lets go of them after every CPU
/// has flushed. One lives on the stack of each operation that unmaps; its destructor flushes.
class TlbBatch {
public:
    explicit TlbBatch(AddressSpace& space) : space_(space) {}
    ~TlbBatch() {
        if (has_work()) flush();
    }
    TlbBatch(const TlbBatch&) = delete;
    TlbBatch& operator=(const TlbBatch&) = delete;

    /// The entry for `address` lost rights or its frame.
    void note(VirtAddr address) {
        if (address < begin_) begin_ = address;
        if (address >= end_) end_ = address + arch::page_size;
    }
    void note_range(VirtAddr begin, VirtAddr end) {
        if (begin < begin_) begin_ = begin;
        if (end > end_) end_ = end;
    }
    /// Takes over one reference to a page. Call is_full() before.
    void add_page(Page& page) { add(reinterpret_cast<uintptr_t>(&page)); }
    /// The same for a shared last-level table.
    void add_shared_table(Page& table) { add(reinterpret_cast<uintptr_t>(&table) | table_mark); }
    /// Takes over an entry's part in a huge page. Call is_full() before.
    void add_huge_page(Page& head) { add(reinterpret_cast<uintptr_t>(&head) | huge_mark); }
    void add_table(Page& table) {
        table.next = tables_;
        tables_ = &table;
        has_tables_ = true;
    }
    /// Entries of upper levels have changed: what CPUs remember of the walk must go too.
    void note_tables() { has_tables_ = true; }
    /// No room for another page: flush() first, without locks that other CPUs wait for with interrupts off.
    [[nodiscard]] bool is_full() {
        if (count_ < inline_pages) return false;
        return count_ == inline_pages ? !extend() : count_ == inline_pages + extension_pages;
    }
    void flush();
    /// Nobody can have translations (a dying address space): nothing will be flushed.
    void assume_flushed() { dead_ = true; }
    /// Then frames may go at once, without add_page().
    [[nodiscard]] bool is_dead() const { return dead_; }

private:
    [[nodiscard]] bool has_work() const { return begin_ < end_ || has_tables_ || count_ != 0; }
    static constexpr u32 inline_pages = 32;
    static constexpr u32 extension_pages = arch::page_size / sizeof(uintptr_t);
    static constexpr uintptr_t huge_mark = 1, table_mark = 2, marks = 3; // in an address of a Page, which is aligned
    void add(uintptr_t held) {
        if (count_ < inline_pages) [[likely]]
            pages_[count_] = held;
        else
            extension_[count_ - inline_pages] = held;
        ++count_;
    }
    bool extend();
    void release();
    void release_rest();
    static void release(uintptr_t held);
    static void release_marked(uintptr_t held);

    AddressSpace& space_;
    VirtAddr begin_{~u64{0}};
    VirtAddr end_{0};
    Page* tables_ = nullptr;
    uintptr_t* extension_ = nullptr;
    u32 count_ = 0;
    bool has_tables_ = false;
    bool dead_ = false;
    uintptr_t pages_[inline_pages];
};

/// Drops kernel translations on every CPU. May sleep.
void flush_kernel_everywhere(VirtAddr begin, u64 pages);

/// As AddressSpace::flush_range()'s number of pages: everything, and what CPUs remember of page tables.
inline constexpr u64 all_pages = ~u64{0};

} // namespace linnet::mm
