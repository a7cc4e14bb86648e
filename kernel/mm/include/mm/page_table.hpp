// PageTable and PageCursor: one template over the architecture's entry format. Upper levels are read without a lock and
// grow by compare-and-exchange; they are freed only by whoever has the address space to itself. A last-level table has
// its own spinlock, in its Page.
//
// A last-level table may belong to several address spaces (shared_tables.cpp): Page::refs counts them, Page::map_count
// the anonymous pages that its entries show.
//
// Entries are changed under the lock of their table. The processor sets accessed and dirty bits at any time, so an
// entry that may be live is exchanged, never overwritten.
#pragma once

#include <arch/mmu.hpp>
#include <core/spinlock.hpp>
#include <lib/result.hpp>
#include <mm/page.hpp>
#include <new>

namespace linnet::mm {

inline constexpr usize entries_per_table = usize{1} << arch::entries_per_table_shift;
/// Bytes that one last-level table maps.
inline constexpr u64 leaf_table_span = u64{entries_per_table} << arch::page_shift;

/// Makes and frees the frames of page tables; counted in memory_statistics().
Result<Page*> allocate_page_table();
void free_page_table(Page& table);
/// Whether several address spaces have this last-level table (shared_tables.cpp).
inline bool is_shared_table(const Page& table) { return table.refs.load(std::memory_order_acquire) > 1; }
/// Frees a last-level table that nobody has any more, with the pages that it shows.
void free_table_with_pages(Page& table);
/// An address space lets go of a last-level table; no CPU reaches its pages by it any more.
inline void drop_table_reference(Page& table) {
    if (table.refs.fetch_sub(1, std::memory_order_acq_rel) == 1) free_table_with_pages(table);
}

inline core::SpinLock& table_lock(Page& table) {
    static_assert(sizeof(core::SpinLock) <= sizeof(Page::lock_storage));
    return *std::launder(reinterpret_cast<core::SpinLock*>(table.lock_storage));
}

template <typename Policy>
class PageTable {
public:
    using Entry = typename Policy::Entry;
    static constexpr unsigned root_level = arch::page_table_levels - 1;

    constexpr PageTable() = default;
    explicit PageTable(PhysAddr root) : root_(root) {}
    [[nodiscard]] PhysAddr root() const { return root_; }

    static unsigned index(VirtAddr address, unsigned level) {
        return static_cast<unsigned>(address.value >> (arch::page_shift + level * arch::entries_per_table_shift)) &
               (entries_per_table - 1);
    }
    static constexpr u64 span(unsigned level) {
        return u64{1} << (arch::page_shift + level * arch::entries_per_table_shift);
    }
    static Entry* entries(PhysAddr table) { return static_cast<Entry*>(arch::phys_to_virt(table)); }
    static Entry* entries(const Page& table) { return static_cast<Entry*>(page_data(table)); }

