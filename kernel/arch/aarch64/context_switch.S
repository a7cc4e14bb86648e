// The switch between kernel stacks, and FPSIMD registers to and from memory.
#include <arch_impl/asm_offsets.hpp>

.arch_extension fp
.arch_extension simd

.macro FUNCTION name
    .balign 16
    .globl \name
    .type \name, %function
\name:
.endm
.macro END_FUNCTION name
    .size \name, . - \name
.endm

// Clobbers x9; \state is kept.
.macro SAVE_FPSIMD state
    stp q0, q1, [\state]
    stp q2, q3, [\state, #32]
    stp q4, q5, [\state, #64]
    stp q6, q7, [\state, #96]
    stp q8, q9, [\state, #128]
    stp q10, q11, [\state, #160]
    stp q12, q13, [\state, #192]
    stp q14, q15, [\state, #224]
    stp q16, q17, [\state, #256]
    stp q18, q19, [\state, #288]
    stp q20, q21, [\state, #320]
    stp q22, q23, [\state, #352]
    stp q24, q25, [\state, #384]
    stp q26, q27, [\state, #416]
    stp q28, q29, [\state, #448]
    stp q30, q31, [\state, #480]
    mrs x9, fpsr
    str w9, [\state, #FP_FPSR]
    mrs x9, fpcr
    str w9, [\state, #FP_FPCR]
.endm

// void arch_save_fpsimd(user_fpsimd_state*)
FUNCTION arch_save_fpsimd
    SAVE_FPSIMD x0
    ret
END_FUNCTION arch_save_fpsimd

// void arch_load_fpsimd(const user_fpsimd_state*)
FUNCTION arch_load_fpsimd
    ldp q0, q1, [x0]
    ldp q2, q3, [x0, #32]
    ldp q4, q5, [x0, #64]
    ldp q6, q7, [x0, #96]
    ldp q8, q9, [x0, #128]
    ldp q10, q11, [x0, #160]
    ldp q12, q13, [x0, #192]
    ldp q14, q15, [x0, #224]
    ldp q16, q17, [x0, #256]
    ldp q18, q19, [x0, #288]
    ldp q20, q21, [x0, #320]
    ldp q22, q23, [x0, #352]
    ldp q24, q25, [x0, #384]
    ldp q26, q27, [x0, #416]
    ldp q28, q29, [x0, #448]
    ldp q30, q31, [x0, #480]
    ldr w9, [x0, #FP_FPSR]
    msr fpsr, x9
    ldr w9, [x0, #FP_FPCR]
    msr fpcr, x9
    ret
END_FUNCTION arch_load_fpsimd

// ThreadHeader* arch_switch_context(ThreadHeader* from, ThreadHeader* to): interrupts off.
FUNCTION arch_switch_context
    ldr x2, [x0, #THREAD_USER_CONTEXT]
    cbz x2, 1f
    ldrb w3, [x2, #USER_FP_LIVE]
    cbz w3, 1f
    strb wzr, [x2, #USER_FP_LIVE]                   // the registers stay valid, but memory is now as new
    add x4, x2, #USER_FP_STATE
    SAVE_FPSIMD x4
    ldrb w3, [x2, #USER_SVE_ON]
    cbnz w3, 2f
1:  stp x29, x30, [sp, #-96]!
    mov x29, sp
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    mov x2, sp
    str x2, [x0, #THREAD_SAVED_SP]
    ldr x3, [x0, #THREAD_CPU]
    str x3, [x1, #THREAD_CPU]
    str x1, [x3, #CPU_CURRENT]
    msr tpidr_el1, x1
    ldr x2, [x1, #THREAD_SAVED_SP]
    mov sp, x2
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp x29, x30, [sp], #96
    ret                                             // x0 is still the thread that was left
2:  stp x29, x30, [sp, #-32]!
    mov x29, sp
    stp x0, x1, [sp, #16]
    mov x0, x2
    bl arch_save_sve_of
    ldp x0, x1, [sp, #16]
    ldp x29, x30, [sp], #32
    b 1b
END_FUNCTION arch_switch_context

// Where the first switch to a thread "returns" to; prepare_context makes its frame.
FUNCTION arch_thread_start
    mov x29, xzr
    mov x30, xzr
    b arch_thread_entry
END_FUNCTION arch_thread_start
.section .note.GNU-stack, "", %progbits
