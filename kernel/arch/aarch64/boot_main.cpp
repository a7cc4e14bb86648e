// First C++ code with the MMU on: makes the boot thread current and hands over to init.
#include "early_info.hpp"

#include <arch/handoff.hpp>
#include <arch/hooks.hpp>
#include <arch/mmu.hpp>
#include <arch/platform.hpp>
#include <arch_impl/registers.hpp>

extern "C" {
extern char kernel_image_begin[], kernel_image_end[], boot_stack_top[];
[[noreturn]] void arch_boot_main(linnet::u64 tree, linnet::u64 image);
[[noreturn]] void arch_secondary_main(linnet::arch::CpuHeader& cpu);
}

using namespace linnet;

extern "C" void arch_boot_main(u64 tree, u64 image) {
    arch::ThreadHeader& thread = arch::boot_thread_header();
    arch::CpuHeader& cpu = arch::boot_cpu_header();
    thread.cpu = &cpu;
    thread.kernel_stack_top = reinterpret_cast<uintptr_t>(boot_stack_top);
    cpu.current = &thread;
    cpu.hardware_id = READ_SYSTEM_REGISTER(mpidr_el1) & arch::mpidr_affinity_mask;
    arch::set_current_thread(&thread);
    arch::deactivate_user_tables();
    arch::flush_kernel_tlb({0}, ~usize{0});

    boot::Handoff handoff{};
    handoff.protocol = boot::Handoff::Protocol::DeviceTree;
    handoff.data = {tree};
    handoff.boot_cpu = cpu.hardware_id;
    handoff.image_begin = {image};
    handoff.image_end = {image + static_cast<u64>(kernel_image_end - kernel_image_begin)};
    hooks::kernel_main(handoff);
}

extern "C" void arch_secondary_main(arch::CpuHeader& cpu) {
    arch::deactivate_user_tables();
    hooks::secondary_cpu(cpu);
}
