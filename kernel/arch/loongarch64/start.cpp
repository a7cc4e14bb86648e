// The first C++ code, of the boot CPU and of the others: makes a thread and a CPU current and calls the
// kernel.
#include <arch/handoff.hpp>
#include <arch/hooks.hpp>
#include <arch/page.hpp>

#include "start.hpp"

extern "C" const char kernel_image_begin[], kernel_image_end[];

using namespace linnet;
using namespace linnet::arch;

extern "C" [[noreturn]] void arch_start(u64 command_line, u64 system_table, u64 cpu_id, uintptr_t stack_top) {
    ThreadHeader& thread = boot_thread_header();
    CpuHeader& cpu = boot_cpu_header();
    set_current_thread(&thread);
    thread.cpu = &cpu;
    thread.kernel_stack_top = stack_top;
    cpu.current = &thread;
    cpu.number = 0;
    cpu.hardware_id = cpu_id;

    boot::Handoff handoff;
    handoff.protocol = boot::Handoff::Protocol::EfiLoongArch;
    handoff.data = {system_table};
    handoff.command_line = {command_line};
    handoff.boot_cpu = cpu_id;
    handoff.image_begin = image_virt_to_phys(kernel_image_begin);
    handoff.image_end = image_virt_to_phys(kernel_image_end);
    hooks::kernel_main(handoff);
}

extern "C" [[noreturn]] void arch_start_secondary(CpuHeader* cpu) { hooks::secondary_cpu(*cpu); }
