// Probes of the kernel (kprobes, kretprobes): whoever executes the instruction there is noted, on every CPU.
// docs/probes.md says how.
#pragma once

#include <arch/kernel_probe.hpp>
#include <atomic>
#include <lib/result.hpp>
#include <string_view>

namespace linnet::probe {

class KernelProbe;
class ReturnSlots;

/// Who wants to know of a place. It is told in the trap: interrupts off, perhaps under any lock, so it takes none that
/// is not tracing's own.
class KernelProbeClient {
public:
    enum class Wants : u8 { Entries, Returns };
    explicit KernelProbeClient(Wants what) : wants(what) {}
    KernelProbeClient(const KernelProbeClient&) = delete;
    /// The CPU is at the instruction. False: it could not be noted.
    virtual bool on_hit(arch::ProbeRegisters /*registers*/) { return true; }
    /// The function has returned to `caller`; the registers are those there.
    virtual bool on_return(arch::ProbeRegisters /*registers*/, u64 /*function*/, u64 /*caller*/) { return true; }

    const Wants wants;
    u32 most_active = 0;        // Returns: calls followed at a time; 0: as many as is usual, known when it is added
    std::atomic<u64> missed{0}; // what nobody was told of: on the way of something else, or too many calls

    // ---- kernel_probe.cpp ----
    std::atomic<KernelProbeClient*> next{nullptr};
    KernelProbe* probe = nullptr; // while it is added
    ReturnSlots* returns = nullptr;

protected:
    ~KernelProbeClient() = default;
};

/// Begins to tell the client. EINVAL: the code there is not to be probed, or, of Returns, no function begins there;
/// ENOENT: the kernel has no code there; EILSEQ: no instruction begins there; ENOTSUPP: this one can't be executed
/// elsewhere; ENOSPC, ENOMEM. May sleep.
Result<void> add_kernel_probe(KernelProbeClient& client, u64 address);
/// When this returns, the client isn't being told anything any more. May sleep.
void remove_kernel_probe(KernelProbeClient& client);
/// Whether add_kernel_probe() would refuse the place, and why.
Result<void> check_kernel_place(u64 address, KernelProbeClient::Wants wants);

/// A function by the name that /proc/kallsyms has for it, 0: there is none.
u64 find_kernel_function(std::string_view name);

} // namespace linnet::probe
