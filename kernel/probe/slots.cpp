// Making the page of slots, and giving slots out.
#include "slots.hpp"

#include <abi/linux/mman.hpp>
#include <core/sched.hpp>
#include <cstring>
#include <new>

namespace linnet::probe {
namespace {

constinit core::LockClass making_class("areas of probes");
constinit core::Mutex making_lock(making_class);
constinit mm::ConstantLabel label("[uprobes]");

} // namespace

Result<void> Area::make(mm::AddressSpace& space, VirtAddr where) {
    RefPtr<mm::AnonObject> object = TRY(mm::AnonObject::create(arch::page_size, mm::VmObject::Commitment::None));
    mm::PageRef page = TRY(object->get_page(0, arch::Access::Write));
    for (usize at = 0; at < arch::page_size; at += sizeof arch::probe_breakpoint)
        std::memcpy(static_cast<u8*>(page.data()) + at, arch::probe_breakpoint, sizeof arch::probe_breakpoint);
    arch::synchronise_instruction_cache(page.data(), arch::page_size);
    mm::MapRequest request;
    request.address = where;
    request.length = arch::page_size;
    request.prot = request.max_prot = abi::PROT_EXEC;
    // Shared, so that not even a tracer gets a copy of it.
    request.flags = abi::MAP_SHARED | (where.value ? abi::MAP_FIXED_NOREPLACE : 0);
    request.object = NullableRefPtr<mm::VmObject>(object.get());
    request.label = NullableRefPtr<mm::MappingLabel>(&label);
    request.vma_flags = mm::vma_special | mm::vma_dont_dump | mm::vma_dont_fork;
    request.limits = mm::MapRequest::Limits::Ignored;
    const VirtAddr base = TRY(space.map(request));
    Area* area = new (std::nothrow) Area(base, std::move(page));
    if (!area) {
        (void)space.unmap(base, arch::page_size);
        return error(Errno::ENOMEM);
    }
    space.probes.store(area, std::memory_order_release);
    return {};
}

Result<Area*> Area::of(mm::AddressSpace& space) {
    if (Area* area = find(space)) return area;
    core::MutexGuard guard(making_lock);
    if (!find(space)) TRY(make(space, {}));
    return find(space);
}

Result<void> Area::copy(const Area& from, mm::AddressSpace& to) { return make(to, from.base_); }

u8* Area::bytes_of(u32 slot) const { return static_cast<u8*>(page_.data()) + usize{slot} * arch::probe_slot_size; }

/// 0: all are in use.
u32 Area::choose(u64 probe, bool& has_copy) {
    const u32 usual = 1 + static_cast<u32>(probe % (slot_count - 1));
    u32 free = slots_[usual].users == 0 ? usual : 0;
    has_copy = slots_[usual].probe == probe;
    if (has_copy || free) return usual;
    for (u32 slot = 1; slot < slot_count; ++slot) {
        has_copy = slots_[slot].probe == probe;
        if (has_copy) return slot;
        if (!free && slots_[slot].users == 0) free = slot;
    }
    return free;
}

Result<u32> Area::take(u64 probe, const arch::ProbedInstruction& instruction) {
    u32 slot = 0;
    bool has_copy = false;
    const auto try_take = [&] {
        core::SpinGuard guard(lock_);
        slot = choose(probe, has_copy);
        if (slot == 0) return false;
        ++slots_[slot].users;
        if (!has_copy) slots_[slot].probe = 0;
        return true;
    };
    if (!try_take() &&
        core::wait_until(freed_, core::Sleep::Killable, core::Deadline::never(), try_take) != core::WaitResult::Ready)
        return error(Errno::EINTR);
    if (has_copy) return slot;
    std::memcpy(bytes_of(slot), instruction.slot, instruction.slot_length);
    arch::synchronise_instruction_cache(bytes_of(slot), instruction.slot_length);
    core::synchronise_all_instruction_streams();
    core::SpinGuard guard(lock_);
    slots_[slot].probe = probe;
    return slot;
}

void Area::give_back(u32 slot) {
    bool is_free;
    {
        core::SpinGuard guard(lock_);
        is_free = --slots_[slot].users == 0;
    }
    if (is_free && !freed_.is_empty()) freed_.wake_all();
}

} // namespace linnet::probe
