// Image header and first instructions, of the boot CPU and of the others: down to EL1, page tables, MMU, C++.
// Protocol: Linux's Documentation/arch/arm64/booting.rst, "Call the kernel image". x0 is the FDT, the MMU is off.
#include <arch_impl/asm_offsets.hpp>

#define SCTLR_MMU_OFF 0x30d00800 // only the bits that are RES1
// M C SA SA0 I DZE UCT nTWI nTWE UCI and the RES1 bits (SPAN, bit 23, is dropped where the CPU has PAN)
#define SCTLR_MMU_ON 0x34d5d81d
// 48-bit halves, 4 KiB granules, write-back inner-shareable walks, TBI0
#define TCR_COMMON ((16 << 0) | (1 << 8) | (1 << 10) | (3 << 12) | (16 << 16) | (1 << 24) | (1 << 26) | (3 << 28) | (2 << 30) | (1 << 37))

.section .head.text, "ax"
.globl _start
_start:
    b primary_entry
    .4byte 0
    .8byte 0                                        // text_offset: any 2 MiB boundary
    .8byte kernel_image_size                        // .bss included
    .8byte 0xa                                      // little-endian, 4 KiB pages, anywhere in memory
    .8byte 0, 0, 0
    .ascii "ARM\x64"
    .4byte 0

.macro FUNCTION name
    .balign 16
    .type \name, %function
\name:
.endm
// A 64-bit constant in as few moves as its halves need.
.macro mov_q register, value
    movz \register, #((\value) & 0xffff)
    movk \register, #(((\value) >> 16) & 0xffff), lsl #16
    movk \register, #(((\value) >> 32) & 0xffff), lsl #32
.endm
// From the identity map to a label's kernel address.
.macro JUMP_TO_VIRTUAL label
    adrp x8, kernel_image_offset
    ldr x8, [x8, :lo12:kernel_image_offset]
    adr x9, \label
    add x8, x8, x9
    br x8
.endm
.macro END_FUNCTION name
    .size \name, . - \name
.endm

FUNCTION primary_entry
    msr daifset, #15
    mov x21, x0
    bl drop_to_el1
    adrp x0, bss_begin
    adrp x1, bss_end
1:  stp xzr, xzr, [x0], #16
    cmp x0, x1
    b.lo 1b
    adrp x0, boot_stack_top
    mov sp, x0
    mov x29, xzr
    mov x0, x21
    bl arch_build_boot_tables
    // The stores above, and those of relocation, went past the caches; drop lines that a loader may have left over them.
    adrp x0, kernel_rodata_begin
    adrp x1, bss_end
    mrs x2, ctr_el0
    ubfx x2, x2, #16, #4
    mov x3, #4
    lsl x3, x3, x2                                  // smallest data-cache line
2:  dc ivac, x0
    add x0, x0, x3
    cmp x0, x1
    b.lo 2b
    dsb sy
    adr x22, _start                                 // still the physical address
    bl enable_mmu
    JUMP_TO_VIRTUAL primary_virtual
END_FUNCTION primary_entry

FUNCTION primary_virtual
    adrp x0, boot_stack_top
    mov sp, x0
    adrp x0, exception_vectors
    add x0, x0, :lo12:exception_vectors
    msr vbar_el1, x0
    isb
    mov x29, xzr
    mov x30, xzr
    mov x0, x21
    mov x1, x22
    b arch_boot_main
END_FUNCTION primary_virtual

// x0 = the CpuHeader (virtual), as given to PSCI CPU_ON.
.globl secondary_entry
FUNCTION secondary_entry
    msr daifset, #15
    mov x21, x0
    bl drop_to_el1
    bl enable_mmu
    JUMP_TO_VIRTUAL secondary_virtual
END_FUNCTION secondary_entry