    static Entry load(const Entry* slot) {
        return std::bit_cast<Entry>(__atomic_load_n(reinterpret_cast<const u64*>(slot), __ATOMIC_ACQUIRE));
    }
    static void store(Entry* slot, Entry value) {
        __atomic_store_n(reinterpret_cast<u64*>(slot), std::bit_cast<u64>(value), __ATOMIC_RELEASE);
    }
    static Entry exchange(Entry* slot, Entry value) {
        return std::bit_cast<Entry>(
            __atomic_exchange_n(reinterpret_cast<u64*>(slot), std::bit_cast<u64>(value), __ATOMIC_ACQ_REL));
    }
    /// True when `*slot` was `expected`; else `expected` becomes what it was.
    static bool compare_exchange(Entry* slot, Entry& expected, Entry value) {
        u64 old = std::bit_cast<u64>(expected);
        bool done = __atomic_compare_exchange_n(reinterpret_cast<u64*>(slot), &old, std::bit_cast<u64>(value), false,
                                                __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
        expected = std::bit_cast<Entry>(old);
        return done;
    }

    /// The first slot before `end` whose entry isn't empty, else `end`.
    static Entry* skip_empty(Entry* slot, const Entry* end) {
        constexpr isize group = 8;
        for (;;) {
            // Most gaps are short.
            for (isize i = 0; i < group / 2; ++i, ++slot)
                if (slot >= end || !Policy::is_empty(load(slot))) return slot;
            while (end - slot >= group) {
                u64 any = 0;
                for (isize i = 0; i < group; ++i) any |= std::bit_cast<u64>(load(slot + i));
                if (any != 0) break;
                slot += group;
            }
        }
    }

    /// The entry of the level above that leads to the last-level table for `address`; null when that level lacks too.
    [[nodiscard]] Entry* find_leaf_slot(VirtAddr address) const {
        PhysAddr table = root_;
        for (unsigned level = root_level; level > 1; --level) {
            Entry entry = load(entries(table) + index(address, level));
            if (!Policy::is_table(entry, level)) return nullptr;
            table = Policy::table_address(entry);
        }
        return entries(table) + index(address, 1);
    }
    /// The table that such a slot leads to; null when there is none.
    static Page* leaf_table_in(const Entry* slot) {
        Entry entry = slot ? load(slot) : Policy::empty();
        return Policy::is_table(entry, 1) ? &ram_page_of(Policy::table_address(entry)) : nullptr;
    }
    /// The last-level table that covers `address`; null when there is none.
    [[nodiscard]] Page* find_leaf_table(VirtAddr address) const { return leaf_table_in(find_leaf_slot(address)); }

    /// The slot, making the tables above it. `made` is called for each new table.
    template <typename OnMade>
    Result<Entry*> make_leaf_slot(VirtAddr address, OnMade made) const {
        PhysAddr table = root_;
        for (unsigned level = root_level; level > 1; --level)
            table = TRY(table_in(entries(table) + index(address, level), level, made));
        return entries(table) + index(address, 1);
    }
    /// The table, making all that it takes. EEXIST where a huge page is mapped.
    template <typename OnMade>
    Result<Page*> make_leaf_table(VirtAddr address, OnMade made) const {
        return page_of(TRY(table_in(TRY(make_leaf_slot(address, made)), 1, made)));
    }

    /// Calls visit(Page& table, VirtAddr begin, VirtAddr end, Entry* slot) for each last-level table that covers part
    /// of [begin, end), with that part, and visit_huge(VirtAddr begin, VirtAddr end, Entry* slot) for each huge page
    /// there. Absent upper tables are stepped over whole. Where whole tables may begin in a row, in one upper table,
    /// visit_run(VirtAddr begin, VirtAddr end, Entry* slot) may see to them, or to some of them, and returns how far.
    template <typename VisitRun, typename Visit, typename VisitHuge>
    void for_each_leaf_run(VirtAddr begin, VirtAddr end, VisitRun visit_run, Visit visit, VisitHuge visit_huge) const {
        while (begin < end) {
            Entry* slot = find_leaf_slot(begin);
            if (!slot) {
                begin = behind_absent(begin, end);
                continue;
            }
            VirtAddr directory_end = slot_end(begin, end, 2);
            VirtAddr stop = slot_end(begin, directory_end, 1);
            while (begin < directory_end) {
                const bool is_whole = stop - begin == span(1);
                if (VirtAddr reached = is_whole ? visit_run(begin, whole_end(directory_end), slot) : begin;
                    reached > begin) {
                    slot += (reached - begin) / span(1);
                    begin = reached;
                } else {
                    Entry entry = load(slot);
                    if (Policy::is_table(entry, 1))
                        visit(ram_page_of(Policy::table_address(entry)), begin, stop, slot);
                    else if (Policy::is_leaf(entry, 1))
                        visit_huge(begin, stop, slot);
                    begin = stop;
                    ++slot;
                }
                stop = std::min(begin + span(1), directory_end); // user space ends far below where this would wrap
            }
        }
    }

    /// The same one by one.
    template <typename Visit, typename VisitHuge>
    void for_each_leaf_slot(VirtAddr begin, VirtAddr end, Visit visit, VisitHuge visit_huge) const {
        for_each_leaf_run(begin, end, [](VirtAddr from, VirtAddr, Entry*) { return from; }, visit, visit_huge);
    }

    /// The same for tables alone.
    template <typename Visit>
    void for_each_leaf_slot(VirtAddr begin, VirtAddr end, Visit visit) const {
        for_each_leaf_slot(begin, end, visit, [](VirtAddr, VirtAddr, Entry*) {});
    }

    /// Takes out the tables that map part of [begin, end) and whose whole range lies in the hole [floor, ceiling)
    /// around it, and hands each to freed(Page&), lower ones first; the caller waits for the TLB before it frees them.
    template <typename Freed>
    void prune(VirtAddr begin, VirtAddr end, VirtAddr floor, VirtAddr ceiling, Freed freed) const {
        // No table without a whole one of the last level, and most ranges lie in one together with other mappings.
        VirtAddr first{align_down(begin.value, span(1))}, last{align_up(end.value, span(1))};
        if (first < floor) first += span(1);
        if (last > ceiling) last = last - span(1);
        if (first >= last) return;
        prune_table(root_, root_level, {begin, end, floor, ceiling}, freed);
    }

private:
    template <typename OnMade>
    static Result<PhysAddr> table_in(Entry* slot, unsigned level, OnMade& made) {
        Entry entry = load(slot);
        if (Policy::is_table(entry, level)) return Policy::table_address(entry);
        if (!Policy::is_empty(entry)) return error(Errno::EEXIST);
        Page* fresh = TRY(allocate_page_table());
        if (compare_exchange(slot, entry, Policy::make_table(page_address(*fresh)))) {
            made(*fresh);
            return page_address(*fresh);
        }
        free_page_table(*fresh); // another thread was faster; `entry` is its table or huge page
        if (!Policy::is_table(entry, level)) return error(Errno::EEXIST);
        return Policy::table_address(entry);
    }

    /// Where the range ends that the absent table on the way to `address` would cover, or `end` if that comes first.
    [[gnu::noinline]] VirtAddr behind_absent(VirtAddr address, VirtAddr end) const {
        unsigned level = root_level;
        for (PhysAddr table = root_; level > 2; --level) {
            Entry entry = load(entries(table) + index(address, level));
            if (!Policy::is_table(entry, level)) break;
            table = Policy::table_address(entry);
        }
        return slot_end(address, end, level);
    }

    struct Hole {
        VirtAddr begin, end, floor, ceiling;
    };
    template <typename Freed>
    static void prune_table(PhysAddr table, unsigned level, const Hole hole, Freed& freed) {
        const VirtAddr covered{align_down(hole.begin.value, span(level))};
        Entry* const first = entries(table) + index(hole.begin, level);
        Entry* const last = first + (hole.end - 1 - covered) / span(level);
        for (Entry* slot = skip_empty(first, last + 1); slot <= last; slot = skip_empty(slot + 1, last + 1)) {
            Entry entry = load(slot);
            if (!Policy::is_table(entry, level)) continue;
            PhysAddr below = Policy::table_address(entry);
            const VirtAddr base = covered + static_cast<u64>(slot - first) * span(level);
            if (level > 1) {
                const VirtAddr from = std::max(base, hole.begin), to = slot_end(from, hole.end, level);
                prune_table(below, level - 1, {from, to, hole.floor, hole.ceiling}, freed);
            }
            if (base >= hole.floor && hole.ceiling >= base && hole.ceiling - base >= span(level)) {
                store(slot, Policy::empty());
                freed(*page_of(below));
            }
        }
    }

    static VirtAddr whole_end(VirtAddr end) { return {align_down(end.value, span(1))}; }
    /// Where the entry of `level` that covers `address` ends, or `end` if that comes first.
    static VirtAddr slot_end(VirtAddr address, VirtAddr end, unsigned level) {
        u64 next = align_down(address.value, span(level)) + span(level);
        return next == 0 || next > end.value ? end : VirtAddr{next};
    }

    PhysAddr root_{};
};

/// Steps over the entries of one last-level table under its lock.
template <typename Policy>
class PageCursor {
public:
    using Table = PageTable<Policy>;
    using Entry = typename Policy::Entry;

