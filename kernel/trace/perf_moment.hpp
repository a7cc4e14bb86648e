// What a sample is taken of.
#pragma once

#include <core/thread.hpp>
#include <lib/address.hpp>
#include <span>

namespace linnet::trace {

/// Where and to whom something happens. Made with interrupts off on the CPU where it does.
struct Moment {
    core::Thread& thread; // the current one, but for records of who comes next
    bool in_kernel = false;
    u64 pc = 0;                // of the kernel's code; user code's is in the thread's registers
    uintptr_t frame = 0;       // of the kernel's stack there
    VirtAddr address{};        // what a fault was about
    std::span<const u8> raw{}; // the record of a trace event
    /// What the interrupt that is being handled came to.
    static Moment of_interrupt();
    /// User code trapped, or called.
    static Moment of_user_code(VirtAddr address = {});
    /// The place of the tracepoint; the caller is a probe.
    static Moment of_kernel_code(VirtAddr address = {});

    /// Of user code too.
    [[nodiscard]] u64 instruction() const;
};

/// Fills in return addresses from the moment's instruction outwards, the kernel's and then the program's, each group
/// behind its marker (PERF_CONTEXT_*). Returns how many words there are. Interrupts off.
struct ChainOptions {
    bool kernel = true;
    bool user = true;
    usize most = 127; // addresses
};
usize call_chain(const Moment& moment, const ChainOptions& options, std::span<u64> to);

} // namespace linnet::trace
