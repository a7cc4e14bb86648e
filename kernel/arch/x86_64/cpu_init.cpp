// The order of a CPU's initialisation, and the start of the other CPUs by INIT and start-up IPIs (SDM vol. 3, 9.4).
#include "boot.hpp"
#include "descriptors.hpp"
#include "extended_state.hpp"
#include "features.hpp"
#include "local_apic.hpp"
#include "offsets.h"
#include "timer.hpp"
#include <arch/hooks.hpp>
#include <arch/page.hpp>
#include <arch/smp.hpp>
#include <arch/time.hpp>
#include <arch_impl/registers.hpp>
#include <cstring>

extern "C" {
// Read by the trampoline's end. One CPU is started at a time: the next start_cpu() waits until they are taken.
constinit std::atomic<linnet::u64> secondary_stack{0};
constinit linnet::arch::CpuHeader* secondary_cpu_header = nullptr;
void arch_thread_start();
}

namespace linnet::arch {
namespace {

constinit bool boot_cpu_ready = false;

void spin_microseconds(u64 microseconds) {
    u64 end = read_counter() + counter_frequency() / 1'000'000 * microseconds;
    while (read_counter() < end) relax();
}

/// Until the new CPU has read its stack; false when it didn't within the time.
bool wait_until_taken(u64 microseconds) {
    for (u64 waited = 0; waited < microseconds; waited += 10) {
        if (secondary_stack.load(std::memory_order_acquire) == 0) return true;
        spin_microseconds(10);
    }
    return secondary_stack.load(std::memory_order_acquire) == 0;
}

} // namespace

void initialise_cpu(CpuHeader& cpu) {
    if (!boot_cpu_ready) {
        detect_features();
        build_interrupt_table();
    }
    enable_features();
    load_descriptors(cpu);
    initialise_extended_state();
    if (cpu_features().rdtscp) write_msr(Msr::TscAux, cpu.number);
    if (!boot_cpu_ready) prepare_local_apic();
    initialise_local_apic();
    boot_cpu_ready = true;
}

Result<void> start_cpu(CpuHeader& cpu) {
    static_assert(TRAMPOLINE_PHYSICAL % page_size == 0 && TRAMPOLINE_PHYSICAL < 0x100000);
    if (secondary_stack.load(std::memory_order_acquire) != 0) return error(Errno::EBUSY); // one hasn't come yet
    TRY(allocate_exception_stacks(cpu));
    std::memcpy(phys_to_virt(PhysAddr{TRAMPOLINE_PHYSICAL}), trampoline_begin,
                static_cast<usize>(trampoline_end - trampoline_begin));
    secondary_cpu_header = &cpu;
    secondary_stack.store(cpu.current->kernel_stack_top, std::memory_order_release);
    auto apic_id = static_cast<u32>(cpu.hardware_id);
    constexpr u8 start_page = TRAMPOLINE_PHYSICAL / page_size;
    local_apic_send_init(apic_id);
    spin_microseconds(200); // the SDM's 10 ms were for CPUs of the 1990s
    // The second start-up IPI is for CPUs that missed the first; one that runs ignores it. Another INIT, though, would
    // reset a CPU that is only slow, at any point of its initialisation.
    local_apic_send_startup(apic_id, start_page);
    if (wait_until_taken(1000)) return {};
    local_apic_send_startup(apic_id, start_page);
    constexpr u64 patience = 5'000'000; // a host with more CPUs in use than it has makes it wait for long
    if (wait_until_taken(patience)) return {};
    return error(Errno::ETIMEDOUT); // it may still come: its stack and header wait for it
}

/// On the new CPU's idle stack, with the kernel's root table.
extern "C" [[noreturn]] void arch_secondary_start(CpuHeader& cpu) {
    secondary_stack.store(0, std::memory_order_release);
    write_msr(Msr::GsBase, reinterpret_cast<u64>(&cpu));
    cpu.current->cpu = &cpu;
    hooks::secondary_cpu(cpu);
}

void prepare_context(ThreadHeader& thread) {
    // What arch_switch_context pops: six callee-saved registers, rbp = 0 ending the frame chain, and where it returns
    // to; above it the return address of hooks::thread_entry, which has none.
    auto* stack = reinterpret_cast<u64*>(thread.kernel_stack_top) - 8;
    for (int i = 0; i < 8; ++i) stack[i] = 0;
    stack[6] = reinterpret_cast<u64>(&arch_thread_start);
    thread.context.stack_pointer = reinterpret_cast<u64>(stack);
}

} // namespace linnet::arch
