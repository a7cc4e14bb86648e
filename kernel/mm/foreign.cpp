// Access to an address space by others than its own threads: ptrace, /proc/PID/mem, process_vm_readv, exec building a
// stack.
#include "space.hpp"
#include <cstring>

namespace linnet::mm {

Result<PageRef> AddressSpace::get_user_page(VirtAddr address, arch::Access access, ForeignAccess how) {
    if (address >= arch::user_address_end) return error(Errno::EFAULT);
    address = page_floor(address);
    bool wants_write = access == arch::Access::Write;
    for (;;) {
        {
            core::ReadGuard guard(mmap_lock_);
            Vma* vma = vmas_.find(address);
            if (vma && !is_lendable(*vma)) return error(Errno::EFAULT);
            Page* table = vma ? tables_.find_leaf_table(address) : nullptr;
            if (table && (how == ForeignAccess::Forced || allows(vma->prot, access))) {
                Cursor cursor(*table, address);
                Entry entry = cursor.entry();
                if (!Policy::is_empty(entry)) {
                    Page* page = page_of(Policy::address(entry, 0));
                    // What may be written through its entry, or is a private page that nobody shares.
                    bool is_own = page->kind == PageKind::Anonymous &&
                                  page->refs.load(std::memory_order_acquire) == 1 && !vma->is(vma_shared);
                    bool may_force = how == ForeignAccess::Forced && (vma->max_prot & abi::PROT_READ);
                    bool readable = vma->prot != 0 || may_force;
                    bool may_write = Policy::flags(entry, 0).writable || (is_own && how == ForeignAccess::Forced);
                    if (wants_write ? may_write && !is_shared_table(*table) : readable) return PageRef::share(*page);
                }
            }
        }
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

Result<usize> AddressSpace::read_memory(VirtAddr address, std::span<u8> to, ForeignAccess how) {
    usize done = 0;
    while (done < to.size()) {
        VirtAddr at = address + done;
        usize offset = at.value & (arch::page_size - 1);
        usize count = std::min(to.size() - done, arch::page_size - offset);
        auto page = get_user_page(at, arch::Access::Read, how);
        if (!page) {
            if (done > 0) break;
            return error(page.error());
        }
        std::memcpy(to.data() + done, page->data<u8>() + offset, count);
        done += count;
    }
    return done;
}

Result<usize> AddressSpace::write_memory(VirtAddr address, std::span<const u8> from, ForeignAccess how) {
    usize done = 0;
    while (done < from.size()) {
        VirtAddr at = address + done;
        usize offset = at.value & (arch::page_size - 1);
        usize count = std::min(from.size() - done, arch::page_size - offset);
        auto page = get_user_page(at, arch::Access::Write, how);
        if (!page) {
            if (done > 0) break;
            return error(page.error());
        }
        std::memcpy(page->data<u8>() + offset, from.data() + done, count);
        (*page)->clear(page_code_synced);
        arch::synchronise_instruction_cache(page->data<u8>() + offset, count);
        done += count;
    }
    return done;
}

Result<MemoryIdentity> AddressSpace::identify(VirtAddr address) {
    core::ReadGuard guard(mmap_lock_);
    Vma* vma = vmas_.find(address);
    if (!vma) return error(Errno::EFAULT);
    if (!vma->is(vma_shared)) return MemoryIdentity{this, address.value};
    u64 offset = (vma->index_of(page_floor(address)) << arch::page_shift) | (address.value & (arch::page_size - 1));
    return MemoryIdentity{vma->object.get(), offset};
}

} // namespace linnet::mm
