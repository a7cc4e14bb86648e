// Who shows a page by a last-level table that it shares (shared_tables.cpp), for /proc/kpagecount: pages know how many
// entries show them, but not which tables those are in.
//
// Owns the list of address spaces that may share tables: each enters it with its first fork, as parent or child, and
// leaves it when it dies; it holds no references.
//
// Lock order: mmap lock
//               list_lock
#include "table_sharers.hpp"
#include "space.hpp"
#include <lib/intrusive_list.hpp>

namespace linnet::mm {

namespace {

/// What an entry in a table that n address spaces have stands for, beyond its own reference to the page, is n - 1
/// mappings. Each of the n adds its part, in fractions that are exact enough for more sharers than there can be.
constexpr unsigned part_shift = 32;

constinit core::LockClass list_lock_class("table sharers");
constinit core::SpinLock list_lock(list_lock_class);
constinit IntrusiveList<AddressSpace, &AddressSpace::sharer_node> sharers;

/// The one behind `space`, the first where that is null; those that are dying are passed over.
NullableRefPtr<AddressSpace> next_sharer(const NullableRefPtr<AddressSpace>& space) {
    core::SpinGuard guard(list_lock);
    for (AddressSpace* next = space ? sharers.next(*space) : sharers.first(); next; next = sharers.next(*next)) {
        if (next->try_ref()) return NullableRefPtr<AddressSpace>::adopt(next);
    }
    return nullptr;
}

} // namespace

/// The mmap lock is held exclusively, or nobody else knows the address space yet.
void AddressSpace::join_table_sharers() {
    if (may_share_tables_.exchange(true, std::memory_order_relaxed)) return;
    core::SpinGuard guard(list_lock);
    sharers.push_back(*this);
}

void AddressSpace::leave_table_sharers() {
    if (!may_share_tables_.load(std::memory_order_relaxed)) return;
    core::SpinGuard guard(list_lock);
    sharers.remove(*this);
}

void AddressSpace::add_shares_of_tables(u64 first_frame, std::span<u64> shares) {
    core::ReadGuard guard(mmap_lock_);
    auto look_at_table = [&](Page& table, VirtAddr from, VirtAddr to, Entry*) {
        // The entries stay as they are while we have it: who changes them takes a copy.
        const u64 owners = table.refs.load(std::memory_order_acquire);
        if (owners < 2) return;
        const u64 part = ((owners - 1) << part_shift) / owners;
        const Entry* slot = Table::entries(table) + Table::index(from, 0);
        for (u64 i = 0; i < pages_in(to - from); ++i) {
            const Entry entry = Table::load(slot + i);
            if (Policy::is_empty(entry)) continue;
            const u64 frame = pages_in(Policy::address(entry, 0).value) - first_frame;
            if (frame < shares.size()) shares[frame] += part;
        }
    };
    for (Vma* vma = vmas_.first(); vma; vma = vmas_.next(*vma))
        if (vma->is_anonymous()) tables_.for_each_leaf_slot(vma->begin, vma->end, look_at_table);
}

void count_table_sharers(u64 first_frame, std::span<u64> counts) {
    for (NullableRefPtr<AddressSpace> space = next_sharer({}); space; space = next_sharer(space))
        space->add_shares_of_tables(first_frame, counts);
    for (u64& count : counts) count = (count + (u64{1} << (part_shift - 1))) >> part_shift;
}

} // namespace linnet::mm
