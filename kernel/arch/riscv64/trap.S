// Traps: the one entry, the way into user code and back, and traps taken in the kernel.
//
// sscratch tells where a trap came from: while user code runs it holds the thread (ThreadHeader), in the kernel 0. The
// entry swaps it with tp, so that tp is the thread in the one case and 0 in the other.
#include "asm_offsets.hpp"

// What enter_user() keeps on the stack. Its caller expects no other register to survive.
    .macro for_kept operation
    \operation ra, 0(sp)
    \operation s0, 8(sp)
    .endm
    .equ KEPT_SIZE, 16

// x5 … x31 but x\skip, to or from the array at \base.
    .macro for_x5_to_x31 operation, base, skip
    .irp n, 5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .if \n - \skip
    \operation x\n, 8 * \n(\base)
    .endif
    .endr
    .endm

    .text

// enter_user() (arch_impl/trap.hpp): a0 = context; the TrapReason comes back in a0 and a1. Interrupts are off. All that the
// caller finds unchanged is sp, s0, gp and tp.
    .balign 4
    .globl arch_enter_user
    .type arch_enter_user, @function
arch_enter_user:
    addi    sp, sp, -KEPT_SIZE
    for_kept sd
    sd      sp, THREAD_USER_ENTRY_STACK(tp)

    // Are this context's FP and vector registers, if it has any, still in the CPU?
    ld      t0, USER_STATUS(a0)
    li      t1, STATUS_UNITS
    and     t1, t1, t0
    beqz    t1, 2f
    ld      t1, THREAD_CPU(tp)
    ld      t2, CPU_EXTENDED_OWNER(t1)
    lw      t3, CPU_NUMBER(t1)
    lw      t4, USER_EXTENDED_CPU(a0)
    bne     t2, a0, 1f
    beq     t3, t4, 2f
1:  mv      s1, a0
    call    arch_load_extended_state
    mv      a0, s1
    ld      t0, USER_STATUS(a0)

2:  ld      t1, USER_REGISTER(0)(a0)
    sc.d    zero, t1, (a0)                  // a reservation must not pass from one program to another
    csrw    sstatus, t0
    csrw    sepc, t1
    csrw    sscratch, tp
    ld      x1, USER_REGISTER(1)(a0)
    ld      x2, USER_REGISTER(2)(a0)
    ld      x3, USER_REGISTER(3)(a0)
    ld      x4, USER_REGISTER(4)(a0)
    for_x5_to_x31 ld, a0, 10
    ld      a0, USER_REGISTER(10)(a0)
    sret
    .size arch_enter_user, . - arch_enter_user

    .balign 4
    .globl arch_trap_entry
    .type arch_trap_entry, @function
arch_trap_entry:
    csrrw   tp, sscratch, tp
    beqz    tp, trap_from_kernel

    // ---- from user code: registers into the context, then back into enter_user's caller ----
    sd      sp, THREAD_SCRATCH(tp)
    ld      sp, THREAD_USER_CONTEXT(tp)
    sd      x1, USER_REGISTER(1)(sp)
    sd      x3, USER_REGISTER(3)(sp)
    for_x5_to_x31 sd, sp, 0
    mv      t6, sp
    csrrw   t0, sscratch, zero
    sd      t0, USER_REGISTER(4)(t6)
    ld      t0, THREAD_SCRATCH(tp)
    sd      t0, USER_REGISTER(2)(t6)
    li      t0, STATUS_SUM_UNITS            // the kernel runs without FP; FS and VS are in the context
    csrrc   t1, sstatus, t0
    sd      t1, USER_STATUS(t6)
    csrr    t2, sepc
    csrr    t3, scause
    ld      sp, THREAD_USER_ENTRY_STACK(tp)
    li      t4, CAUSE_ECALL_FROM_USER
    bne     t3, t4, 3f

    addi    t2, t2, 4
    sd      t2, USER_REGISTER(0)(t6)
    sd      a0, USER_ORIGINAL_A0(t6)
    li      t0, 1
    sw      t0, USER_IN_SYSCALL(t6)
    li      a0, 0                           // TrapReason{Kind::Syscall}
    li      a1, 0
    for_kept ld
    addi    sp, sp, KEPT_SIZE
    csrsi   sstatus, STATUS_SIE
    ret

3:  sd      t2, USER_REGISTER(0)(t6)
    sw      zero, USER_IN_SYSCALL(t6)
    ld      s0, 8(sp)                       // enter_user's caller's frame, for backtraces
    mv      a0, t6
    mv      a1, t3
    csrr    a2, stval
    call    arch_user_trap                  // decodes or handles; turns interrupts on
    for_kept ld
    addi    sp, sp, KEPT_SIZE
    ret

    // ---- from kernel code: everything into a frame on the same stack ----
trap_from_kernel:
    csrrw   tp, sscratch, zero
    sd      t0, THREAD_SCRATCH(tp)
    ld      t0, THREAD_KERNEL_STACK_TOP(tp) // would the frame still lie on the stack?
    sub     t0, t0, sp
    addi    t0, t0, FRAME_SIZE
    srli    t0, t0, KERNEL_STACK_SHIFT
    bnez    t0, kernel_stack_overflow
    ld      t0, THREAD_SCRATCH(tp)
    addi    sp, sp, -FRAME_SIZE
    sd      x1, FRAME_REGISTER(1)(sp)
    sd      x3, FRAME_REGISTER(3)(sp)
    sd      x4, FRAME_REGISTER(4)(sp)
    for_x5_to_x31 sd, sp, 0
    addi    t0, sp, FRAME_SIZE
    sd      t0, FRAME_REGISTER(2)(sp)
    li      t0, STATUS_SUM                  // a user copy may have been interrupted; it gets SUM back by the frame
    csrrc   t1, sstatus, t0
    csrr    t2, sepc
    csrr    t3, scause
    csrr    t4, stval
    sd      t2, FRAME_REGISTER(0)(sp)
    sd      t1, FRAME_STATUS(sp)
    sd      t3, FRAME_CAUSE(sp)
    sd      t4, FRAME_VALUE(sp)
    sd      s0, FRAME_RECORD(sp)
    sd      t2, FRAME_RECORD+8(sp)
    addi    s0, sp, FRAME_RECORD+16
    mv      a0, sp
    call    arch_kernel_trap
    ld      t0, FRAME_REGISTER(0)(sp)
    ld      t1, FRAME_STATUS(sp)
    sc.d    zero, t0, (sp)
    csrw    sepc, t0
    csrw    sstatus, t1
    ld      x1, FRAME_REGISTER(1)(sp)
    ld      x3, FRAME_REGISTER(3)(sp)
    for_x5_to_x31 ld, sp, 0
    ld      sp, FRAME_REGISTER(2)(sp)
    sret

// The stack is used up: report from a reserve stack. Only the first CPU that comes here may use it; the report ends in a
// panic, so nobody gives it back.
kernel_stack_overflow:
    lla     t0, emergency_stack_taken
    amoswap.w t0, tp, (t0)
    bnez    t0, 4f
    ld      t0, THREAD_SCRATCH(tp)
    sd      sp, THREAD_SCRATCH(tp)
    lla     sp, emergency_stack_top - FRAME_SIZE
    j       push_overflow_frame
4:  wfi
    j       4b
push_overflow_frame:
    sd      x1, FRAME_REGISTER(1)(sp)
    sd      x3, FRAME_REGISTER(3)(sp)
    sd      x4, FRAME_REGISTER(4)(sp)
    for_x5_to_x31 sd, sp, 0
    ld      t0, THREAD_SCRATCH(tp)
    sd      t0, FRAME_REGISTER(2)(sp)
    csrr    t1, sstatus
    csrr    t2, sepc
    csrr    t3, scause
    csrr    t4, stval
    sd      t2, FRAME_REGISTER(0)(sp)
    sd      t1, FRAME_STATUS(sp)
    sd      t3, FRAME_CAUSE(sp)
    sd      t4, FRAME_VALUE(sp)
    sd      s0, FRAME_RECORD(sp)
    sd      t2, FRAME_RECORD+8(sp)
    addi    s0, sp, FRAME_RECORD+16
    mv      a0, sp
    lla     t0, emergency_stack_top         // further traps are checked against the stack we are on
    sd      t0, THREAD_KERNEL_STACK_TOP(tp)
    tail    arch_kernel_stack_overflow
    .size arch_trap_entry, . - arch_trap_entry

    .section .bss.emergency_stack, "aw", @nobits
    .balign 16
emergency_stack_taken:
    .space  16
    .space  1 << KERNEL_STACK_SHIFT
emergency_stack_top:
