// What the planting of kernel probes (kernel_probe.cpp), their hits (kernel_hits.cpp) and their returns
// (kernel_returns.cpp) share.
//
// Locks: `kernel_probes_lock` (Mutex) guards which places are probed, function_entries.cpp's ones too. Hits take no
// lock but those of return slots, which are leaves and not to be probed themselves: they find probes and clients in
// lists that are changed by single stores; what is taken out of one is given up when every CPU has answered a call, for
// hits have interrupts off.
//
// What comes before a CPU knows that it is in a probe must not be probed: the functions of these files' hot part and of
// the architectures' traps are in the section .text.noprobe, and so is all assembly.
#pragma once

#include <core/mutex.hpp>
#include <core/spinlock.hpp>
#include <core/thread.hpp>
#include <probe/function_entries.hpp>
#include <probe/kernel_probe.hpp>

extern "C" const linnet::u8 kernel_probe_slots[];

namespace linnet::probe {

extern core::Mutex kernel_probes_lock;

/// What stands at a place without its breakpoint, and where the copy of it is.
struct ProbedCode {
    arch::ProbedInstruction instruction;
    u64 slot = 0;
    u8 original[sizeof arch::probe_breakpoint] = {};

    /// Where the copy's breakpoint stands.
    [[nodiscard]] u64 end_of_copy() const { return slot + instruction.slot_length - sizeof arch::probe_breakpoint; }
};

/// One place.
class KernelProbe {
public:
    KernelProbe(u64 where, const ProbedCode& what) : address(where), code(what) {}

    const u64 address;
    const ProbedCode code;
    std::atomic<KernelProbe*> next{nullptr}; // in its bucket
    std::atomic<KernelProbeClient*> clients{nullptr};
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

/// A function whose entry can be noted. Those that begin with the same instruction share what is known of it.
struct FunctionEntry {
    u32 offset; // from the kernel's text
    u16 code;   // among function_codes
    bool has_breakpoint = false;

    /// Whether hits are for the listener: as long as the breakpoint stands, and a moment before and behind.
    [[nodiscard]] bool is_planted() const { return __atomic_load_n(&has_breakpoint, __ATOMIC_ACQUIRE); }
    void set_planted(bool planted) { __atomic_store_n(&has_breakpoint, planted, __ATOMIC_RELEASE); }
};
/// By offset. The table is made once and stays; hits see it when the listener is there.
inline constinit FunctionEntry* function_entries = nullptr;
inline constinit u32 function_entries_found = 0;
inline constinit ProbedCode* function_codes = nullptr;
inline constinit std::atomic<FunctionListener> function_listener{nullptr};

/// The entry at an address; null: none is there. Any context, once entries were found.
FunctionEntry* find_function_entry(u64 address);
/// The same, null unless a breakpoint stands there for the listener.
inline FunctionEntry* find_planted_entry(u64 address) {
    if (!function_listener.load(std::memory_order_acquire)) return nullptr;
    FunctionEntry* entry = find_function_entry(address);
    return entry && entry->is_planted() ? entry : nullptr;
}

/// What the planting of both kinds shares. kernel_probes_lock held.

/// The probe of a place; its breakpoint stands there in place of the code.
KernelProbe* find_probe_locked(u64 address);
/// What stands there without probes; empty beyond the text.
std::span<const u8> original_text_locked(u64 address, std::span<u8, arch::longest_instruction> buffer);
/// A place for a copy. ENOSPC.
Result<u64> take_slot_locked();
void give_slot_back_locked(u64 slot);

struct TextChange {
    u64 address;
    const u8* bytes;
    usize size;
};
/// Makes changes of the kernel's text, in the order of their addresses, while all other CPUs wait outside of it. May
/// sleep. ENOMEM.
Result<void> write_kernel_text(std::span<const TextChange> changes);
inline Result<void> write_kernel_text(u64 address, std::span<const u8> bytes) {
    const TextChange change{.address = address, .bytes = bytes.data(), .size = bytes.size()};
    return write_kernel_text({&change, 1});
}
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
