// The fault handler. It is told the address and the kind of access, and looks at everything else itself: whether
// another thread has resolved the fault meanwhile (success), whether the rights allow it, and what belongs there.
//
// Entries are only made or changed under the lock of their table, after looking again; pages are got before. An entry
// that maps something is replaced by another in one step, so that no other thread ever meets a hole.
#include "events.hpp"
#include "huge_pages.hpp"
#include "reclaim.hpp"
#include "space.hpp"
#include <utility>

namespace linnet::mm {

namespace {

constinit std::atomic<OutOfMemoryHandler> out_of_memory_handler{nullptr};

/// Whether khugepaged may find single pages to collapse there.
bool may_become_huge(const Vma& vma) {
    if (vma.end - vma.begin < arch::huge_page_size) return false;
    if (vma.is_anonymous()) return true;
    const u64 mode = shared_hugepage;
    return vma.is(vma_shared) && vma.object->kind() == VmObject::Kind::Shared && mode != shared_huge_never &&
           mode != shared_huge_deny;
}

} // namespace

void set_out_of_memory_handler(OutOfMemoryHandler handler) { out_of_memory_handler.store(handler); }

bool ask_out_of_memory_killer() {
    core::Thread& self = core::current_thread();
    AddressSpace* space = current_address_space();
    OutOfMemoryHandler handler = out_of_memory_handler.load();
    if (self.asks_for_memory || !self.user_context || !space || !handler) return false;
    self.asks_for_memory = true;
    const bool is_worth_trying = handler(*space);
    self.asks_for_memory = false;
    return is_worth_trying;
}

FaultResult AddressSpace::handle_fault(VirtAddr address, arch::Access access) {
    count_event(Event::Fault);
    if (auto result = fault_without_lock(address, access)) return *result;
    core::Thread& self = core::current_thread();
    for (;;) {
        // Whoever waits for memory here would hold the mmap lock: the question is asked below, without it.
        const bool asks = std::exchange(self.asks_for_memory, true);
        FaultResult result = fault_with_growth(address, access, ForeignAccess::Checked);
        self.asks_for_memory = asks;
        if (result != FaultResult::OutOfMemory) return result;
        OutOfMemoryHandler handler = out_of_memory_handler.load();
        if (!handler || !handler(*this)) return result;
    }
}

/// Enters the mapping that contains `address`; null where there is none, or it can't be had without the mmap lock.
Vma* AddressSpace::enter_mapping(VirtAddr address) {
    arch::InterruptState state = arch::save_and_disable_interrupts();
    core::Cpu& cpu = core::this_cpu();
    const bool may_hint = cpu.address_space == this;
    Vma* hint = may_hint ? static_cast<Vma*>(cpu.mapping_hint.load(std::memory_order_relaxed)) : nullptr;
    Vma* vma = hint && hint->contains(address) ? hint : vmas_.find_unlocked(address);
    if (vma && !mmap_lock_.try_enter(*vma)) vma = nullptr;
    if (vma && !vma->contains(address)) {
        mmap_lock_.leave(*vma);
        vma = nullptr;
    }
    if (vma && may_hint && vma != hint) cpu.mapping_hint.store(vma, std::memory_order_relaxed);
    arch::restore_interrupts(state);
    return vma;
}

/// The common case. Nothing when the mmap lock is needed.
std::optional<FaultResult> AddressSpace::fault_without_lock(VirtAddr address, arch::Access access) {
    if (address >= arch::user_address_end) return {};
    address = page_floor(address);
    Vma* vma = enter_mapping(address);
    if (!vma) return {};
    // As under the mmap lock: nobody is killed for memory while others may wait for the mapping.
    core::Thread& self = core::current_thread();
    const bool asks = std::exchange(self.asks_for_memory, true);
    auto result = fault_in(*vma, address, access, ForeignAccess::Checked);
    self.asks_for_memory = asks;
    mmap_lock_.leave(*vma);
    if (!result || *result == FaultResult::OutOfMemory) return {};
    return *result;
}

FaultResult AddressSpace::fault_with_growth(VirtAddr address, arch::Access access, ForeignAccess how) {
    if (address >= arch::user_address_end) return FaultResult::SegvMapErr;
    address = page_floor(address);
    for (bool grown = false;;) {
        std::expected<FaultResult, Obstacle> result;
        {
            core::ReadGuard guard(mmap_lock_);
            if (Vma* vma = vmas_.find(address)) {
                result = fault_in(*vma, address, access, how);
            } else {
                result = FaultResult::SegvMapErr;
                Vma* above = vmas_.find_ending_after(address);
                if (grown || !above || !above->is(vma_grows_down)) return *result;
            }
        }
        if (!result) {
            if (!remove_obstacle(result.error(), address)) return FaultResult::OutOfMemory;
        } else if (result == FaultResult::SegvMapErr && !grown) {
            if (!grow_stack(address)) return *result;
            grown = true;
        } else {
            return *result;
        }
    }
}

/// Extends the mapping above `address` down to it, if it is a stack and the limits allow it.
bool AddressSpace::grow_stack(VirtAddr address) {
    core::WriteGuard guard(mmap_lock_);
    Vma* stack = vmas_.find_ending_after(address);
    if (!stack) return false;
    if (stack->contains(address)) return true; // another thread was faster
    if (!stack->is(vma_grows_down) || address < lowest_user_address) return false;
    if (stack->end - address > limits.stack.load(std::memory_order_relaxed)) return false;
    if (Vma* below = vmas_.previous(*stack)) {
        // The gap keeps a stack that runs over from running into other memory; another part of a stack is no danger.
        bool is_danger = !below->is(vma_grows_down) && below->prot != abi::PROT_NONE;
        if (is_danger && address - below->end < stack_guard_gap) return false;
    }
    u64 pages = pages_in(stack->begin - address);
    u64 total = total_pages_.load(std::memory_order_relaxed) + pages;
    if (total > pages_in(limits.address_space.load(std::memory_order_relaxed))) return false;
    if (stack->is(vma_locked)) {
        u64 locked = locked_pages_.load(std::memory_order_relaxed) + pages;
        if (locked > pages_in(limits.locked.load(std::memory_order_relaxed))) return false;
    }
    if (!can_commit(pages)) return false;
    account(*stack, static_cast<i64>(pages));
    set_range(*stack, address, stack->end);
    return true;
}

Result<void> AddressSpace::remove_obstacle(Obstacle obstacle, VirtAddr address) {
    core::WriteGuard guard(mmap_lock_);
    switch (obstacle) {
    case Obstacle::SharedTable:
        return own_tables(address, address + 1);
    case Obstacle::HugePage:
        return split_huge_leaf(address);
    case Obstacle::FirstHugePage:
        has_huge_pages_.store(true, std::memory_order_relaxed);
        break;
    }
    return {};
}

std::expected<FaultResult, AddressSpace::Obstacle> AddressSpace::fault_in(Vma& vma, VirtAddr address,
                                                                          arch::Access access, ForeignAccess how) {
    if (how == ForeignAccess::Checked) {
        if (!allows(vma.prot, access)) return FaultResult::SegvAccErr;
    } else {
        // A debugger may read what the program could be allowed to, and write into private copies (ptrace(2)).
        bool may = access == arch::Access::Write ? !vma.is(vma_shared) || (vma.prot & abi::PROT_WRITE)
                                                 : (vma.max_prot & abi::PROT_READ) != 0;
        if (!may) return FaultResult::SegvAccErr;
    }
    if (vma.is(vma_guard)) return FaultResult::SegvMapErr;
    if (vma.is(vma_hugetlb)) return fault_hugetlb(vma, address, access);
    Entry* slot = tables_.find_leaf_slot(address);
    Page* present = Table::leaf_table_in(slot);
    if (!present) {
        if (slot && Policy::is_leaf(Table::load(slot), 1)) return fault_huge(vma, slot, address, access);
        if (may_be_huge(vma, address)) {
            if (!has_huge_pages_.load(std::memory_order_relaxed)) return std::unexpected(Obstacle::FirstHugePage);
            if (map_huge_page(vma, address, access)) return FaultResult::Resolved;
        }
        if (may_become_huge(vma)) note_collapsible();
        auto made = leaf_table(address);
        if (!made) return made.error() == Errno::EEXIST ? FaultResult::Resolved : FaultResult::OutOfMemory;
        present = *made;
    } else if (may_share_tables_.load(std::memory_order_relaxed) && !may_use_table(*present, slot, address, access)) {
        return std::unexpected(Obstacle::SharedTable);
    }
    Page& table = *present;
    if (!Policy::is_empty(Table::load(Table::entries(table) + Table::index(address, 0))))
        return fault_present(vma, table, address, access, how);
    if (!vma.object) return fault_anonymous(vma, table, address, access);
    return fault_object(vma, table, address, access);
}

/// Private memory that nobody touched: the zero page for reads, a page of its own for writes.
FaultResult AddressSpace::fault_anonymous(Vma& vma, Page& table, VirtAddr address, arch::Access access) {
    if (access != arch::Access::Write) {
        Cursor cursor(table, address);
        if (Policy::is_empty(cursor.entry()))
            cursor.set(Policy::at_frame(read_only_model(vma), page_address(zero_page())));
        return FaultResult::Resolved;
    }
    auto page = allocate_page(PageZeroing::Zeroed, PageKind::Anonymous);
    if (!page) return FaultResult::OutOfMemory;
    vma.has_private_pages.store(true, std::memory_order_relaxed);
    Entry entry = Policy::at_frame(full_model(vma), page->address());
    Cursor cursor(table, address);
    if (!Policy::is_empty(cursor.entry())) return FaultResult::Resolved; // another thread was faster; ours is dropped
    cursor.set(entry);
    cursor.count_anonymous(1);
    cursor.unlock();
    (void)page->release();
    count_resident(PageKind::Anonymous, 1);
    return FaultResult::Resolved;
}

static bool is_copy_on_write(arch::PagingPolicy::Entry entry) {
    return !arch::PagingPolicy::is_empty(entry) && !arch::PagingPolicy::flags(entry, 0).writable;
}

/// Something is mapped there: a spurious fault, a write to what is shared copy-on-write or watched, or marks to set.
FaultResult AddressSpace::fault_present(Vma& vma, Page& table, VirtAddr address, arch::Access access,
                                        ForeignAccess how) {
    Entry entry = Table::load(Table::entries(table) + Table::index(address, 0));
    // Whether that still holds is looked at under the lock, but most often it does.
    if (access == arch::Access::Write && !vma.is(vma_shared) && is_copy_on_write(entry))
        return break_copy_on_write(vma, table, address, entry);
    {
        Cursor cursor(table, address);
        entry = cursor.entry();
        if (Policy::is_empty(entry)) return FaultResult::Resolved; // gone again: the access will tell
        arch::MappingFlags flags = Policy::flags(entry, 0);
        bool wants_write = access == arch::Access::Write;
        if (!wants_write || flags.writable) {
            // Processors without hardware marks fault until the entry is marked.
            flags.accessed = true;
            if (wants_write) flags.dirty = true;
            flags.readable = vma.prot != 0;
            flags.executable = (vma.prot & abi::PROT_EXEC) != 0;
            Entry marked = Policy::make_leaf(Policy::address(entry, 0), flags, 0);
            while (!cursor.compare_exchange(entry, marked) && !Policy::is_empty(entry))
                marked = Policy::make_leaf(Policy::address(entry, 0), flags, 0);
            cursor.unlock();
            flush_here(address);
            return FaultResult::Resolved;
        }
    }
    if (!vma.is(vma_shared)) return break_copy_on_write(vma, table, address, entry);
    if (how == ForeignAccess::Forced && !(vma.prot & abi::PROT_WRITE)) return FaultResult::SegvAccErr;
    return make_shared_writable(vma, table, address);
}

/// A private page gets an own frame, unless nobody else has it any more.
FaultResult AddressSpace::break_copy_on_write(Vma& vma, Page& table, VirtAddr address, Entry seen) {
    Page* page = counted_page(vma, Policy::address(seen, 0));
    if (!page) return copy_private_page(vma, table, address, seen, {});
    PageRef original;
    {
        Cursor cursor(table, address);
        Entry entry = cursor.entry();
        if (Policy::is_empty(entry) || Policy::address(entry, 0) != Policy::address(seen, 0))
            return FaultResult::Resolved;
        if (page->kind == PageKind::Anonymous && page->refs.load(std::memory_order_acquire) == 1) {
            // Only this entry refers to it, and new references are made under this lock.
            cursor.set(Policy::at_frame(full_model(vma), page_address(*page)));
            cursor.unlock();
            flush_here(address);
            return FaultResult::Resolved;
        }
        original = PageRef::share(*page);
    }
    return copy_private_page(vma, table, address, seen, std::move(original));
}

/// `original` is empty for the zero page.
[[gnu::noinline]] FaultResult AddressSpace::copy_private_page(Vma& vma, Page& table, VirtAddr address, Entry seen,
                                                              PageRef original) {
    bool has_contents = static_cast<bool>(original); // else it is the zero page
    auto copy = allocate_page(has_contents ? PageZeroing::Uninitialised : PageZeroing::Zeroed, PageKind::Anonymous);
    if (!copy) return FaultResult::OutOfMemory;
    if (has_contents) copy_page(copy->data(), original.data());
    if (vma.prot & abi::PROT_EXEC) sync_code(**copy);
    count_event(Event::CopyOnWrite);
    vma.has_private_pages.store(true, std::memory_order_relaxed);

    TlbBatch batch(*this);
    Cursor cursor(table, address);
    Entry entry = cursor.entry();
    if (Policy::is_empty(entry) || Policy::address(entry, 0) != Policy::address(seen, 0) ||
        Policy::flags(entry, 0).writable)
        return FaultResult::Resolved;
    cursor.set(Policy::at_frame(full_model(vma), copy->address()));
    if (!has_contents || original->kind != PageKind::Anonymous) cursor.count_anonymous(1);
    cursor.unlock();
    (void)copy->release();
    count_resident(PageKind::Anonymous, 1);
    batch.note(address);
    if (has_contents) {
        count_resident(original->kind, -1);
        if (original->kind != PageKind::Anonymous) note_unmapped(*original);
        batch.add_page(*original.get()); // the entry's reference
    }
    return FaultResult::Resolved;
}

} // namespace linnet::mm
