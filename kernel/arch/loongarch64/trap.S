// Traps: TLB refill, the general entry, the way into user code and back, and traps taken in the kernel.
//
// PRMD tells where a trap came from. $r21 is always the thread in the kernel; from user code it is swapped with SAVE0.
//
// The refill handler puts an invalid entry into the TLB where the tables have none. Nothing drops that entry when the page
// appears, so whoever gets the page-invalid exception drops it: the trap decoder for user addresses, and for the kernel
// area the entry below, before it touches memory that might need the very page.
#include "asm_offsets.hpp"

// What enter_user() keeps on the stack. Its caller expects no other register to survive.
    .macro for_kept operation
    \operation $ra, $sp, 0
    \operation $fp, $sp, 8
    .endm
    .equ KEPT_SIZE, 16

// All registers but $zero, $r3, $r12 and $r21, to or from the array at \base.
    .macro for_most operation, base
    .irp n, 1,2,4,5,6,7,8,9,10,11,13,14,15,16,17,18,19,20,22,23,24,25,26,27,28,29,30,31
    \operation $r\n, \base, 8 * \n
    .endr
    .endm

// Both run with translation off.
    .section .text.entries, "ax", @progbits
    .balign 4096
    .globl arch_tlb_refill
    .type arch_tlb_refill, @function
arch_tlb_refill:
    csrwr   $t0, CSR_TLBRSAVE
    csrrd   $t0, CSR_PGD
    lddir   $t0, $t0, 3
    beqz    $t0, 2f
    lddir   $t0, $t0, 1
    beqz    $t0, 2f
    ldpte   $t0, 0
    ldpte   $t0, 1
1:  tlbfill
    csrrd   $t0, CSR_TLBRSAVE
    ertn
2:  csrrd   $t0, CSR_TLBREHI               // a large leaf may have left another page size there
    bstrins.d $t0, $zero, 5, 0
    ori     $t0, $t0, 14
    csrwr   $t0, CSR_TLBREHI
    csrwr   $zero, CSR_TLBRELO0
    csrwr   $zero, CSR_TLBRELO1
    b       1b
    .size arch_tlb_refill, . - arch_tlb_refill

    .balign 4096
    .globl arch_machine_error
    .type arch_machine_error, @function
arch_machine_error:
    idle    0
    b       arch_machine_error
    .size arch_machine_error, . - arch_machine_error

    .balign 4096
    .globl arch_trap_entry
    .type arch_trap_entry, @function
arch_trap_entry:
    csrwr   $t0, CSR_SAVE1
    csrrd   $t0, CSR_PRMD
    andi    $t0, $t0, MODE_PLV
    beqz    $t0, trap_from_kernel
    csrrd   $t0, CSR_ESTAT
    bstrpick.d $t0, $t0, 21, 16
    addi.d  $t0, $t0, -CODE_SYSCALL
    beqz    $t0, trap_by_syscall

    // ---- from user code: registers into the context, then back into enter_user's caller ----
    csrwr   $r21, CSR_SAVE0
    ld.d    $t0, $r21, THREAD_USER_CONTEXT
    for_most st.d, $t0
    st.d    $r3, $t0, USER_REGISTER(3)
    csrrd   $t1, CSR_SAVE1
    st.d    $t1, $t0, USER_REGISTER(12)
    csrrd   $t1, CSR_SAVE0
    st.d    $t1, $t0, USER_REGISTER(21)
    ld.d    $sp, $r21, THREAD_USER_ENTRY_STACK
    csrrd   $t1, CSR_ERA
    st.d    $t1, $t0, USER_REGISTER(0)
    st.w    $zero, $t0, USER_IN_SYSCALL
    ld.d    $fp, $sp, 8                     // enter_user's caller's frame, for backtraces
    move    $a0, $t0
    csrrd   $a1, CSR_ESTAT
    csrrd   $a2, CSR_BADV
    bl      arch_user_trap                  // decodes or handles; turns interrupts on
    for_kept ld.d
    addi.d  $sp, $sp, KEPT_SIZE
    ret

    // ---- a system call: user code expects $t0 … $t8 to be lost (LoongArch's system call ABI), so the context keeps what
    // it had in them ----
