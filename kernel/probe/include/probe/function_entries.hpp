// Entries of the kernel's functions, thousands at a time: whoever comes to the first instruction of one is told of. One
// listener for all of them, and breakpoints that come and go in bulk, where a KernelProbeClient is one place's.
// docs/probes.md says how.
#pragma once

#include <arch/kernel_probe.hpp>
#include <core/panic.hpp>
#include <lib/own_ptr.hpp>

namespace linnet::probe {

/// Called in the trap, with the registers of the function's first instruction: interrupts off, perhaps under any lock,
/// so it takes none that is not tracing's own.
using FunctionListener = void (*)(const arch::KernelTrap& trap);

/// Finds the functions whose entries can be noted and that are wanted at all, once; further calls do nothing. ENOMEM.
/// May sleep.
Result<void> find_function_entries(bool (*is_wanted)(const core::Symbol& symbol));
/// How many were found; they have numbers from 0 on, in the order of their addresses.
u32 function_entry_count();
u64 function_entry_address(u32 number);

/// Some of the functions that were found.
class FunctionSet {
public:
    /// An empty one. ENOMEM.
    static Result<FunctionSet> create();
    Result<FunctionSet> copy() const;
    [[nodiscard]] bool has(u32 number) const { return words_[number / 64] >> number % 64 & 1; }
    void add(u32 number) { words_[number / 64] |= u64{1} << number % 64; }
    void remove(u32 number) { words_[number / 64] &= ~(u64{1} << number % 64); }
    [[nodiscard]] bool is_empty() const;

private:
    explicit FunctionSet(OwnPtr<u64[]> words) : words_(std::move(words)) {}
    static usize word_count() { return (function_entry_count() + 63) / 64; }
    OwnPtr<u64[]> words_;
};

/// The listener is told of exactly these functions from now on; those that are left out it is not being told of any
/// more. All CPUs stop once for all that come, and once for all that go. ENOMEM: nothing has changed. May sleep.
Result<void> listen_to_functions(const FunctionSet& functions, FunctionListener listener);
/// Whether the listener is told of it.
bool is_listened_to(u32 number);

} // namespace linnet::probe