FUNCTION secondary_virtual
    adrp x0, exception_vectors
    add x0, x0, :lo12:exception_vectors
    msr vbar_el1, x0
    isb
    ldr x1, [x21, #CPU_CURRENT]
    msr tpidr_el1, x1
    ldr x2, [x1, #THREAD_KERNEL_STACK_TOP]
    mov sp, x2
    mov x29, xzr
    mov x30, xzr
    mov x0, x21
    b arch_secondary_main
END_FUNCTION secondary_virtual

// Leaves EL2, if that is where we are, for EL1 with everything below EL2 untrapped. Clobbers x0–x2.
FUNCTION drop_to_el1
    mov x2, x30
    mov_q x0, SCTLR_MMU_OFF
    mrs x1, CurrentEL
    cmp x1, #8
    b.eq 1f
    msr sctlr_el1, x0
    isb
    ret
1:  msr sctlr_el1, x0
    mov x0, #(1 << 31)                              // HCR_EL2.RW: EL1 is AArch64; nothing else trapped
    msr hcr_el2, x0
    isb
    mrs x0, cnthctl_el2
    orr x0, x0, #3                                  // counter and timer usable at EL1
    msr cnthctl_el2, x0
    msr cntvoff_el2, xzr
    mov x0, #0x32ff
    msr cptr_el2, x0                                // FP and SVE not trapped
    mrs x0, id_aa64pfr0_el1
    ubfx x0, x0, #32, #4
    cbz x0, 2f
    isb
    mov x0, #15
    msr S3_4_C1_C2_0, x0                            // ZCR_EL2.LEN: vectors of any length
2:
    msr hstr_el2, xzr
    mrs x0, pmcr_el0
    ubfx x0, x0, #11, #5
    msr mdcr_el2, x0                                // all counters belong to EL1
    msr vttbr_el2, xzr
    mrs x0, midr_el1
    msr vpidr_el2, x0
    mrs x0, mpidr_el1
    msr vmpidr_el2, x0
    mrs x0, id_aa64pfr0_el1
    ubfx x0, x0, #24, #4                            // GIC system registers
    cbz x0, 2f
    mrs x0, S3_4_C12_C9_5                           // ICC_SRE_EL2: SRE and Enable
    mov x1, #9
    orr x0, x0, x1
    msr S3_4_C12_C9_5, x0
    isb
    msr S3_4_C12_C11_0, xzr                         // ICH_HCR_EL2
2:  mov x0, #0x3c5                                  // EL1h, all masked
    msr spsr_el2, x0
    msr elr_el2, x2
    eret
END_FUNCTION drop_to_el1

// Turns the MMU on with the identity tables below and the kernel tables above. Clobbers x0–x5.
FUNCTION enable_mmu
    mov_q x0, 0x004404ff                            // mair_value of arch_impl/mmu.hpp
    msr mair_el1, x0
    mov_q x0, TCR_COMMON
    mrs x1, id_aa64mmfr0_el1
    and x2, x1, #15                                 // physical address size, at most 48 bits
    mov x3, #5
    cmp x2, x3
    csel x2, x2, x3, lo
    orr x0, x0, x2, lsl #32
    ubfx x2, x1, #4, #4
    cmp x2, #2                                      // 16-bit ASIDs
    b.ne 1f
    orr x0, x0, #(1 << 36)
1:  mrs x1, id_aa64mmfr1_el1
    and x2, x1, #15
    cbz x2, 2f
    orr x0, x0, #(1 << 39)                          // hardware sets the access flag
2:  msr tcr_el1, x0
    adrp x2, identity_root_page
    msr ttbr0_el1, x2
    adrp x2, kernel_root_page
    msr ttbr1_el1, x2
    isb
    tlbi vmalle1
    ic iallu
    dsb nsh
    isb
    mov_q x0, SCTLR_MMU_ON
    ubfx x2, x1, #20, #4                            // PAN
    cbz x2, 3f
    bic x0, x0, #(1 << 23)                          // SPAN: exceptions set PAN
3:  msr sctlr_el1, x0
    isb
    ret
END_FUNCTION enable_mmu

.section .bss
.balign 4096
.globl kernel_root_page
kernel_root_page: .skip 4096
.globl identity_root_page
identity_root_page: .skip 4096
.globl boot_stack_top, boot_stack_guard
boot_stack_guard: .skip 4096 // left unmapped
boot_stack: .skip KERNEL_STACK_SIZE
boot_stack_top:
.section .note.GNU-stack, "", %progbits
