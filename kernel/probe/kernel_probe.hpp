// What the planting of kernel probes (kernel_probe.cpp), their hits (kernel_hits.cpp) and their returns
// (kernel_returns.cpp) share.
//
// Locks: `kernel_probes_lock` (Mutex) guards which places are probed. Hits take no lock but those of return slots,
// which are leaves and not to be probed themselves: they find probes and clients in lists that are changed by single
// stores; what is taken out of one is given up when every CPU has answered a call, for hits have interrupts off.
//
// What comes before a CPU knows that it is in a probe must not be probed: the functions of these files' hot part and of
// the architectures' traps are in the section .text.noprobe, and so is all assembly.
#pragma once

#include <core/spinlock.hpp>
#include <core/thread.hpp>
#include <probe/kernel_probe.hpp>

extern "C" const linnet::u8 kernel_probe_slots[];

namespace linnet::probe {

/// One place.
class KernelProbe {
public:
    KernelProbe(u64 where, const arch::ProbedInstruction& what, u64 slot_at)
        : address(where), instruction(what), slot(slot_at) {}

    const u64 address;
    const arch::ProbedInstruction instruction;
    const u64 slot; // where its copy is
    u8 original[sizeof arch::probe_breakpoint] = {};
    std::atomic<KernelProbe*> next{nullptr}; // in its bucket
    std::atomic<KernelProbeClient*> clients{nullptr};

    /// Where the copy's breakpoint stands.
    [[nodiscard]] u64 end_of_copy() const { return slot + instruction.slot_length - sizeof arch::probe_breakpoint; }
};

inline constexpr usize kernel_probe_buckets = 256;
inline constinit std::atomic<KernelProbe*> kernel_probes[kernel_probe_buckets] = {};
inline std::atomic<KernelProbe*>& kernel_probe_bucket(u64 address) {
    return kernel_probes[(address * 0x9e37'79b9'7f4a'7c15) >> 56];
}
static_assert(kernel_probe_buckets == 256);

/// Where functions return to whose return is followed: the architecture's own code, or the first slot, which holds a
/// breakpoint only.
inline u64 kernel_trampoline() {
    return reinterpret_cast<u64>(arch::returns_without_trap ? arch_kernel_return_entry : kernel_probe_slots);
}

/// Puts bytes into the kernel's text while all other CPUs wait outside of it. May sleep. ENOMEM.
Result<void> write_kernel_text(u64 address, std::span<const u8> bytes);
/// Waits until every hit that had begun has ended. May sleep.
void wait_for_kernel_hits();

/// A call that is to be noticed when it returns.
struct ReturnSlot {
    ReturnSlot* next = nullptr; // in a bucket, or among the free ones
    ReturnSlots* owner = nullptr;
    u64 function = 0, caller = 0;
    u64 stack = 0; // the stack pointer at its first instruction
};

/// Those of one client, which may go before they all have returned.
class ReturnSlots {
public:
    static Result<ReturnSlots*> create(KernelProbeClient& client, u32 count);
    ~ReturnSlots() { delete[] slots_; }

    std::atomic<KernelProbeClient*> client; // null: gone
    std::atomic<u32> in_use{0};
    ReturnSlots* next = nullptr; // among those whose client is gone
    /// Interrupts off.
    ReturnSlot* take();
    void give_back(ReturnSlot& slot);

private:
    ReturnSlots() = default;
    ReturnSlot* slots_ = nullptr;
    core::RawSpinLock lock_;
    ReturnSlot* free_ = nullptr;
};

/// The function's first instruction is about to be executed: it will return to the trampoline. False: no slot is left.
bool follow_kernel_return(ReturnSlots& slots, arch::ProbeRegisters registers);
/// It has come to the trampoline; tells clients, if `tells`, and goes on at the caller. False: nobody has sent it
/// there.
bool take_kernel_return(arch::ProbeRegisters registers, bool tells);

/// The kernel's memory, as it is.
class KernelMemory final : public arch::ProbeMemory {
public:
    bool load(u64 address, u64& value) override;
    bool store(u64 address, u64 value) override;
};

} // namespace linnet::probe
