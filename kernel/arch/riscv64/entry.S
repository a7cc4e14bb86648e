// The first instructions: the Linux Image header, the way from physical addresses to the kernel's, and the entry of the
// other harts.
//
// The loader (SBI firmware) enters in S-mode with translation off, a0 = hart id, a1 = physical address of the FDT.
#include "asm_offsets.hpp"

    .section .head.text, "ax", @progbits
    .globl _start
_start:
    j       start_boot_hart
    nop
    .balign 8
    .dword  0x200000                // offset of the image from a 2 MiB-aligned start of RAM
    .dword  kernel_image_size       // in memory, .bss included
    .dword  0                       // flags: little-endian
    .4byte  2                       // header version 0.2
    .4byte  0
    .dword  0
    .ascii  "RISCV\0\0\0"
    .ascii  "RSC\x05"
    .4byte  0

    .text
    .balign 4
    .type start_boot_hart, @function
start_boot_hart:
    csrw    sie, zero
    li      t0, STATUS_SUM_UNITS
    csrc    sstatus, t0
    lla     t0, boot_hart_is_here
    li      t1, 1
    amoswap.w.aq t1, t1, (t0)
    bnez    t1, late_hart
    mv      s1, a0
    mv      s2, a1

    lla     t0, bss_begin           // .bss is not in the file
    lla     t1, bss_end
1:  sd      zero, 0(t0)
    addi    t0, t0, 8
    bltu    t0, t1, 1b

    lla     sp, boot_stack_top
    li      s0, 0                   // ends backtraces
    lla     s3, kernel_image_begin  // where we are, physically
    mv      a0, s3
    mv      a1, s2
    call    arch_make_boot_tables   // a0 = satp
    lla     t0, boot_satp
    sd      a0, (t0)
    lla     a1, on_kernel_addresses
    call    enter_kernel_addresses
    // Still here: the CPU kept translation off, because it has no Sv48.
    call    arch_report_missing_sv48

    .balign 4
on_kernel_addresses:
    lla     sp, boot_stack_top
    lla     t0, arch_trap_entry
    csrw    stvec, t0
    csrw    sscratch, zero
    sfence.vma
    mv      a0, s1
    mv      a1, s2
    mv      a2, s3
    lla     a3, boot_stack_top
    li      ra, 0                   // ends backtraces, as s0 does
    tail    arch_start
    .size start_boot_hart, . - start_boot_hart

// A second hart at the boot entry: one that start_cpu() has asked for. OpenSBI before 1.2 marks a hart as starting before it
// notes where; a hart that looks in between comes to the first entry that the firmware knew. So start_cpu() leaves a note
// here too.
    .balign 4
    .type late_hart, @function
late_hart:
    ld      t0, arch_starting_hart
    fence   r, rw
    .4byte  0x0100000f              // pause
    bne     t0, a0, late_hart
    ld      a1, arch_starting_cpu
    j       arch_secondary_entry
    .size late_hart, . - late_hart

// Turns translation on with satp = a0 and goes on at the label a1 (given physically). No mapping covers the physical
// addresses we run at: the fetch after the write to satp faults, and the fault goes to stvec, which is the label's kernel
// address. Returns only when the CPU refused this satp.
    .balign 4
    .type enter_kernel_addresses, @function
enter_kernel_addresses:
    ld      t1, kernel_image_offset
    add     a1, a1, t1
    csrw    stvec, a1
    sfence.vma
    csrw    satp, a0
    sfence.vma
    ret
    .size enter_kernel_addresses, . - enter_kernel_addresses

// Entry of the harts that arch::start_cpu() starts, translation off: a0 = hart id, a1 = kernel address of the CpuHeader.
    .balign 4
    .globl arch_secondary_entry
    .type arch_secondary_entry, @function
arch_secondary_entry:
    csrw    sie, zero
    li      t0, STATUS_SUM_UNITS
    csrc    sstatus, t0
    mv      s1, a1
    ld      a0, boot_satp
    lla     a1, secondary_on_kernel_addresses
    call    enter_kernel_addresses
1:  wfi                             // the boot hart has Sv48 and this one hasn't: it stays out
    j       1b
    .balign 4
secondary_on_kernel_addresses:
    lla     t0, arch_trap_entry
    csrw    stvec, t0
    csrw    sscratch, zero
    sfence.vma
    mv      a0, s1
    ld      tp, CPU_CURRENT(a0)
    ld      sp, THREAD_KERNEL_STACK_TOP(tp)
    li      s0, 0
    li      ra, 0
    tail    arch_start_secondary
    .size arch_secondary_entry, . - arch_secondary_entry

    .section .data.boot, "aw", @progbits
    .balign 8
    .globl boot_satp
boot_satp:                          // in .data: read by other harts before they have translation
    .dword  0
    .globl arch_starting_hart, arch_starting_cpu
arch_starting_hart:
    .dword  -1
arch_starting_cpu:
    .dword  0
boot_hart_is_here:
    .4byte  0

    .section .bss.boot_stack, "aw", @nobits
    .balign 4096
    .globl boot_stack_guard
boot_stack_guard:                   // left unmapped
    .space  4096
    .space  1 << KERNEL_STACK_SHIFT
boot_stack_top:
