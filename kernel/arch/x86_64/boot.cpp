// The first C++ on the boot CPU at the image's own addresses: makes boot thread and CPU 0 current and hands over.
#include "boot.hpp"
#include <arch/handoff.hpp>
#include <arch/hooks.hpp>
#include <arch/page.hpp>
#include <arch/platform.hpp>
#include <arch_impl/registers.hpp>

namespace linnet::arch {
extern "C" [[noreturn]] void arch_boot_start(u64 start_info) {
    CpuHeader& cpu = boot_cpu_header();
    ThreadHeader& thread = boot_thread_header();
    thread.cpu = &cpu;
    thread.kernel_stack_top = reinterpret_cast<uintptr_t>(boot_stack_top);
    cpu.current = &thread;
    write_msr(Msr::GsBase, reinterpret_cast<u64>(&cpu));

    boot::Handoff handoff;
    handoff.protocol = boot::Handoff::Protocol::Pvh;
    handoff.data = {start_info};
    handoff.boot_cpu = initial_apic_id();
    cpu.hardware_id = handoff.boot_cpu;
    handoff.image_begin = {reinterpret_cast<u64>(kernel_image_begin) - kernel_image_offset};
    handoff.image_end = {reinterpret_cast<u64>(kernel_image_end) - kernel_image_offset};
    hooks::kernel_main(handoff);
}

u64 initial_apic_id() {
    // Leaf 0xb gives all 32 bits of an x2APIC id (SDM vol. 3, 9.9.2); leaf 1 eight of them.
    if (cpuid(0).eax >= 0xb) {
        CpuidResult topology = cpuid(0xb);
        if (topology.ebx != 0) return topology.edx;
    }
    return cpuid(1).ebx >> 24;
}

} // namespace linnet::arch
