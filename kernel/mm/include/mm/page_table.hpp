// PageTable and PageCursor: one template over the architecture's entry format. Upper levels are read without a lock and
// grow by compare-and-exchange; they are freed only by whoever has the address space to itself. A last-level table has
// its own spinlock, in its Page.
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

    /// The last-level table that covers `address`; null when there is none.
    [[nodiscard]] Page* find_leaf_table(VirtAddr address) const {
        PhysAddr table = root_;
        for (unsigned level = root_level; level > 0; --level) {
            Entry entry = load(entries(table) + index(address, level));
            if (!Policy::is_table(entry, level)) return nullptr;
            table = Policy::address(entry, level);
        }
        return page_of(table);
    }

    /// The same, making the tables on the way. `made` is called for each new table.
    template <typename OnMade>
    Result<Page*> make_leaf_table(VirtAddr address, OnMade made) const {
        PhysAddr table = root_;
        for (unsigned level = root_level; level > 0; --level) {
            Entry* slot = entries(table) + index(address, level);
            Entry entry = load(slot);
            if (!Policy::is_table(entry, level)) {
                VERIFY(Policy::is_empty(entry));
                Page* fresh = TRY(allocate_page_table());
                if (compare_exchange(slot, entry, Policy::make_table(page_address(*fresh)))) {
                    made(*fresh);
                    table = page_address(*fresh);
                    continue;
                }
                free_page_table(*fresh); // another thread was faster; `entry` is its table
            }
            table = Policy::address(entry, level);
        }
        return page_of(table);
    }

    /// Calls visit(Page& table, VirtAddr begin, VirtAddr end) for each last-level table that covers part of [begin,
    /// end), with that part. Absent upper tables are stepped over whole.
    template <typename Visit>
    void for_each_leaf_table(VirtAddr begin, VirtAddr end, Visit visit) const {
        walk(root_, root_level, begin, end, visit);
    }

    /// Takes out the tables that map part of [begin, end) and whose whole range lies in the hole [floor, ceiling)
    /// around it, and hands each to freed(Page&), lower ones first; the caller waits for the TLB before it frees them.
    template <typename Freed>
    void prune(VirtAddr begin, VirtAddr end, VirtAddr floor, VirtAddr ceiling, Freed freed) const {
        prune_table(root_, root_level, {begin, end, floor, ceiling}, freed);
    }

private:
    template <typename Visit>
    static void walk(PhysAddr table, unsigned level, VirtAddr begin, VirtAddr end, Visit& visit) {
        while (begin < end) {
            VirtAddr stop = slot_end(begin, end, level);
            Entry entry = load(entries(table) + index(begin, level));
            if (Policy::is_table(entry, level)) {
                PhysAddr below = Policy::address(entry, level);
                if (level == 1)
                    visit(*page_of(below), begin, stop);
                else
                    walk(below, level - 1, begin, stop, visit);
            }
            begin = stop;
        }
    }

    struct Hole {
        VirtAddr begin, end, floor, ceiling;
    };
    template <typename Freed>
    static void prune_table(PhysAddr table, unsigned level, Hole hole, Freed& freed) {
        while (hole.begin < hole.end) {
            VirtAddr stop = slot_end(hole.begin, hole.end, level);
            Entry* slot = entries(table) + index(hole.begin, level);
            Entry entry = load(slot);
            if (Policy::is_table(entry, level)) {
                PhysAddr below = Policy::address(entry, level);
                if (level > 1) prune_table(below, level - 1, {hole.begin, stop, hole.floor, hole.ceiling}, freed);
                VirtAddr base{align_down(hole.begin.value, span(level))};
                if (base >= hole.floor && hole.ceiling >= base && hole.ceiling - base >= span(level)) {
                    store(slot, Policy::empty());
                    freed(*page_of(below));
                }
            }
            hole.begin = stop;
        }
    }

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
        : guard_(table_lock(table)), slot_(Table::entries(table) + Table::index(address, 0)), address_(address) {}

    [[nodiscard]] VirtAddr address() const { return address_; }
    [[nodiscard]] Entry entry() const { return Table::load(slot_); }
    void set(Entry entry) { Table::store(slot_, entry); }
    Entry exchange(Entry entry) { return Table::exchange(slot_, entry); }
    bool compare_exchange(Entry& expected, Entry value) { return Table::compare_exchange(slot_, expected, value); }
    void advance() {
        ++slot_;
        address_ += arch::page_size;
    }
    void unlock() { guard_.unlock(); }

private:
    core::SpinGuard guard_;
    Entry* slot_;
    VirtAddr address_;
};

} // namespace linnet::mm
