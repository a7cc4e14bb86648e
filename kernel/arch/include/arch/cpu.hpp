// Contract: interrupt masking, idling and a few instructions.
//
// <arch_impl/cpu.hpp> defines, inline: InterruptState (an integral type), interrupts_enabled(),
// save_and_disable_interrupts(), restore_interrupts(state), enable_interrupts(), disable_interrupts(), relax() (the
// pause of a spin loop), synchronise_instruction_stream().
#pragma once

#include <arch/thread.hpp>
#include <concepts>
#include <optional>
#include <span>

#include <arch_impl/cpu.hpp>

namespace linnet::arch {

template <typename State>
concept InterruptMasking = std::integral<State> && requires(State state) {
    { interrupts_enabled() } -> std::same_as<bool>;
    { save_and_disable_interrupts() } -> std::same_as<State>;
    restore_interrupts(state);
    enable_interrupts();
    disable_interrupts();
    relax();
};
static_assert(InterruptMasking<InterruptState>);

/// Called with interrupts disabled; sleeps until one is pending, takes it, returns with interrupts enabled. An
/// interrupt that came just before the call ends the sleep too.
void wait_for_interrupt();

/// Stops this CPU for good, interrupts off.
[[noreturn]] void halt_forever();

/// 64 random bits from the CPU (RDRAND/RDSEED, RNDR, Zkr), if it has such an instruction.
std::optional<u64> hardware_random();

/// What this CPU's initialisation did not do in assembly: control registers, FP unit state, exception vectors, per-CPU
/// tables. Called once on each CPU, early, with `cpu` current.
void initialise_cpu(CpuHeader& cpu);

/// What riscv_hwprobe(2) says under a key.
struct HardwareProperty {
    i64 key;
    u64 value;
    bool is_set_of_bits;        // to have part of them is enough for who asks for that part
    const char* name = nullptr; // in /proc/cpuinfo, where it stands there
};
/// AT_HWCAP, AT_HWCAP2 and AT_PLATFORM of the auxiliary vector (getauxval(3)), and more.
struct HardwareCapabilities {
    u64 hwcap = 0;
    u64 hwcap2 = 0;
    const char* platform = nullptr;                    // null: no AT_PLATFORM
    const char* machine = nullptr;                     // utsname.machine, e.g. "x86_64"
    std::span<const HardwareProperty> properties = {}; // of every CPU, on RISC-V
};
const HardwareCapabilities& hardware_capabilities();

} // namespace linnet::arch
