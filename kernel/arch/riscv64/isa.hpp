// What this machine's harts can do beyond the base: read once at boot, from the ISA string of the device tree
// and by trying.
#pragma once

#include <arch/cpu.hpp>
#include <lib/types.hpp>
#include <span>

namespace linnet::arch {

struct Isa {
    bool has_floating_point = false;   // F and D
    bool has_supervisor_timer = false; // Sstc: stimecmp
    bool has_seed = false;             // Zkr, and S-mode may read it
    u64 letters = 0;                   // bit 0: A … as in misa
    u64 probed_extensions = 0;         // as riscv_hwprobe(2) names them
    u32 asid_bits = 0;
    u32 vector_register_bytes = 0;
};

const Isa& isa();

/// On the boot hart, before the kernel starts: what trying tells.
void probe_registers();
/// On the boot hart, when the device tree is known: what the ISA string tells.
void read_isa_string();
/// Behind that: what riscv_hwprobe(2) will say. `frequency` is that of the time counter, in Hz.
void list_properties(u64 frequency);
std::span<const HardwareProperty> hardware_properties();

} // namespace linnet::arch