trap_by_syscall:
    csrwr   $r21, CSR_SAVE0
    ld.d    $t0, $r21, THREAD_USER_CONTEXT
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,22,23,24,25,26,27,28,29,30,31
    st.d    $r\n, $t0, USER_REGISTER(\n)
    .endr
    csrrd   $t1, CSR_SAVE0
    st.d    $t1, $t0, USER_REGISTER(21)
    csrrd   $t1, CSR_ERA
    addi.d  $t1, $t1, 4
    st.d    $t1, $t0, USER_REGISTER(0)
    st.d    $a0, $t0, USER_ORIGINAL_A0
    li.w    $t1, 1
    st.w    $t1, $t0, USER_IN_SYSCALL
    ld.d    $sp, $r21, THREAD_USER_ENTRY_STACK
    move    $a0, $zero                      // TrapReason{Kind::Syscall}
    move    $a1, $zero
    for_kept ld.d
    addi.d  $sp, $sp, KEPT_SIZE
    li.w    $t0, CRMD_IE
    csrxchg $t0, $t0, CSR_CRMD
    ret

    // ---- from kernel code ----
trap_from_kernel:
    csrwr   $t1, CSR_SAVE2
    csrrd   $t0, CSR_ESTAT
    bstrpick.d $t0, $t0, 21, 16
    addi.d  $t0, $t0, -1
    sltui   $t0, $t0, 3                     // codes 1 … 3: page invalid
    beqz    $t0, 4f
    csrrd   $t0, CSR_BADV
    bge     $t0, $zero, 4f                  // a user address

    csrwr   $t2, CSR_SAVE3                  // is it in the tables? Then only the TLB's entry was stale
    csrrd   $t1, CSR_ASID
    bstrpick.d $t1, $t1, 9, 0
    invtlb  6, $t1, $t0
    csrrd   $t1, CSR_PGDH
    lu52i.d $t2, $zero, -1792               // the cached window, 0x9000…
    or      $t1, $t1, $t2
    bstrpick.d $t2, $t0, 46, 36
    alsl.d  $t1, $t2, $t1, 3
    ld.d    $t1, $t1, 0
    beqz    $t1, 3f
    lu52i.d $t2, $zero, -1792
    or      $t1, $t1, $t2
    bstrpick.d $t2, $t0, 35, 25
    alsl.d  $t1, $t2, $t1, 3
    ld.d    $t1, $t1, 0
    beqz    $t1, 3f
    andi    $t2, $t1, 0x80                  // a large leaf
    bnez    $t2, 2f
    lu52i.d $t2, $zero, -1792
    or      $t1, $t1, $t2
    bstrpick.d $t2, $t0, 24, 14
    alsl.d  $t1, $t2, $t1, 3
    ld.d    $t1, $t1, 0
2:  andi    $t1, $t1, 1
    beqz    $t1, 3f
    csrrd   $t2, CSR_SAVE3
    csrrd   $t1, CSR_SAVE2
    csrrd   $t0, CSR_SAVE1
    ertn
3:  csrrd   $t2, CSR_SAVE3

    // Everything into a frame on the same stack.
4:  csrrd   $t1, CSR_SAVE2
    ld.d    $t0, $r21, THREAD_KERNEL_STACK_TOP // would the frame still lie on the stack?
    sub.d   $t0, $t0, $sp
    addi.d  $t0, $t0, FRAME_SIZE
    srli.d  $t0, $t0, KERNEL_STACK_SHIFT
    bnez    $t0, kernel_stack_overflow
    csrrd   $t0, CSR_SAVE1
    addi.d  $sp, $sp, -FRAME_SIZE
    for_most st.d, $sp
    st.d    $t0, $sp, FRAME_REGISTER(12)
    st.d    $r21, $sp, FRAME_REGISTER(21)
    addi.d  $t0, $sp, FRAME_SIZE
    st.d    $t0, $sp, FRAME_REGISTER(3)
    bl      finish_frame
    bl      arch_kernel_trap
    ld.d    $t0, $sp, FRAME_REGISTER(0)
    ld.d    $t1, $sp, FRAME_MODE
    csrwr   $t0, CSR_ERA
    csrwr   $t1, CSR_PRMD
    for_most ld.d, $sp
    ld.d    $r12, $sp, FRAME_REGISTER(12)
    ld.d    $r3, $sp, FRAME_REGISTER(3)
    ertn

