// mseal(2): mappings whose place, rights and contents user code can't change any more.
//
// Sealing is a mark on the mapping that keeps it from merging with others; whoever unmaps, moves or protects asks for
// it under the mmap lock.
#include "vma_edit.hpp"

namespace linnet::mm {

Result<void> AddressSpace::seal(VirtAddr address, u64 length) {
    if (!is_aligned(address.value, arch::page_size)) return error(Errno::EINVAL);
    u64 rounded = align_up(length, arch::page_size);
    if ((length != 0 && rounded == 0) || address.value + rounded < address.value) return error(Errno::EINVAL);
    if (rounded == 0) return {};
    if (!arch::is_user_range(address, rounded)) return error(Errno::ENOMEM);
    VirtAddr end = address + rounded;
    core::WriteGuard guard(mmap_lock_);
    // All or nothing as far as holes go.
    for (VirtAddr at = address; at < end;) {
        Vma* vma = vmas_.find(at);
        if (!vma) return error(Errno::ENOMEM);
        at = vma->end;
    }
    has_seals_ = true;
    return change_each(address, end, [](Vma& part) -> Result<void> {
        part.flags |= vma_sealed;
        return {};
    });
}

/// EPERM when part of the range is sealed: then nothing is unmapped at all.
Result<void> AddressSpace::check_unsealed(VirtAddr begin, VirtAddr end) {
    if (!has_seals_) return {};
    for (Vma* vma = vmas_.find_ending_after(begin); vma && vma->begin < end; vma = vmas_.next(*vma))
        if (vma->is(vma_sealed)) return error(Errno::EPERM);
    return {};
}

} // namespace linnet::mm
