// The context switch and the first code of a new thread.
#include "asm_offsets.hpp"

    .text

// ThreadHeader* arch_switch_context(ThreadHeader* from, ThreadHeader* to)
    .balign 4
    .globl arch_switch_context
    .type arch_switch_context, @function
arch_switch_context:
    addi    sp, sp, -112
    sd      ra, 0(sp)
    sd      s0, 8(sp)
    sd      s1, 16(sp)
    sd      s2, 24(sp)
    sd      s3, 32(sp)
    sd      s4, 40(sp)
    sd      s5, 48(sp)
    sd      s6, 56(sp)
    sd      s7, 64(sp)
    sd      s8, 72(sp)
    sd      s9, 80(sp)
    sd      s10, 88(sp)
    sd      s11, 96(sp)
    ld      t0, THREAD_USER_CONTEXT(a0)
    beqz    t0, 1f
    ld      t1, USER_STATUS(t0)
    bgez    t1, 1f                  // sstatus.SD: the FP or vector registers are dirty
    mv      s1, a0
    mv      s2, a1
    mv      a0, t0
    call    arch_save_extended_state
    mv      a0, s1
    mv      a1, s2
1:  sd      sp, THREAD_STACK_POINTER(a0)
    ld      t0, THREAD_CPU(a0)
    sd      t0, THREAD_CPU(a1)
    sd      a1, CPU_CURRENT(t0)
    mv      tp, a1
    ld      sp, THREAD_STACK_POINTER(a1)
    ld      ra, 0(sp)
    ld      s0, 8(sp)
    ld      s1, 16(sp)
    ld      s2, 24(sp)
    ld      s3, 32(sp)
    ld      s4, 40(sp)
    ld      s5, 48(sp)
    ld      s6, 56(sp)
    ld      s7, 64(sp)
    ld      s8, 72(sp)
    ld      s9, 80(sp)
    ld      s10, 88(sp)
    ld      s11, 96(sp)
    addi    sp, sp, 112
    ret
    .size arch_switch_context, . - arch_switch_context

// A new thread returns from its first switch to here: a0 = the thread switched away from.
    .balign 4
    .globl arch_first_switch
    .type arch_first_switch, @function
arch_first_switch:
    li      s0, 0                   // ends backtraces
    li      ra, 0
    tail    arch_enter_thread
    .size arch_first_switch, . - arch_first_switch
