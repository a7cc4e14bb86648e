// What a CPU does that comes to a probe of the kernel: clients are told, and the instruction is executed out of line,
// with interrupts off, or emulated.
#include "kernel_probe.hpp"

#include <arch/hooks.hpp>
#include <core/time.hpp>
#include <cstring>
#include <lib/hit_way.hpp>

// Nothing here can be probed itself.
#pragma clang section text = ".text.noprobe"

namespace linnet::probe {

namespace {

struct alignas(64) CpuState {
    const ProbedCode* stepping = nullptr; // whose copy is being executed
    u64 address = 0;                      // in place of what stands there
    arch::ProbedStep step;
    u64 held = 0;       // interrupts, as they were
    bool tells = false; // clients are being told: a probe on their way is only passed
};
constinit CpuState states[core::CpuMask::max_cpus] = {};

bool is_setting_clocks() { return core::clock_setter.load(std::memory_order_relaxed) == core::this_cpu().number; }

KernelProbe* find(u64 address) {
    KernelProbe* probe = kernel_probe_bucket(address).load(std::memory_order_acquire);
    while (probe && probe->address != address) probe = probe->next.load(std::memory_order_acquire);
    return probe;
}

bool tell(KernelProbeClient& client, const arch::KernelTrap& trap) {
    if (client.wants == KernelProbeClient::Wants::Entries) return client.on_hit(trap.registers);
    return follow_kernel_return(*client.returns, trap.registers);
}

void tell_all(CpuState& cpu, const KernelProbe* probe, const FunctionEntry* entry, const arch::KernelTrap& trap) {
    // Clocks can't be read by the CPU that sets them.
    const bool passes = cpu.tells || is_setting_clocks();
    if (!passes) cpu.tells = true;
    if (entry && !passes) function_listener.load(std::memory_order_relaxed)(trap);
    for (KernelProbeClient* client = probe ? probe->clients.load(std::memory_order_acquire) : nullptr; client;
         client = client->next.load(std::memory_order_acquire))
        if (passes || !tell(*client, trap)) client->missed.fetch_add(1, std::memory_order_relaxed);
    if (!passes) cpu.tells = false;
}

void finish(CpuState& cpu, const arch::KernelTrap& trap) {
    KernelMemory memory;
    const ProbedCode& code = *std::exchange(cpu.stepping, nullptr);
    (void)arch::finish_probed(code.instruction, trap.registers, cpu.address, memory, cpu.step);
    trap.release_interrupts(cpu.held);
}

void execute(CpuState& cpu, const ProbedCode& code, u64 address, arch::KernelTrap trap) {
    KernelMemory memory;
    const auto action = arch::begin_probed(code.instruction, trap.registers, address, memory, cpu.step);
    if (action != arch::ProbeAction::OutOfLine) return; // system calls are refused, and memory is there
    cpu.stepping = &code;
    cpu.address = address;
    cpu.held = trap.hold_interrupts();
    trap.registers.set_pc(code.slot);
}

} // namespace

FunctionEntry* find_function_entry(u64 address) {
    const u64 offset = address - core::kernel_text().begin;
    u32 low = 0, high = function_entries_found;
    while (low < high) {
        const u32 middle = low + (high - low) / 2;
        if (function_entries[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    const bool is_there = low < function_entries_found && function_entries[low].offset == offset;
    return is_there ? &function_entries[low] : nullptr;
}

HIT_WAY_BEGINS bool KernelMemory::load(u64 address, u64& value) {
    value = *reinterpret_cast<const volatile u64*>(address);
    return true;
}
HIT_WAY_BEGINS bool KernelMemory::store(u64 address, u64 value) {
    *reinterpret_cast<volatile u64*>(address) = value;
    return true;
}

} // namespace linnet::probe

namespace linnet::hooks {

using namespace probe;

bool kernel_return(arch::KernelTrap trap) {
    CpuState& cpu = states[core::this_cpu().number];
    const bool before = cpu.tells;
    const bool tells = !before && !is_setting_clocks();
    cpu.tells = true;
    const bool is_mine = take_kernel_return(trap.registers, tells);
    cpu.tells = before;
    return is_mine;
}

bool kernel_breakpoint(arch::KernelTrap trap) {
    CpuState& cpu = states[core::this_cpu().number];
    const u64 address = trap.registers.pc() - arch::breakpoint_trap_distance;
    if (cpu.stepping && address == cpu.stepping->end_of_copy()) {
        finish(cpu, trap);
        return true;
    }
    if (!arch::returns_without_trap && address == kernel_trampoline()) return kernel_return(trap);
    const KernelProbe* probe = find(address);
    const FunctionEntry* entry = find_planted_entry(address);
    if (!probe && !entry) {
        // Taken away since.
        const auto* text = reinterpret_cast<const u8*>(address);
        bool stands = true;
        for (usize i = 0; i < sizeof arch::probe_breakpoint; ++i)
            stands &= __atomic_load_n(text + i, __ATOMIC_RELAXED) == arch::probe_breakpoint[i];
        if (stands) return false;
        trap.registers.set_pc(address);
        return true;
    }
    trap.registers.set_pc(address);
    tell_all(cpu, probe, entry, trap);
    execute(cpu, probe ? probe->code : function_codes[entry->code], address, trap);
    return true;
}

void kernel_fault_in_probe(arch::KernelTrap trap) {
    CpuState& cpu = states[core::this_cpu().number];
    if (!cpu.stepping) return;
    const u64 pc = trap.registers.pc();
    if (pc < cpu.stepping->slot || pc > cpu.stepping->end_of_copy()) return;
    const ProbedCode& code = *std::exchange(cpu.stepping, nullptr);
    arch::abandon_probed(code.instruction, trap.registers, cpu.step);
    trap.registers.set_pc(cpu.address);
    trap.release_interrupts(cpu.held);
}

} // namespace linnet::hooks
