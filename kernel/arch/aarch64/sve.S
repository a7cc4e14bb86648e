// SVE's registers to and from memory, laid out as in signal frames: Z0–Z31, P0–P15, FFR, each as long as ZCR_EL1 says.
#include <arch_impl/asm_offsets.hpp>

.arch_extension fp
.arch_extension simd
.arch_extension sve

.macro FUNCTION name
    .balign 16
    .globl \name
    .type \name, %function
\name:
.endm
.macro END_FUNCTION name
    .size \name, . - \name
.endm
.macro FOR_ALL_Z instruction
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    \instruction z\n, [x0, #\n, mul vl]
    .endr
.endm
.macro FOR_ALL_P instruction
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    \instruction p\n, [x1, #\n, mul vl]
    .endr
.endm

// void arch_save_sve(void* image)
FUNCTION arch_save_sve
    FOR_ALL_Z str
    addvl x1, x0, #31
    addvl x1, x1, #1                                // behind the Z registers
    FOR_ALL_P str
    rdffr p0.b
    str p0, [x1, #16, mul vl]
    ldr p0, [x1]
    ret
END_FUNCTION arch_save_sve

// void arch_load_sve(const void* image)
FUNCTION arch_load_sve
    FOR_ALL_Z ldr
    addvl x1, x0, #31
    addvl x1, x1, #1
    ldr p0, [x1, #16, mul vl]
    wrffr p0.b
    FOR_ALL_P ldr
    ret
END_FUNCTION arch_load_sve

// void arch_clear_sve(): all but the low 128 bits of Z0–Z31.
FUNCTION arch_clear_sve
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    mov v\n\().16b, v\n\().16b
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    pfalse p\n\().b
    .endr
    wrffr p0.b
    ret
END_FUNCTION arch_clear_sve

// u64 arch_sve_vector_bytes()
FUNCTION arch_sve_vector_bytes
    rdvl x0, #1
    ret
END_FUNCTION arch_sve_vector_bytes

.section .note.GNU-stack, "", %progbits
