// The first C++ code on kernel addresses, of the boot hart and of the others: makes a thread and a CPU
// current and calls the kernel.
#include <arch/handoff.hpp>
#include <arch/hooks.hpp>
#include <arch/mmu.hpp>
#include <arch/page.hpp>

#include "isa.hpp"
#include "start.hpp"

extern "C" const char kernel_image_begin[], kernel_image_end[];

namespace linnet::arch {

struct Table;
extern Table root_table;

static u64 boot_hart_id;

const usize kernel_root_begin = usize{1} << (entries_per_table_shift - 1);

PhysAddr image_virt_to_phys(const void* pointer) { return {reinterpret_cast<u64>(pointer) - kernel_image_offset}; }

PhysAddr kernel_root_table() { return image_virt_to_phys(&root_table); }

u64 boot_hart() { return boot_hart_id; }

u64 kernel_image_slide() { return reinterpret_cast<u64>(kernel_image_begin) - kernel_link_base.value; }

} // namespace linnet::arch

using namespace linnet;
using namespace linnet::arch;

extern "C" [[noreturn]] void arch_start(u64 hart, u64 device_tree, u64 image, uintptr_t stack_top) {
    boot_hart_id = hart;

    ThreadHeader& thread = boot_thread_header();
    CpuHeader& cpu = boot_cpu_header();
    set_current_thread(&thread);
    thread.cpu = &cpu;
    thread.kernel_stack_top = stack_top;
    cpu.current = &thread;
    cpu.number = 0;
    cpu.hardware_id = hart;

    probe_registers();

    boot::Handoff handoff;
    handoff.protocol = boot::Handoff::Protocol::DeviceTree;
    handoff.data = {device_tree};
    handoff.boot_cpu = hart;
    handoff.image_begin = {image};
    handoff.image_end = image_virt_to_phys(kernel_image_end);
    hooks::kernel_main(handoff);
}

extern "C" [[noreturn]] void arch_start_secondary(CpuHeader* cpu) { hooks::secondary_cpu(*cpu); }
