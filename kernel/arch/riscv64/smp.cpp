// Other harts: started by the firmware's HSM extension, interrupted by its IPI extension.
#include <arch/smp.hpp>

#include "sbi.hpp"
#include "start.hpp"

extern "C" void arch_secondary_entry();

namespace linnet::arch {

Result<void> start_cpu(CpuHeader& cpu) {
    cpu.current->cpu = &cpu;
    PhysAddr entry = image_virt_to_phys(reinterpret_cast<const void*>(&arch_secondary_entry));
    sbi::Answer answer = sbi::call(sbi::hart_extension, sbi::hart_start, cpu.hardware_id, entry.value,
                                   reinterpret_cast<u64>(&cpu));
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
