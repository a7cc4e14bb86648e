// Other harts: started by the firmware's HSM extension, interrupted by its IPI extension.
#include <arch/smp.hpp>

#include "sbi.hpp"
#include "start.hpp"

// The hart being started and its CpuHeader, for a hart that the firmware sends to the wrong entry (entry.S).
extern "C" {
void arch_secondary_entry();
extern linnet::u64 arch_starting_hart;
extern linnet::arch::CpuHeader* arch_starting_cpu;
}

namespace linnet::arch {

Result<void> start_cpu(CpuHeader& cpu) {
    cpu.current->cpu = &cpu;
    PhysAddr entry = image_virt_to_phys(reinterpret_cast<const void*>(&arch_secondary_entry));
    arch_starting_cpu = &cpu;
    asm volatile("fence rw, w" : : : "memory");
    arch_starting_hart = cpu.hardware_id;
    asm volatile("fence rw, rw" : : : "memory");
    sbi::Answer answer =
        sbi::call(sbi::hart_extension, sbi::hart_start, cpu.hardware_id, entry.value, reinterpret_cast<u64>(&cpu));
    if (answer.error == sbi::already_available) return error(Errno::EBUSY);
    if (answer.error != 0) return error(Errno::ENODEV);
    return {};
}

void send_ipi(CpuHeader& cpu) {
    // Mask of one hart, based at its own id. What the sender wrote before must be visible to the handler.
    asm volatile("fence rw, rw" : : : "memory");
    sbi::call(sbi::ipi_extension, 0, 1, cpu.hardware_id);
}

} // namespace linnet::arch