    PageCursor(Page& table, VirtAddr address)
        : guard_(table_lock(table)), table_(table), slot_(Table::entries(table) + Table::index(address, 0)),
          address_(address) {}

    [[nodiscard]] VirtAddr address() const { return address_; }
    [[nodiscard]] Entry entry() const { return Table::load(slot_); }
    void set(Entry entry) { Table::store(slot_, entry); }
    Entry exchange(Entry entry) { return Table::exchange(slot_, entry); }
    bool compare_exchange(Entry& expected, Entry value) { return Table::compare_exchange(slot_, expected, value); }
    void advance() {
        ++slot_;
        address_ += arch::page_size;
    }
    /// Goes on to the next entry before `end` that isn't empty; false when there is none, and the cursor is at `end`.
    bool find_used(VirtAddr end) {
        for (;; skip_empty(end)) {
            // Most gaps are short.
            for (int i = 0; i < 4; ++i, advance()) {
                if (address_ >= end) return false;
                if (!Policy::is_empty(entry())) return true;
            }
        }
    }
    /// Entries that show anonymous pages have come or gone.
    void count_anonymous(i32 entries) {
        u32 count = table_.map_count.load(std::memory_order_relaxed) + static_cast<u32>(entries);
        table_.map_count.store(count, std::memory_order_relaxed);
    }
    void unlock() { guard_.unlock(); }

private:
    /// Steps over whole groups of empty entries before `end`.
    void skip_empty(VirtAddr end) {
        constexpr usize group = 8;
        while (end - address_ >= group * arch::page_size) {
            u64 any = 0;
            for (usize i = 0; i < group; ++i) any |= std::bit_cast<u64>(Table::load(slot_ + i));
            if (any != 0) return;
            slot_ += group;
            address_ += group * arch::page_size;
        }
    }

    core::SpinGuard guard_;
    Page& table_;
    Entry* slot_;
    VirtAddr address_;
};

/// The entry that maps a huge page, or could, under the lock of the table that it is in.
template <typename Policy>
class HugeCursor {
public:
    using Table = PageTable<Policy>;
    using Entry = typename Policy::Entry;

    explicit HugeCursor(Entry* slot) : guard_(table_lock(*page_of(arch::virt_to_phys(slot)))), slot_(slot) {}
    [[nodiscard]] Entry entry() const { return Table::load(slot_); }
    void set(Entry entry) { Table::store(slot_, entry); }
    Entry exchange(Entry entry) { return Table::exchange(slot_, entry); }
    bool compare_exchange(Entry& expected, Entry value) { return Table::compare_exchange(slot_, expected, value); }
    void unlock() { guard_.unlock(); }

private:
    core::SpinGuard guard_;
    Entry* slot_;
};

} // namespace linnet::mm
