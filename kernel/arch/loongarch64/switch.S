// The context switch, the first code of a new thread, and idling.
#include "asm_offsets.hpp"

    .macro for_saved operation
    \operation $ra, $sp, 0
    \operation $fp, $sp, 8
    \operation $s0, $sp, 16
    \operation $s1, $sp, 24
    \operation $s2, $sp, 32
    \operation $s3, $sp, 40
    \operation $s4, $sp, 48
    \operation $s5, $sp, 56
    \operation $s6, $sp, 64
    \operation $s7, $sp, 72
    \operation $s8, $sp, 80
    .endm

    .text

// ThreadHeader* arch_switch_context(ThreadHeader* from, ThreadHeader* to)
    .balign 4
    .globl arch_switch_context
    .type arch_switch_context, @function
arch_switch_context:
    addi.d  $sp, $sp, -96
    for_saved st.d
    ld.d    $t0, $a0, THREAD_USER_CONTEXT
    beqz    $t0, 1f
    ld.d    $t1, $t0, USER_LIVE
    beqz    $t1, 1f
    move    $s0, $a0
    move    $s1, $a1
    move    $a0, $t0
    bl      arch_save_extended_state
    move    $a0, $s0
    move    $a1, $s1
1:  st.d    $sp, $a0, THREAD_STACK_POINTER
    ld.d    $t0, $a0, THREAD_CPU
    st.d    $t0, $a1, THREAD_CPU
    st.d    $a1, $t0, CPU_CURRENT
    move    $r21, $a1
    ld.d    $sp, $a1, THREAD_STACK_POINTER
    for_saved ld.d
    addi.d  $sp, $sp, 96
    ret
    .size arch_switch_context, . - arch_switch_context

// A new thread returns from its first switch to here: a0 = the thread switched away from.
    .balign 4
    .globl arch_first_switch
    .type arch_first_switch, @function
arch_first_switch:
    move    $fp, $zero              // ends backtraces
    move    $ra, $zero
    b       arch_enter_thread
    .size arch_first_switch, . - arch_first_switch

// void arch_idle(): lets interrupts in and sleeps until one has come. One that comes before the CPU sleeps has nothing left
// to wake it: the trap handler goes on behind the sleep whenever it finds the pc between these two labels.
    .balign 4
    .globl arch_idle, arch_idle_begin, arch_idle_end
    .type arch_idle, @function
arch_idle:
    li.w    $t0, CRMD_IE
    csrxchg $t0, $t0, CSR_CRMD
arch_idle_begin:
    idle    0
arch_idle_end:
    ret
    .size arch_idle, . - arch_idle
