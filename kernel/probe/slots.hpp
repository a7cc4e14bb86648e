// Where an address space has the copies of probed instructions that are executed out of line: a page that only it maps,
// "[uprobes]" in /proc/PID/maps. What is in a slot depends on the probe alone, so all threads that are at one use the
// same; a slot that nobody uses may be given to another probe. The first holds a breakpoint only: functions whose
// return is to be noticed return there.
#pragma once

#include <arch/probe.hpp>
#include <core/spinlock.hpp>
#include <core/wait_queue.hpp>
#include <mm/address_space.hpp>
#include <mm/code_probes.hpp>

namespace linnet::probe {

class Area final : public mm::AddressSpaceProbes {
public:
    static constexpr u32 slot_count = arch::page_size / arch::probe_slot_size;

    /// The current program's, made when it has none yet. ENOMEM.
    static Result<Area*> of(mm::AddressSpace& space);
    /// Made for a copy of an address space, in the same place.
    static Result<void> copy(const Area& from, mm::AddressSpace& to);
    static Area* find(mm::AddressSpace& space) {
        return static_cast<Area*>(space.probes.load(std::memory_order_acquire));
    }

    [[nodiscard]] VirtAddr trampoline() const { return base_; }
    [[nodiscard]] VirtAddr address_of(u32 slot) const { return base_ + u64{slot} * arch::probe_slot_size; }
    /// A slot with the copy of a probe's instruction; waits while all are in use. Interrupted: the thread dies.
    Result<u32> take(u64 probe, const arch::ProbedInstruction& instruction);
    void give_back(u32 slot);

private:
    Area(VirtAddr base, mm::PageRef page) : base_(base), page_(std::move(page)) {}
    static Result<void> make(mm::AddressSpace& space, VirtAddr where);
    [[nodiscard]] u8* bytes_of(u32 slot) const;
    u32 choose(u64 probe, bool& has_copy);

    const VirtAddr base_;
    const mm::PageRef page_;
    core::SpinLock lock_;
    struct Slot {
        u64 probe = 0; // 0: none, or being filled
        u32 users = 0;
    };
    Slot slots_[slot_count];
    core::WaitQueue freed_;
};

} // namespace linnet::probe
