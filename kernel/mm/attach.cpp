// shmdt(2): a mapping belongs to an attachment at `address` when it shows the page of the object that the attachment
// would show there, even after parts of it were unmapped or protected apart.
#include "space.hpp"

namespace linnet::mm {

namespace {

bool shows_attachment(const Vma& vma, VirtAddr address) {
    return vma.object && vma.object->is_attachable() && vma.first_index == pages_in(vma.begin - address);
}

} // namespace

Result<void> AddressSpace::detach(VirtAddr address) {
    if (!is_aligned(address.value, arch::page_size)) return error(Errno::EINVAL);
    DoomedVmas doomed;
    core::WriteGuard guard(mmap_lock_);
    Vma* vma = vmas_.find_ending_after(address);
    while (vma && (vma->begin < address || !shows_attachment(*vma, address))) vma = vmas_.next(*vma);
    if (!vma) return error(Errno::EINVAL);
    VmObject* object = vma->object.get();
    VirtAddr end = address + align_up(object->size(), arch::page_size);
    for (;;) {
        VirtAddr begin = vma->begin, stop = vma->end;
        TRY(unmap_locked(begin, stop, doomed));
        vma = vmas_.find_ending_after(stop);
        while (vma && vma->end <= end && !(vma->object.get() == object && shows_attachment(*vma, address)))
            vma = vmas_.next(*vma);
        if (!vma || vma->end > end) return {};
    }
}

} // namespace linnet::mm
