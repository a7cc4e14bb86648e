// Writing breakpoints into code and taking them out again.
#include <mm/code_probes.hpp>

#include "space.hpp"
#include <cstring>
#include <utility>

namespace linnet::mm {
namespace {

/// In one access: other CPUs may be executing it.
void store_at_once(u8* place, std::span<const u8> bytes) {
    if (bytes.size() == sizeof(u32)) {
        u32 word;
        std::memcpy(&word, bytes.data(), sizeof word);
        __atomic_store_n(reinterpret_cast<u32*>(place), word, __ATOMIC_RELEASE);
    } else if (bytes.size() == sizeof(u16)) {
        u16 word;
        std::memcpy(&word, bytes.data(), sizeof word);
        __atomic_store_n(reinterpret_cast<u16*>(place), word, __ATOMIC_RELEASE);
    } else {
        __atomic_store_n(place, bytes[0], __ATOMIC_RELEASE);
    }
}

VirtAddr place_in(const Vma& vma, u64 offset) { return vma.begin + (offset - (vma.first_index << arch::page_shift)); }

} // namespace

/// The first mapping that ends behind `from` and shows the place.
Vma* AddressSpace::find_code(const CodePatch& patch, VirtAddr from) {
    const bool plants = patch.purpose == CodePatch::Purpose::Plant;
    for (Vma* vma = vmas_.find_ending_after(from); vma; vma = VmaMap::next(*vma)) {
        if (vma->object.get() != &patch.object || vma->is(vma_shared) || !(vma->max_prot & abi::PROT_EXEC)) continue;
        if (plants && (vma->prot & abi::PROT_WRITE)) continue;
        const u64 index = patch.offset >> arch::page_shift;
        if (index >= vma->first_index && index - vma->first_index < vma->page_count()) return vma;
    }
    return nullptr;
}

/// A copy of the private page, with the bytes replaced, takes its place: who executes the old one meanwhile never meets
/// bytes that change under him. False: a fault must make it private first. ENOMEM.
Result<bool> AddressSpace::replace_code(Vma& vma, VirtAddr address, const CodePatch& patch) {
    mmap_lock_.claim(vma);
    PageRef original = find_accessible_page(vma, address, arch::Access::Write, ForeignAccess::Forced);
    Page* table = original ? Table::leaf_table_in(tables_.find_leaf_slot(address)) : nullptr;
    if (!table) return false;
    const usize within = patch.offset & (arch::page_size - 1);
    if (vma.prot & abi::PROT_WRITE) { // the program may be writing to the page
        u8* place = page_data<u8>(*original.get()) + within;
        store_at_once(place, patch.to);
        original->clear(page_code_synced);
        arch::synchronise_instruction_cache(place, patch.to.size());
        return true;
    }
    // Whoever waits for memory here would hold the mmap lock: nobody is killed for it.
    core::Thread& self = core::current_thread();
    const bool asks = std::exchange(self.asks_for_memory, true);
    auto copy = allocate_page(PageZeroing::Uninitialised, PageKind::Anonymous);
    self.asks_for_memory = asks;
    if (!copy) return error(Errno::ENOMEM);
    copy_page(copy->data(), original.data());
    std::memcpy(static_cast<u8*>(copy->data()) + within, patch.to.data(), patch.to.size());
    sync_code(**copy);
    TlbBatch batch(*this);
    Cursor cursor(*table, address);
    cursor.set(Policy::at_frame(full_model(vma), copy->address()));
    cursor.unlock();
    (void)copy->release();
    batch.note(address);
    batch.add_page(*original.get()); // the entry's reference
    return true;
}

Result<bool> AddressSpace::patch_code(const CodePatch& patch) {
    bool has_changed = false;
    const usize within = patch.offset & (arch::page_size - 1);
    for (VirtAddr from{};;) {
        VirtAddr address;
        {
            core::WriteGuard guard(mmap_lock_);
            Vma* vma = find_code(patch, from);
            if (!vma) return has_changed;
            address = page_floor(place_in(*vma, patch.offset));
            // What is there already is left alone, and so is what the program has put there.
            bool must_change = true;
            const auto seen = try_use_page(address, arch::Access::Read, ForeignAccess::Forced, [&](Page& page) {
                must_change = std::memcmp(page_data<u8>(page) + within, patch.from.data(), patch.from.size()) == 0;
            });
            const bool is_absent = seen && !*seen && patch.purpose == CodePatch::Purpose::Remove;
            auto done = Result<bool>(true);
            if (seen && must_change && !is_absent) {
                done = replace_code(*vma, address, patch);
                has_changed |= TRY(done);
            }
            if (!seen || *done) {
                from = vma->end;
                continue;
            }
        }
        switch (fault_with_growth(address, arch::Access::Write, ForeignAccess::Forced)) {
        case FaultResult::Resolved:
            break;
        case FaultResult::OutOfMemory:
            return error(Errno::ENOMEM);
        default:
            from = address + arch::page_size; // behind the end of the file, or changed meanwhile
        }
    }
}

AddressSpace::ObjectPlace AddressSpace::object_place(VirtAddr address) {
    core::ReadGuard guard(mmap_lock_);
    const Vma* vma = vmas_.find(address);
    if (!vma || !vma->object) return {};
    return {vma->object.get(), (vma->first_index << arch::page_shift) + (address - vma->begin)};
}

} // namespace linnet::mm
