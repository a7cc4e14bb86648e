// The first instructions of the boot CPU and of the others.
//
// The loader enters with translation off (every address is physical, its upper bits ignored): a1 = physical address of the
// command line, a2 = physical address of the EFI system table.
#include "asm_offsets.hpp"

// Shape of the tables: last level and first directory in PWCL; the root is the third directory, in PWCH, whose fields have
// room for bit 36.
#define LOWER_LEVELS (14 | 11 << 5 | 25 << 10 | 11 << 15)
#define ROOT_LEVEL (36 | 11 << 6)

    // Opens the two windows, goes on in the cached one and turns translation on. Changes t0 and t1.
    .macro enter_window
    li.d    $t0, 0x8000000000000001         // uncached, for PLV0
    csrwr   $t0, CSR_DMW0
    li.d    $t0, 0x9000000000000011         // cached, for PLV0
    csrwr   $t0, CSR_DMW1
    la.pcrel $t0, 9998f
    bstrpick.d $t0, $t0, 47, 0
    lu52i.d $t1, $zero, -1792               // 0x9000…
    or      $t0, $t0, $t1
    jr      $t0
9998:
    li.w    $t0, CRMD_PAGING
    csrwr   $t0, CSR_CRMD
    csrwr   $zero, CSR_PRMD
    csrwr   $zero, CSR_EUEN
    csrwr   $zero, CSR_ECFG
    .endm

    // In the window: where something will be when the image is mapped. Changes t1.
    .macro image_address register, symbol
    la.pcrel \register, \symbol
    bstrpick.d \register, \register, 47, 0
    la.pcrel $t1, kernel_image_offset
    ld.d    $t1, $t1, 0
    add.d   \register, \register, $t1
    .endm

    // From the window to where the image is mapped, once the tables are current. Changes t0 and t1.
    .macro enter_image
    image_address $t0, 9997f
    jr      $t0
9997:
    .endm

    // In the window. Changes t0.
    .macro write_physical symbol, register
    la.pcrel $t0, \symbol
    bstrpick.d $t0, $t0, 47, 0
    csrwr   $t0, \register
    .endm

    .section .head.text, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    enter_window
    move    $s0, $a1
    move    $s1, $a2
    la.pcrel $t0, bss_begin                 // .bss is not in the file
    la.pcrel $t1, bss_end
1:  st.d    $zero, $t0, 0
    addi.d  $t0, $t0, 8
    bltu    $t0, $t1, 1b
    la.pcrel $sp, boot_stack_top
    move    $a0, $s0
    move    $a1, $s1
    bl      arch_place_image
    bl      set_up_cpu
    enter_image
    la.pcrel $sp, boot_stack_top
    move    $a0, $s0
    move    $a1, $s1
    csrrd   $a2, CSR_CPUID
    andi    $a2, $a2, 0x1ff
    move    $a3, $sp
    move    $fp, $zero                      // ends backtraces
    move    $ra, $zero
    b       arch_start
    .size _start, . - _start

// Exception entries and the shape of the tables. Called in the window.
    .text
    .balign 4
    .type set_up_cpu, @function
set_up_cpu:
    image_address $t0, arch_trap_entry
    csrwr   $t0, CSR_EENTRY
    write_physical arch_tlb_refill, CSR_TLBRENTRY
    write_physical arch_machine_error, CSR_MERRENTRY
    li.w    $t0, LOWER_LEVELS
    csrwr   $t0, CSR_PWCL
    li.w    $t0, ROOT_LEVEL
    csrwr   $t0, CSR_PWCH
    li.w    $t0, 14
    csrwr   $t0, CSR_STLBPS
    li.w    $t0, 14
    csrwr   $t0, CSR_TLBREHI
    write_physical arch_empty_table, CSR_PGDL
    write_physical arch_kernel_root, CSR_PGDH
    li.w    $t0, 0x3ff
    csrxchg $zero, $t0, CSR_ASID
    invtlb  0, $zero, $zero
    ret
    .size set_up_cpu, . - set_up_cpu

// Entry of the CPUs that arch::start_cpu() starts: each finds its CpuHeader by its number.
    .balign 4
    .globl arch_secondary_entry
    .type arch_secondary_entry, @function
arch_secondary_entry:
    enter_window
    bl      set_up_cpu
    enter_image
    csrrd   $t0, CSR_CPUID
    andi    $t0, $t0, 0x1ff
    la.pcrel $t1, arch_starting_cpus
    alsl.d  $t1, $t0, $t1, 3
    dbar    0
    ld.d    $a0, $t1, 0
    beqz    $a0, 1f
    st.d    $zero, $t1, 0                   // the answer to start_cpu()
    dbar    0
    ld.d    $r21, $a0, CPU_CURRENT
    ld.d    $sp, $r21, THREAD_KERNEL_STACK_TOP
    move    $fp, $zero
    move    $ra, $zero
    b       arch_start_secondary
1:  idle    0                               // nobody has asked for this one
    b       1b
    .size arch_secondary_entry, . - arch_secondary_entry

    .section .bss.page_tables, "aw", @nobits
    .balign 16384
    .globl arch_empty_table, arch_kernel_root
arch_empty_table:
    .space  16384
arch_kernel_root:
    .space  16384

    .section .bss.boot_stack, "aw", @nobits
    .balign 16384
    .globl boot_stack_guard
boot_stack_guard:
    .space  16384                           // stays unmapped
    .space  1 << KERNEL_STACK_SHIFT
boot_stack_top:
