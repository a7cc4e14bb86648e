// The few calls that go up from arch: declared here, defined by core and init.
#pragma once

#include <arch/handoff.hpp>
#include <arch/trap.hpp>
#include <lib/address.hpp>
#include <lib/result.hpp>
#include <span>
#include <string_view>

namespace linnet::arch {
struct KernelTrap; // arch/kernel_probe.hpp
}

namespace linnet::hooks {

/// First C++ code on the boot CPU: direct map and kernel image mapped, .bss cleared, boot thread and CPU 0 current
/// (boot_thread and boot_cpu below), interrupts off.
[[noreturn]] void kernel_main(const boot::Handoff& handoff);
/// First C++ code on another CPU.
[[noreturn]] void secondary_cpu(arch::CpuHeader& cpu);
/// First code of a new thread, on its own stack, interrupts off.
[[noreturn]] void thread_entry(arch::ThreadHeader* previous);

/// An interrupt that the root controller must look up; `cause` is the vector (x86_64), the ESTAT interrupt bit
/// (LoongArch), or 0. Interrupts are off.
void interrupt(u32 cause);
/// This CPU's timer fired.
void timer_interrupt();
/// Another CPU wants attention.
void ipi();
/// The end of every interrupt that came from kernel code with interrupts enabled: may switch threads.
void preemption_point();

/// A page fault in kernel code on a user address. True: the page is there now, run the instruction again. False: the
/// arch code searches the exception table. Called with interrupts as they were at the fault.
bool kernel_page_fault(VirtAddr address, arch::Access access);

/// Kernel code has come to a breakpoint. True: it was a probe's, and the frame says where to go on. Interrupts are off.
bool kernel_breakpoint(arch::KernelTrap trap);
/// A kernel function has returned to arch_kernel_return_entry, interrupts off. False: nobody has sent it there.
bool kernel_return(arch::KernelTrap trap);
/// Kernel code has caused an exception: if that was the copy of a probed instruction, the frame becomes that of the
/// instruction itself. Interrupts are off.
void kernel_fault_in_probe(arch::KernelTrap trap);

/// The value of a property of the firmware's device tree, node by path ("/cpus"); empty when there is none. For what
/// only the architecture needs to know: the counter's frequency, ISA extensions, how to call the firmware. From
/// kernel_main's boot::parse() on.
std::span<const u8> device_tree_property(std::string_view path, std::string_view property);

/// A kernel stack of arch::kernel_stack_size bytes with a guard page below, for exceptions that need one of their own;
/// returns its top (exclusive). May sleep.
Result<uintptr_t> allocate_kernel_stack();

/// An exception that kernel code must not cause: prints `what`, the registers text and a backtrace from (pc, frame),
/// and panics.
[[noreturn]] void kernel_fault(std::string_view what, VirtAddr address, uintptr_t pc, uintptr_t frame_pointer,
                               std::string_view registers);

} // namespace linnet::hooks

namespace linnet::arch {
/// The thread and the CPU that the boot code makes current before any C++ that needs them; defined by core. They are
/// core::Thread and core::Cpu objects, constinit.
ThreadHeader& boot_thread_header();
CpuHeader& boot_cpu_header();
} // namespace linnet::arch
