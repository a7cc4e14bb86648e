// Access to an address space by others than its own threads: ptrace, /proc/PID/mem, process_vm_readv, exec building a
// stack.
#include "huge_pages.hpp"
#include "space.hpp"
#include <cstring>

namespace linnet::mm {

/// The page that shows at `address`, if the access may go on with it as it is; else empty. The mmap lock is held. The
/// reference is taken under the entry's lock: madvise may take the page out at any time.
PageRef AddressSpace::find_accessible_page(Vma& vma, VirtAddr address, arch::Access access, ForeignAccess how) {
    if (how == ForeignAccess::Checked && !allows(vma.prot, access)) return {};
    const bool may_force_read = how == ForeignAccess::Forced && (vma.max_prot & abi::PROT_READ);
    if (access != arch::Access::Write && vma.prot == 0 && !may_force_read) return {};
    // What may be written is a private page that nobody shares, or what is writable through its entry.
    auto may_access = [&](arch::MappingFlags flags, bool is_own) {
        if (access != arch::Access::Write || flags.writable) return true;
        return how == ForeignAccess::Forced && !vma.is(vma_shared) && is_own &&
               (!tracks_writes(vma) || flags.soft_dirty);
    };
    Entry* slot = tables_.find_leaf_slot(address);
    if (!slot) return {};
    if (Policy::is_leaf(Table::load(slot), 1)) {
        HugeTableCursor cursor(slot);
        Entry entry = cursor.entry();
        if (!Policy::is_leaf(entry, 1)) return {};
        Page* head = page_of(Policy::address(entry, 1));
        bool is_own = is_private_block(*head) && is_only_huge_mapping(*head);
        if (!may_access(Policy::flags(entry, 1), is_own)) return {};
        return PageRef::share(head[Table::index(address, 0)]);
    }
    Page* table = Table::leaf_table_in(slot);
    if (!table || (access == arch::Access::Write && is_shared_table(*table))) return {};
    Cursor cursor(*table, address);
    Entry entry = cursor.entry();
    if (Policy::is_empty(entry)) return {};
    Page* page = page_of(Policy::address(entry, 0));
    bool is_own = page->kind == PageKind::Anonymous && page->refs.load(std::memory_order_acquire) == 1;
    if (!may_access(Policy::flags(entry, 0), is_own)) return {};
    return PageRef::share(*page);
}

/// False when a fault is due first. The mmap lock is held. EFAULT.
Result<bool> AddressSpace::try_use_page(VirtAddr address, arch::Access access, ForeignAccess how,
                                        FunctionRef<void(Page&)> use) {
    Vma* vma = vmas_.find(address);
    if (!vma) return false;
    if (!is_lendable(*vma)) return error(Errno::EFAULT);
    if (access == arch::Access::Write && how == ForeignAccess::Forced) mmap_lock_.claim(*vma);
    PageRef page = find_accessible_page(*vma, address, access, how);
    if (!page) return false;
    use(*page);
    return true;
}

Result<void> AddressSpace::use_page(VirtAddr address, arch::Access access, ForeignAccess how,
                                    FunctionRef<void(Page&)> use) {
    if (address >= arch::user_address_end) return error(Errno::EFAULT);
    address = page_floor(address);
    // Fork waits for the lock: what is written is in parent and child, or in the one that it was meant for. A write
    // by force goes to a page whose entry needn't be writable; a fault, or another's write, that met our reference to
    // it would take it for shared, copy it meanwhile and lose the write. So these have the address space to themselves.
    bool is_alone = how == ForeignAccess::Forced && access == arch::Access::Write;
    for (;;) {
        bool used;
        if (is_alone) {
            core::WriteGuard guard(mmap_lock_);
            used = TRY(try_use_page(address, access, how, use));
        } else {
            core::ReadGuard guard(mmap_lock_);
            used = TRY(try_use_page(address, access, how, use));
        }
        if (used) return {};
        switch (fault_with_growth(address, access, how)) {
        case FaultResult::Resolved:
            break;
        case FaultResult::OutOfMemory:
            return error(Errno::ENOMEM);
        default:
            return error(Errno::EFAULT);
        }
    }
}

/// The pages at the first of `addresses`, up to one that needs a fault. The mmap lock is held. EFAULT.
Result<usize> AddressSpace::gather_pages(std::span<const VirtAddr> addresses, arch::Access access,
                                         std::span<PageRef> pages) {
    usize count = 0;
    for (; count < addresses.size(); ++count) {
        const VirtAddr address = page_floor(addresses[count]);
        Vma* vma = vmas_.find(address);
        if (vma && !is_lendable(*vma)) return count > 0 ? Result<usize>{count} : error(Errno::EFAULT);
        if (vma) pages[count] = find_accessible_page(*vma, address, access, ForeignAccess::Checked);
        if (!vma || !pages[count]) break;
    }
    return count;
}

Result<usize> AddressSpace::hold_pages(std::span<const VirtAddr> addresses, arch::Access access,
                                       std::span<PageRef> pages, FunctionRef<void(usize)> use) {
    VERIFY(!addresses.empty() && pages.size() >= addresses.size());
    core::Thread& self = core::current_thread();
    for (bool has_faulted = false;; has_faulted = true) {
        usize count = 0;
        {
            core::ReadGuard guard(mmap_lock_);
            count = TRY(gather_pages(addresses, access, pages));
            const bool is_enough = count == addresses.size() || (count > 0 && has_faulted);
            if (is_enough) {
                // As in a fault: nobody is killed for memory while others may wait for the lock.
                const bool asks = std::exchange(self.asks_for_memory, true);
                use(count);
                self.asks_for_memory = asks;
            }
            for (PageRef& page : pages.first(count)) page = PageRef();
            if (is_enough) return count;
        }
        for (usize i = count; i < addresses.size(); ++i) {
            const FaultResult fault = fault_with_growth(addresses[i], access, ForeignAccess::Checked);
            if (fault == FaultResult::Resolved) continue;
            if (i == 0) return error(fault == FaultResult::OutOfMemory ? Errno::ENOMEM : Errno::EFAULT);
            break;
        }
    }
}

/// Calls copy(Page&, usize offset in it, usize done, usize count) for each page's part of [address, +length).
template <typename Copy>
Result<usize> AddressSpace::copy_by_pages(VirtAddr address, usize length, arch::Access access, ForeignAccess how,
                                          Copy copy) {
    usize done = 0;
    while (done < length) {
        VirtAddr at = address + done;
        usize offset = at.value & (arch::page_size - 1);
        usize count = std::min(length - done, arch::page_size - offset);
        auto used = use_page(at, access, how, [&](Page& page) { copy(page, offset, done, count); });
        if (!used) {
            if (done > 0) break;
            return error(used.error());
        }
        done += count;
    }
    return done;
}

Result<usize> AddressSpace::read_memory(VirtAddr address, std::span<u8> to, ForeignAccess how) {
    auto read = [&](Page& page, usize offset, usize done, usize count) {
        std::memcpy(to.data() + done, page_data<u8>(page) + offset, count);
    };
    return copy_by_pages(address, to.size(), arch::Access::Read, how, read);
}

Result<usize> AddressSpace::write_memory(VirtAddr address, std::span<const u8> from, ForeignAccess how) {
    auto write = [&](Page& page, usize offset, usize done, usize count) {
        std::memcpy(page_data<u8>(page) + offset, from.data() + done, count);
        page.clear(page_code_synced);
        arch::synchronise_instruction_cache(page_data<u8>(page) + offset, count);
    };
    return copy_by_pages(address, from.size(), arch::Access::Write, how, write);
}

Result<MemoryIdentity> AddressSpace::identify(VirtAddr address) {
    core::ReadGuard guard(mmap_lock_);
    Vma* vma = vmas_.find(address);
    if (!vma) return error(Errno::EFAULT);
    if (!vma->is(vma_shared)) return private_identity(address);
    u64 offset = (vma->index_of(page_floor(address)) << arch::page_shift) | (address.value & (arch::page_size - 1));
    return MemoryIdentity{vma->object->identity(), offset};
}

} // namespace linnet::mm
