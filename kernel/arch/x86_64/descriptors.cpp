// GDT, TSS and IDT (Intel SDM vol. 3, 3.4, 6.14, 8.7). The selectors are Linux's, since user code can read cs and ss.
#include "descriptors.hpp"
#include "boot.hpp"
#include "offsets.h"
#include <arch/cpu.hpp>
#include <arch/hooks.hpp>
#include <arch/page.hpp>
#include <arch_impl/registers.hpp>
#include <new>

extern "C" {
extern const char arch_trap_stubs[];
void arch_syscall_entry();
}

namespace linnet::arch {
namespace {

struct InterruptGate {
    u16 offset_low = 0;
    u16 selector = 0;
    u8 stack = 0;
    u8 attributes = 0;
    u16 offset_middle = 0;
    u32 offset_high = 0;
    u32 reserved = 0;
};
static_assert(sizeof(InterruptGate) == 16);

/// What lgdt and lidt read begins at `limit`. The base lies at a multiple of eight: a constant one must be relocatable.
struct TablePointer {
    u16 unused[3];
    u16 limit;
    u64 base;
};
static_assert(offsetof(TablePointer, base) == offsetof(TablePointer, limit) + 2);

/// The stacks of NMI, debug, and double fault with machine check, three a CPU, each above a page that isn't mapped. On
/// top of each lies the CpuHeader's address, from which paranoid_entry takes the GS base.
constexpr usize exception_stacks = 3;
constexpr u8 ist_nmi = 1, ist_debug = 2, ist_fatal = 3;

constinit InterruptGate interrupt_table[256];

constexpr u64 code64 = 0x00af9b000000ffff, data = 0x00cf93000000ffff, user_privilege = u64{3} << 45;

/// The stack pointer for the TSS: a 16-byte slot at the end holds `cpu`.
u64 prepare_stack(uintptr_t top, CpuHeader& cpu) {
    u64 slot = top - 16;
    *reinterpret_cast<CpuHeader**>(slot) = &cpu;
    return slot;
}

void fill_gdt(CpuHeader& cpu) {
    u64* gdt = cpu.state.gdt;
    auto base = reinterpret_cast<u64>(&cpu.state.tss);
    gdt[KERNEL_CS / 8] = code64;
    gdt[KERNEL_DS / 8] = data;
    // No 32-bit user code segment: user code can't leave 64-bit mode. Entry 4 stays null.
    gdt[USER_DS / 8] = data | user_privilege;
    gdt[USER_CS / 8] = code64 | user_privilege;
    constexpr u64 available_tss = 0x89;
    gdt[TSS_SELECTOR / 8] =
        (sizeof(TaskState) - 1) | (base & 0xff'ffff) << 16 | available_tss << 40 | ((base >> 24) & 0xff) << 56;
    gdt[TSS_SELECTOR / 8 + 1] = base >> 32;
    // Linux's per-CPU segment: its limit tells user code the CPU's number (lsl, for getcpu).
    constexpr u64 read_only_data = 0x0040'f100'0000'0000;
    gdt[15] = read_only_data | (cpu.number & 0xffff) | u64{(cpu.number >> 16) & 0xf} << 48;
}

void set_system_call_registers() {
    // sysret adds 16 to the user base for cs and 8 for ss.
    write_msr(Msr::Star, u64{KERNEL_CS} << 32 | u64{(USER_CS - 16) | 3} << 48);
    write_msr(Msr::LongStar, reinterpret_cast<u64>(&arch_syscall_entry));
    write_msr(Msr::CompatStar, 0);
    constexpr u64 io_privilege = 3u << 12;
    write_msr(Msr::SyscallMask,
              rflags_trap | rflags_interrupt | rflags_direction | io_privilege | rflags_nested_task | rflags_alignment);
}

} // namespace

void build_interrupt_table() {
    constexpr u8 interrupt_gate = 0x8e, user_callable = 0x60;
    for (unsigned vector = 0; vector < 256; ++vector) {
        auto target = reinterpret_cast<u64>(arch_trap_stubs) + vector * 16;
        InterruptGate& gate = interrupt_table[vector];
        gate.offset_low = static_cast<u16>(target);
        gate.offset_middle = static_cast<u16>(target >> 16);
        gate.offset_high = static_cast<u32>(target >> 32);
        gate.selector = KERNEL_CS;
        gate.attributes = interrupt_gate;
    }
    interrupt_table[3].attributes |= user_callable; // int3
    interrupt_table[4].attributes |= user_callable; // into has no 64-bit form, but int $4 is Linux's too
    interrupt_table[1].stack = ist_debug;
    interrupt_table[2].stack = ist_nmi;
    interrupt_table[8].stack = ist_fatal;
    interrupt_table[18].stack = ist_fatal;
}

Result<void> allocate_exception_stacks(CpuHeader& cpu) {
    for (usize i = 0; i < exception_stacks; ++i)
        if (cpu.state.tss.ist[i] == 0) cpu.state.tss.ist[i] = prepare_stack(TRY(hooks::allocate_kernel_stack()), cpu);
    return {};
}

void load_descriptors(CpuHeader& cpu) {
    TaskState& tss = cpu.state.tss;
    // The boot CPU's are part of the image (boot.S).
    for (usize i = 0; tss.ist[exception_stacks - 1] == 0 && i < exception_stacks; ++i) {
        auto first_top =
            reinterpret_cast<uintptr_t>(boot_exception_stack_guards) + page_size + BOOT_EXCEPTION_STACK_SIZE;
        tss.ist[i] = prepare_stack(first_top + i * (page_size + BOOT_EXCEPTION_STACK_SIZE), cpu);
    }
    tss.io_map_base = sizeof(TaskState); // no I/O bitmap: every port is forbidden to user code
    fill_gdt(cpu);

    TablePointer gdt{{}, sizeof(cpu.state.gdt) - 1, reinterpret_cast<u64>(cpu.state.gdt)};
    asm volatile("lgdt %0\n\t"
                 "pushq %1\n\t"
                 "leaq 1f(%%rip), %%rax\n\t"
                 "pushq %%rax\n\t"
                 "lretq\n"
                 "1:\n\t"
                 "movl %2, %%ss"
                 :
                 : "m"(gdt.limit), "i"(KERNEL_CS), "r"(KERNEL_DS), "m"(gdt)
                 : "rax", "memory");
    asm volatile("ltr %w0" ::"r"(TSS_SELECTOR) : "memory");
    TablePointer idt{{}, sizeof(interrupt_table) - 1, reinterpret_cast<u64>(interrupt_table)};
    asm volatile("lidt %0" ::"m"(idt.limit), "m"(idt) : "memory");
    set_system_call_registers();
}

} // namespace linnet::arch