// The control registers and the stack-frame record; a0 = the frame.
finish_frame:
    csrrd   $t0, CSR_ERA
    csrrd   $t1, CSR_PRMD
    csrrd   $t2, CSR_ESTAT
    csrrd   $t3, CSR_BADV
    st.d    $t0, $sp, FRAME_REGISTER(0)
    st.d    $t1, $sp, FRAME_MODE
    st.d    $t2, $sp, FRAME_STATUS
    st.d    $t3, $sp, FRAME_ADDRESS
    st.d    $fp, $sp, FRAME_RECORD
    st.d    $t0, $sp, FRAME_RECORD+8
    addi.d  $fp, $sp, FRAME_RECORD+16
    move    $a0, $sp
    ret

// The stack is used up: report from a reserve stack. Only the first CPU that comes here may use it; the report ends in a
// panic, so nobody gives it back.
kernel_stack_overflow:
    csrwr   $t1, CSR_SAVE2
    la.pcrel $t0, emergency_stack_taken
    li.w    $t1, 1
    csrwr   $t2, CSR_SAVE3
    amswap.w $t2, $t1, $t0
    bnez    $t2, 5f
    csrrd   $t2, CSR_SAVE3
    csrrd   $t1, CSR_SAVE2
    move    $t0, $sp
    la.pcrel $sp, emergency_stack_top - FRAME_SIZE
    for_most st.d, $sp
    st.d    $t0, $sp, FRAME_REGISTER(3)
    csrrd   $t0, CSR_SAVE1
    st.d    $t0, $sp, FRAME_REGISTER(12)
    st.d    $r21, $sp, FRAME_REGISTER(21)
    bl      finish_frame
    la.pcrel $t0, emergency_stack_top        // further traps are checked against the stack we are on
    st.d    $t0, $r21, THREAD_KERNEL_STACK_TOP
    b       arch_kernel_stack_overflow
5:  idle    0
    b       5b
    .size arch_trap_entry, . - arch_trap_entry

// enter_user() (arch_impl/trap.hpp): a0 = context; the TrapReason comes back in a0 and a1. Interrupts are off. All that the
// caller finds unchanged is sp, fp and r21.
    .text
    .balign 4
    .globl arch_enter_user
    .type arch_enter_user, @function
arch_enter_user:
    addi.d  $sp, $sp, -KEPT_SIZE
    for_kept st.d
    st.d    $sp, $r21, THREAD_USER_ENTRY_STACK

    // Are this context's FP and vector registers, if it has any, still in the CPU?
    ld.d    $t0, $a0, USER_UNITS
    beqz    $t0, 2f
    ld.d    $t1, $r21, THREAD_CPU
    ld.d    $t2, $t1, CPU_EXTENDED_OWNER
    ld.w    $t3, $t1, CPU_NUMBER
    ld.w    $t4, $a0, USER_EXTENDED_CPU
    bne     $t2, $a0, 1f
    beq     $t3, $t4, 2f
1:  move    $s0, $a0
    bl      arch_load_extended_state
    move    $a0, $s0
    ld.d    $t0, $a0, USER_UNITS
2:  st.d    $t0, $a0, USER_LIVE             // with a unit on, only the registers are right from here on
    csrwr   $t0, CSR_EUEN
    li.w    $t0, MODE_USER
    csrwr   $t0, CSR_PRMD
    ld.d    $t0, $a0, USER_REGISTER(0)
    csrwr   $t0, CSR_ERA
    move    $t0, $r21
    csrwr   $t0, CSR_SAVE0
    move    $t0, $a0
    ld.d    $r21, $t0, USER_REGISTER(21)
    ld.d    $r3, $t0, USER_REGISTER(3)
    for_most ld.d, $t0
    ld.d    $t0, $t0, USER_REGISTER(12)
    ertn
    .size arch_enter_user, . - arch_enter_user

    .section .bss.emergency_stack, "aw", @nobits
    .balign 16
emergency_stack_taken:
    .space  16
    .space  1 << KERNEL_STACK_SHIFT
emergency_stack_top:
