// Exception vectors, entry to and exit from user code, and exceptions from kernel code. (Arm ARM D1.3)
//
// While user code runs, SP_EL1 points at the frame that arch_run_user pushed: it holds the way back to the caller, the
// UserContext and a scratch word. An exception from user code stores the registers there and returns from arch_run_user.
// An exception from kernel code pushes a TrapFrame on the same stack, calls C++ and continues.
#include <arch_impl/asm_offsets.hpp>

#define ESR_EC_SHIFT 26
#define EC_SVC64 0x15

.macro FUNCTION name
    .balign 16
    .globl \name
    .type \name, %function
\name:
.endm
.macro END_FUNCTION name
    .size \name, . - \name
.endm

.macro USER_VECTOR target
    .balign 128
    str x0, [sp, #RUN_SCRATCH]
    ldr x0, [sp, #RUN_CONTEXT]
    b \target
.endm
.macro KERNEL_VECTOR target
    .balign 128
    b \target
.endm

.text
.balign 2048
.globl exception_vectors
exception_vectors:
    // On SP_EL0, which the kernel never selects.
    KERNEL_VECTOR kernel_unexpected
    KERNEL_VECTOR kernel_unexpected
    KERNEL_VECTOR kernel_unexpected
    KERNEL_VECTOR kernel_unexpected
    // From kernel code: synchronous, IRQ, FIQ, SError.
    KERNEL_VECTOR kernel_synchronous
    KERNEL_VECTOR kernel_irq
    KERNEL_VECTOR kernel_unexpected
    KERNEL_VECTOR kernel_unexpected
    // From AArch64 user code.
    USER_VECTOR user_synchronous
    USER_VECTOR user_irq
    KERNEL_VECTOR kernel_unexpected
    KERNEL_VECTOR kernel_unexpected
    // From AArch32 user code, which is never entered.
    KERNEL_VECTOR kernel_unexpected
    KERNEL_VECTOR kernel_unexpected
    KERNEL_VECTOR kernel_unexpected
    KERNEL_VECTOR kernel_unexpected

// TrapReason arch_run_user(UserContext*): interrupts off.
FUNCTION arch_run_user
    stp x29, x30, [sp, #-RUN_SIZE]!
    mov x29, sp
    str x0, [sp, #RUN_CONTEXT]
    stp x19, x20, [sp, #RUN_SAVED]
    stp x21, x22, [sp, #RUN_SAVED + 16]
    stp x23, x24, [sp, #RUN_SAVED + 32]
    stp x25, x26, [sp, #RUN_SAVED + 48]
    stp x27, x28, [sp, #RUN_SAVED + 64]
    ldp x1, x2, [x0, #USER_PC]
    msr elr_el1, x1
    msr spsr_el1, x2
    ldr x3, [x0, #USER_SP]
    ldr x4, [x0, #USER_TLS]
    msr sp_el0, x3
    msr tpidr_el0, x4
    ldp x2, x3, [x0, #16]
    ldp x4, x5, [x0, #32]
    ldp x6, x7, [x0, #48]
    ldp x8, x9, [x0, #64]
    ldp x10, x11, [x0, #80]
    ldp x12, x13, [x0, #96]
    ldp x14, x15, [x0, #112]
    ldp x16, x17, [x0, #128]
    ldp x18, x19, [x0, #144]
    ldp x20, x21, [x0, #160]
    ldp x22, x23, [x0, #176]
    ldp x24, x25, [x0, #192]
    ldp x26, x27, [x0, #208]
    ldp x28, x29, [x0, #224]
    ldr x30, [x0, #USER_X30]
    ldp x0, x1, [x0]
    eret
END_FUNCTION arch_run_user

// Stores all user registers; x0 = UserContext, x0's own value lies in the scratch word. Leaves pstate in x3.
.macro SAVE_USER
    str x1, [x0, #8]
    stp x2, x3, [x0, #16]
    ldr x1, [sp, #RUN_SCRATCH]
    stp x4, x5, [x0, #32]
    stp x6, x7, [x0, #48]
    stp x8, x9, [x0, #64]
    str x1, [x0]
    stp x10, x11, [x0, #80]
    stp x12, x13, [x0, #96]
    stp x14, x15, [x0, #112]
    stp x16, x17, [x0, #128]
    stp x18, x19, [x0, #144]
    mrs x2, elr_el1
    mrs x3, spsr_el1
    stp x20, x21, [x0, #160]
    stp x22, x23, [x0, #176]
    stp x24, x25, [x0, #192]
    stp x26, x27, [x0, #208]
    stp x28, x29, [x0, #224]
    mrs x4, sp_el0
    mrs x5, tpidr_el0
    stp x30, x4, [x0, #USER_X30]
    stp x2, x3, [x0, #USER_PC]
    str x5, [x0, #USER_TLS]
.endm

// Brings back what arch_run_user's caller expects preserved, and its frame.
.macro LEAVE_RUN
    ldp x19, x20, [sp, #RUN_SAVED]
    ldp x21, x22, [sp, #RUN_SAVED + 16]
    ldp x23, x24, [sp, #RUN_SAVED + 32]
    ldp x25, x26, [sp, #RUN_SAVED + 48]
    ldp x27, x28, [sp, #RUN_SAVED + 64]
    ldp x29, x30, [sp], #RUN_SIZE
.endm

FUNCTION user_synchronous
    SAVE_USER
    mrs x9, esr_el1
    lsr x10, x9, #ESR_EC_SHIFT
    cmp x10, #EC_SVC64
    b.ne 1f
    mov w11, #1                                     // in_syscall, no result yet
    stp x1, x8, [x0, #USER_ORIGINAL_X0]
    str w11, [x0, #USER_SYSCALL_FLAGS]              // and SVE's registers are forgotten
    LEAVE_RUN
    mov x0, #0                                      // TrapReason{Kind::Syscall}
    mov x1, #0
    msr daifclr, #2
    ret
1:  mrs x2, far_el1
    mov x1, x9
    LEAVE_RUN
    strh wzr, [x0, #USER_SYSCALL_FLAGS]
    msr daifclr, #2
    b arch_user_exception                           // (context, syndrome, address) -> TrapReason
END_FUNCTION user_synchronous

FUNCTION user_irq
    SAVE_USER
    LEAVE_RUN
    strh wzr, [x0, #USER_SYSCALL_FLAGS]
    b arch_user_interrupt                           // () -> TrapReason
END_FUNCTION user_irq

// Pushes a TrapFrame; x29 then points at its frame record.
.macro SAVE_KERNEL
    sub sp, sp, #FRAME_SIZE
    stp x0, x1, [sp]
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x19, [sp, #144]
    stp x20, x21, [sp, #160]
    stp x22, x23, [sp, #176]
    stp x24, x25, [sp, #192]
    stp x26, x27, [sp, #208]
    stp x28, x29, [sp, #224]
    add x0, sp, #FRAME_SIZE
    mrs x1, elr_el1
    mrs x2, spsr_el1
    stp x30, x0, [sp, #FRAME_X30]
    stp x1, x2, [sp, #FRAME_PC]
    stp x29, x1, [sp, #FRAME_RECORD]
    add x29, sp, #FRAME_RECORD
    mov x0, sp
.endm

.macro RESTORE_KERNEL
    ldp x1, x2, [sp, #FRAME_PC]
    msr elr_el1, x1
    msr spsr_el1, x2
    ldp x2, x3, [sp, #16]
    ldp x4, x5, [sp, #32]
    ldp x6, x7, [sp, #48]
    ldp x8, x9, [sp, #64]
    ldp x10, x11, [sp, #80]
    ldp x12, x13, [sp, #96]
    ldp x14, x15, [sp, #112]
    ldp x16, x17, [sp, #128]
    ldp x18, x19, [sp, #144]
    ldp x20, x21, [sp, #160]
    ldp x22, x23, [sp, #176]
    ldp x24, x25, [sp, #192]
    ldp x26, x27, [sp, #208]
    ldp x28, x29, [sp, #224]
    ldr x30, [sp, #FRAME_X30]
    ldp x0, x1, [sp]
    add sp, sp, #FRAME_SIZE
    eret
.endm

FUNCTION kernel_synchronous
    // Is there room for the frame? A stack that has run into its guard page would fault again and again.
    // tpidrro_el0 is the one free word; user code may read it, so it doesn't keep what it held.
    msr tpidrro_el0, x0
    mrs x0, tpidr_el1
    ldr x0, [x0, #THREAD_KERNEL_STACK_TOP]
    sub x0, x0, #KERNEL_STACK_SIZE
    add x0, x0, #FRAME_SIZE
    sub x0, sp, x0, uxtx
    tbnz x0, #63, kernel_stack_overflow
    mrs x0, tpidrro_el0
    msr tpidrro_el0, xzr
    SAVE_KERNEL
    mrs x1, esr_el1
    mrs x2, far_el1
    bl arch_kernel_exception                        // (frame, syndrome, address)
    msr daifset, #2
    RESTORE_KERNEL
END_FUNCTION kernel_synchronous

FUNCTION kernel_irq
    SAVE_KERNEL
    bl arch_kernel_interrupt                        // (frame): interrupts off on return
    RESTORE_KERNEL
END_FUNCTION kernel_irq

FUNCTION kernel_stack_overflow
    adrp x0, overflow_stack_top
    add x0, x0, :lo12:overflow_stack_top
    sub x0, x0, #16
    str x1, [x0]
    mov x1, sp
    str x1, [x0, #8]                                // the sp that overflowed
    mov sp, x0
    ldr x1, [x0]
    mrs x0, tpidrro_el0
    msr tpidrro_el0, xzr
    SAVE_KERNEL
    ldr x1, [sp, #FRAME_SIZE + 8]
    str x1, [sp, #FRAME_SP]
    mrs x1, esr_el1
    mrs x2, far_el1
    bl arch_stack_overflow
END_FUNCTION kernel_stack_overflow

FUNCTION kernel_unexpected
    SAVE_KERNEL
    mrs x1, esr_el1
    mrs x2, far_el1
    bl arch_unexpected_exception
END_FUNCTION kernel_unexpected

.section .bss
.balign 16
overflow_stack: .skip 8192
overflow_stack_top:
.section .note.GNU-stack, "", %progbits
