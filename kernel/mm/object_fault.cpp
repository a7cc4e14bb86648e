// Faults on mappings of objects: files, shared memory, physical ranges.
//
// A page is looked up without the table's lock, so truncation may take it away meanwhile; under the lock the object
// must still hold it and its size still reach there (see vm_object.cpp).
#include "events.hpp"
#include "space.hpp"

#include <mm/page_cache.hpp>

namespace linnet::mm {

namespace {

constexpr usize around_pages = 16;

/// Whether what is mapped for reading may be written to without another fault.
bool is_writable_unasked(const Vma& vma) {
    return vma.is(vma_shared) && !vma.object->wants_write_faults() && !tracks_writes(vma);
}

ReadAdvice advice_of(const Vma& vma) {
    if (vma.is(vma_random_read)) return ReadAdvice::Random;
    return vma.is(vma_sequential_read) ? ReadAdvice::Sequential : ReadAdvice::Normal;
}

FaultResult result_of(Errno code) { return code == Errno::ENOMEM ? FaultResult::OutOfMemory : FaultResult::BusAdrErr; }

} // namespace

FaultResult AddressSpace::fault_object(Vma& vma, Page& table, VirtAddr address, arch::Access access) {
    if (is_physical(vma)) return fault_physical(vma, table, address);
    VmObject& object = *vma.object;
    object.let_gather();
    u64 index = vma.index_of(address);
    if (!is_inside(object, index)) return FaultResult::BusAdrErr;
    if (access == arch::Access::Write && !vma.is(vma_shared)) return fault_private_write(vma, table, address);
    FileObject* const file = object.as_file();
    if (access != arch::Access::Write && map_around(vma, table, address) > 0) {
        if (file) file->note_found_around();
        return FaultResult::Resolved;
    }
    bool was_resident = static_cast<bool>(object.find_page(index));
    if (file && !was_resident) file->read_around(index, advice_of(vma));
    auto page = object.get_page(index, access);
    if (!page) return page.error() == Errno::EINTR ? FaultResult::Resolved : result_of(page.error());
    if (!was_resident && object.kind() == VmObject::Kind::File) count_event(Event::MajorFault);
    Cursor cursor(table, address);
    bool writable = access == arch::Access::Write ? vma.is(vma_shared) : is_writable_unasked(vma);
    const Entry model = writable ? full_model(vma) : read_only_model(vma);
    Page& frame = **page;
    PageKind kind = frame.kind;
    if (Policy::is_empty(cursor.entry()) && is_inside(object, index) &&
        map_object_page(vma, cursor, *page, index, model)) {
        count_resident(kind, 1);
        // It may have been stored since it was asked for; what is written through the entry nobody will notice.
        if (access == arch::Access::Write && object.wants_write_faults()) note_dirty(frame);
    }
    // When truncation was faster the access faults again and finds the end of the file.
    return FaultResult::Resolved;
}

/// Enters `page` if the object still has it; the entry takes over the reference. The entry is empty, and the object's
/// size has been looked at under the table's lock.
bool AddressSpace::map_object_page(Vma& vma, Cursor& cursor, PageRef& page, u64 index, Entry model) {
    if (!vma.object->still_holds(*page, index)) return false;
    if (vma.prot & abi::PROT_EXEC) sync_code(*page);
    cursor.set(Policy::at_frame(model, page.address()));
    note_mapped(*page);
    (void)page.release();
    return true;
}

/// Maps the page and its resident neighbours, of one aligned window; returns how many, or 0 when the page itself isn't
/// resident.
usize AddressSpace::map_around(Vma& vma, Page& table, VirtAddr address) {
    constexpr u64 window = around_pages * arch::page_size;
    VirtAddr begin{align_down(address.value, window)};
    VirtAddr end = begin + window;
    begin = std::max(begin, vma.begin);
    end = std::min(end, vma.end);
    if (vma.is(vma_random_read)) begin = address, end = address + arch::page_size;
    u64 first = vma.index_of(begin);
    u64 inside = divide_up(vma.object->size(), arch::page_size);
    if (first >= inside) return 0;
    usize count = static_cast<usize>(std::min(pages_in(end - begin), inside - first));
    PageRef pages[around_pages];
    usize found = vma.object->find_pages(first, std::span(pages, count));
    usize wanted = static_cast<usize>(pages_in(address - begin));
    if (found == 0 || wanted >= count || !pages[wanted]) return 0;
    PageKind kind = pages[wanted]->kind;
    const Entry model = is_writable_unasked(vma) ? full_model(vma) : read_only_model(vma);
    usize mapped = 0;
    Cursor cursor(table, begin);
    inside = divide_up(vma.object->size(), arch::page_size);
    for (usize i = 0; i < count && first + i < inside; ++i, cursor.advance())
        if (pages[i] && Policy::is_empty(cursor.entry()) && map_object_page(vma, cursor, pages[i], first + i, model))
            ++mapped;
    cursor.unlock();
    if (mapped > 0) count_resident(kind, static_cast<i64>(mapped));
    return mapped > 0 ? mapped : 1;
}

/// The first touch of a private page is a write: it gets its copy at once.
FaultResult AddressSpace::fault_private_write(Vma& vma, Page& table, VirtAddr address) {
    VmObject& object = *vma.object;
    u64 index = vma.index_of(address);
    if (FileObject* file = object.as_file(); file && !object.find_page(index)) file->read_around(index, advice_of(vma));
    auto original = object.get_page(index, arch::Access::Read);
    if (!original) return original.error() == Errno::EINTR ? FaultResult::Resolved : result_of(original.error());
    auto copy = allocate_page(PageZeroing::Uninitialised, PageKind::Anonymous);
    if (!copy) return FaultResult::OutOfMemory;
    copy_page(copy->data(), original->data());
    if (vma.prot & abi::PROT_EXEC) sync_code(**copy);
    count_event(Event::CopyOnWrite);
    vma.has_private_pages.store(true, std::memory_order_relaxed);
    Cursor cursor(table, address);
    if (!Policy::is_empty(cursor.entry())) return FaultResult::Resolved;
    if (!object.still_holds(**original, index) || !is_inside(object, index)) return FaultResult::Resolved;
    cursor.set(Policy::at_frame(full_model(vma), copy->address()));
    cursor.count_anonymous(1);
    cursor.unlock();
    (void)copy->release();
    count_resident(PageKind::Anonymous, 1);
    return FaultResult::Resolved;
}

FaultResult AddressSpace::fault_physical(Vma& vma, Page& table, VirtAddr address) {
    auto& object = static_cast<PhysicalObject&>(*vma.object);
    auto frame = object.physical_address(vma.index_of(address));
    if (!frame) return FaultResult::BusAdrErr;
    arch::MappingFlags flags = physical_flags(vma, full_flags(vma));
    Cursor cursor(table, address);
    if (Policy::is_empty(cursor.entry())) cursor.set(Policy::make_leaf(*frame, flags, 0));
    return FaultResult::Resolved;
}

/// A write to a shared page whose writes are watched: the object is told, then the entry lets writes through.
FaultResult AddressSpace::make_shared_writable(Vma& vma, Page& table, VirtAddr address) {
    if (is_physical(vma)) return FaultResult::SegvAccErr;
    u64 index = vma.index_of(address);
    auto page = vma.object->get_page(index, arch::Access::Write);
    if (!page) return page.error() == Errno::EINTR ? FaultResult::Resolved : result_of(page.error());
    Cursor cursor(table, address);
    Entry entry = cursor.entry();
    if (Policy::is_empty(entry) || Policy::address(entry, 0) != page->address()) return FaultResult::Resolved;
    cursor.set(Policy::at_frame(full_model(vma), page->address()));
    note_dirty(**page); // it may have been stored meanwhile
    cursor.unlock();
    flush_here(address);
    return FaultResult::Resolved;
}

} // namespace linnet::mm
