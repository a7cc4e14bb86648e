// Per-CPU control registers, idling, the random-number instruction, context preparation.
#include <arch/cpu.hpp>
#include <arch/hooks.hpp>
#include <arch/user_context.hpp>
#include <arch_impl/registers.hpp>
#include <arch_impl/sve.hpp>

#include "performance_monitor.hpp"

extern "C" {
void arch_thread_start();
[[noreturn]] void arch_thread_entry(linnet::arch::ThreadHeader* previous);
linnet::u8 arch_has_pan; // read by usercopy.S
}

namespace linnet::arch {

void wait_for_interrupt() {
    // WFI ends on a pending interrupt even while it is masked, so one that came before isn't slept through.
    asm volatile("dsb sy\n\twfi\n\tmsr daifclr, #2\n\tisb" : : : "memory");
}

void halt_forever() {
    asm volatile("msr daifset, #15" : : : "memory");
    for (;;) asm volatile("wfi");
}

std::optional<u64> hardware_random() {
    if (id_field(READ_SYSTEM_REGISTER(id_aa64isar0_el1), 60) == 0) return std::nullopt;
    u64 value, failed;
    for (int attempt = 0; attempt < 10; ++attempt) {
        // RNDR; it sets Z when it had no number to give.
        asm volatile("mrs %0, S3_3_C2_C4_0\n\tcset %1, eq" : "=r"(value), "=r"(failed) : : "cc");
        if (!failed) return value;
    }
    return std::nullopt;
}

void initialise_cpu(CpuHeader& cpu) {
    constexpr u64 fp_untrapped = 3 << 20;      // CPACR_EL1.FPEN
    constexpr u64 user_reads_counter = 1 << 1; // CNTKCTL_EL1.EL0VCTEN
    WRITE_SYSTEM_REGISTER(cpacr_el1, fp_untrapped);
    WRITE_SYSTEM_REGISTER(cntkctl_el1, user_reads_counter);
    WRITE_SYSTEM_REGISTER(mdscr_el1, 0);
    WRITE_SYSTEM_REGISTER(oslar_el1, 0); // debug exceptions are locked after reset
    WRITE_SYSTEM_REGISTER(tpidrro_el0, 0);
    initialise_performance_monitor();
    if (id_field(READ_SYSTEM_REGISTER(id_aa64mmfr1_el1), 20) != 0) {
        arch_has_pan = 1;
        asm volatile(".inst 0xd500419f" : : : "memory"); // msr pan, #1
    }
    cpu.state.fp_owner = nullptr;
    cpu.state.mode = 0;
    initialise_sve();
    asm volatile("isb" : : : "memory");
}

void prepare_context(ThreadHeader& thread) {
    constexpr usize saved_words = 12; // the frame of arch_switch_context: x29, x30, x19–x28
    auto* frame = reinterpret_cast<u64*>(thread.kernel_stack_top) - saved_words;
    for (usize i = 0; i < saved_words; ++i) frame[i] = 0;
    frame[1] = reinterpret_cast<u64>(&arch_thread_start);
    thread.context.sp = reinterpret_cast<u64>(frame);
}

} // namespace linnet::arch

extern "C" void arch_thread_entry(linnet::arch::ThreadHeader* previous) { linnet::hooks::thread_entry(previous); }
