// One hart: initialisation, idling, hardware random numbers, and what user space is told about the machine.
#include <arch/cpu.hpp>

#include "hardware_counters.hpp"
#include "isa.hpp"

namespace linnet::arch {

void wait_for_interrupt() {
    // A pending interrupt that is enabled in sie ends wfi even while sstatus.SIE is off, so none is missed.
    asm volatile("wfi" : : : "memory");
    enable_interrupts();
}

void halt_forever() {
    disable_interrupts();
    LINNET_WRITE_CSR(sie, 0);
    for (;;) asm volatile("wfi");
}

/// The seed CSR gives 16 bits at a time and may answer that it is gathering more; after too many such answers
/// we give up.
std::optional<u64> hardware_random() {
    if (!isa().has_seed) return {};
    constexpr u64 status_shift = 30, status_valid = 2;
    u64 bits = 0;
    unsigned tries = 64;
    for (unsigned have = 0; have < 64; have += 16) {
        u64 answer;
        do {
            if (tries-- == 0) return {};
            asm volatile("csrrw %0, 0x015, zero" : "=r"(answer) : : "memory");
        } while (((answer >> status_shift) & 3) != status_valid);
        bits = bits << 16 | (answer & 0xffff);
    }
    return bits;
}

void initialise_cpu(CpuHeader&) {
    // The trap entry has set stvec.
    initialise_hardware_counters();
    LINNET_SET_CSR(sie, u64{1} << csr::interrupt_software | u64{1} << csr::interrupt_external);
}

const HardwareCapabilities& hardware_capabilities() {
    // AT_HWCAP: the letters that Linux reports (uapi asm/hwcap.h).
    constexpr auto bit = [](char letter) { return u64{1} << (letter - 'A'); };
    constexpr u64 reported = bit('I') | bit('M') | bit('A') | bit('F') | bit('D') | bit('C') | bit('V');
    static constinit HardwareCapabilities capabilities{.machine = "riscv64"};
    capabilities.hwcap = isa().letters & reported;
    capabilities.properties = hardware_properties();
    return capabilities;
}

} // namespace linnet::arch
