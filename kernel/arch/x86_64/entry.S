// Into user code and back, and every trap. UserRegisters (offsets.h) is the frame of all of them: for user code it lies
// in the thread's UserContext, for kernel code on the kernel stack.
//
// While user code runs, the task state's rsp0 is the end of the context's registers, so that the CPU itself pushes there,
// and CPU_KERNEL_SP is the kernel stack as enter_user() left it: coming back is "store registers, load that, return".
// Of the kernel's registers it keeps rbp only; its caller is told so (arch_impl/trap.hpp).

#include "offsets.h"
#include "smap.h"

#define MSR_GS_BASE 0xc0000101

    // After vector and error code: the general registers, rdi highest.
    .macro PUSH_REGISTERS
    pushq %rdi
    PUSH_REGISTERS_AFTER_RDI
    .endm
    .macro PUSH_REGISTERS_AFTER_RDI
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %rax
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    .endm
    // And back, dropping vector and error code.
    .macro POP_REGISTERS
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rax
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    addq $16, %rsp
    .endm
    // All of user code's general registers but rcx, r11 and rsp, rdi last.
    .macro LOAD_REGISTERS
    movq REG_R15(%rdi), %r15
    movq REG_R14(%rdi), %r14
    movq REG_R13(%rdi), %r13
    movq REG_R12(%rdi), %r12
    movq REG_RBP(%rdi), %rbp
    movq REG_RBX(%rdi), %rbx
    movq REG_R10(%rdi), %r10
    movq REG_R9(%rdi), %r9
    movq REG_R8(%rdi), %r8
    movq REG_RAX(%rdi), %rax
    movq REG_RDX(%rdi), %rdx
    movq REG_RSI(%rdi), %rsi
    .endm

    .section .text.entry, "ax"

// enter_user() (arch_impl/trap.hpp): rdi = context; the TrapReason comes back in rax and rdx. Interrupts are off.
    .balign 64
    .globl arch_enter_user
    .type arch_enter_user, @function
arch_enter_user:
    pushq %rbp                   // also aligns the stack
    movq %rsp, %gs:CPU_KERNEL_SP
    leaq REGS_SIZE(%rdi), %rax
    movq %rax, %gs:CPU_TSS_RSP0
    movq %rdi, %gs:CPU_ENTERED
    cmpq %rdi, %gs:CPU_LIVE_CONTEXT
    jne load_state
state_loaded:
    movb $1, CONTEXT_NEWER(%rdi)
    // sysret does when rcx and r11 may hold rip and rflags, as after a syscall that nothing has edited. With the trap or
    // resume flag set it would behave otherwise than iret, and with a non-canonical rip it would fault in the kernel
    // (SDM vol. 2, SYSRET).
    movq REG_RIP(%rdi), %rcx
    movq REG_RFLAGS(%rdi), %r11
    cmpq %rcx, REG_RCX(%rdi)
    jne return_by_iret
    cmpq %r11, REG_R11(%rdi)
    jne return_by_iret
    testl $0x10100, %r11d
    jnz return_by_iret
    movq %rcx, %rax
    shrq $47, %rax
    jnz return_by_iret
    LOAD_REGISTERS
    movq REG_RSP(%rdi), %rsp
    movq REG_RDI(%rdi), %rdi
    swapgs
    sysretq

load_state:
    pushq %rdi
    subq $8, %rsp
    call arch_load_user_state
    addq $8, %rsp
    popq %rdi
    jmp state_loaded

return_by_iret:
    movq %rcx, %rax              // an iret to a non-canonical address faults: refuse before
    sarq $47, %rax
    incq %rax
    cmpq $1, %rax
    ja bad_program_counter
    pushq $USER_DS
    pushq REG_RSP(%rdi)
    pushq %r11
    pushq $USER_CS
    pushq %rcx
    LOAD_REGISTERS
    movq REG_RCX(%rdi), %rcx
    movq REG_R11(%rdi), %r11
    movq REG_RDI(%rdi), %rdi
    swapgs
iret_to_user:
    iretq

iret_to_user_faulted:            // the trap entry found a fault at the iret: user's GS base, kernel stack
    swapgs
bad_program_counter:
    // {UserFault, signal SIGSEGV, code SI_KERNEL, address 0}
    movq %gs:CPU_ENTERED, %rdi
    movq $-1, CONTEXT_ORIGINAL_RAX(%rdi)
    movabsq $(0x80 << 32) | (11 << 16) | 2, %rax
    xorl %edx, %edx
    movq %gs:CPU_KERNEL_SP, %rsp
    popq %rbp
    sti
    ret

// The syscall instruction: rcx = rip, r11 = rflags, interrupts off by the mask, stack still user code's.
    .balign 64
    .globl arch_syscall_entry
    .type arch_syscall_entry, @function
arch_syscall_entry:
    swapgs
    movq %rsp, %gs:CPU_USER_SP
    movq %gs:CPU_ENTERED, %rsp
    movq %rdi, REG_RDI(%rsp)
    movq %rsi, REG_RSI(%rsp)
    movq %rdx, REG_RDX(%rsp)
    movq %rcx, REG_RCX(%rsp)
    movq %rcx, REG_RIP(%rsp)
    movq %rax, REG_RAX(%rsp)
    movq %rax, CONTEXT_ORIGINAL_RAX(%rsp)
    movq %r8, REG_R8(%rsp)
    movq %r9, REG_R9(%rsp)
    movq %r10, REG_R10(%rsp)
    movq %r11, REG_R11(%rsp)
    movq %r11, REG_RFLAGS(%rsp)
    movq %rbx, REG_RBX(%rsp)
    movq %rbp, REG_RBP(%rsp)
    movq %r12, REG_R12(%rsp)
    movq %r13, REG_R13(%rsp)
    movq %r14, REG_R14(%rsp)
    movq %r15, REG_R15(%rsp)
    movq %gs:CPU_USER_SP, %rcx
    movq %rcx, REG_RSP(%rsp)
    movq %gs:CPU_KERNEL_SP, %rsp
    popq %rbp
    xorl %eax, %eax              // TrapReason of kind Syscall is all zero
    xorl %edx, %edx
    sti
    ret

// One stub a vector, 16 bytes each: an error code where the CPU pushes none, then the vector.
    .balign 16
    .globl arch_trap_stubs
arch_trap_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
    .elseif vector != 3
    pushq $0
    .endif
    .if vector != 3
    pushq $vector
    .endif
    .if vector == 1
    jmp debug_entry
    .elseif vector == 3
    jmp breakpoint_entry
    .elseif vector == 2 || vector == 8 || vector == 18
    jmp paranoid_entry
    .else
    jmp trap_entry
    .endif
    .set vector, vector + 1
    .endr

// A probe of the kernel may stand in place of a call: what that pushes would lie where the frame is. So of kernel code's
// breakpoints the frame is moved down.
breakpoint_entry:
    testb $3, 8(%rsp)            // CS
    jnz 1f
    subq $8, %rsp                // keeps the stack aligned
    .rept 5
    pushq 40(%rsp)
    .endr
    pushq $0
    pushq $3
    cld
    CLAC
    PUSH_REGISTERS
    movq %rsp, %rdi
    call arch_kernel_breakpoint
    POP_REGISTERS
    iretq
1:  pushq $0
    pushq $3
    jmp trap_entry

// Where functions return to whose return is followed (kretprobes): a frame as if a breakpoint at address 0 had trapped.
    .balign 16
    .globl arch_kernel_return_entry
    .type arch_kernel_return_entry, @function
arch_kernel_return_entry:
    pushq $KERNEL_DS
    pushq %rsp
    pushfq
    cli
    cld
    CLAC
    addq $8, 8(%rsp)
    pushq $KERNEL_CS
    pushq $0
    pushq $0
    pushq $3
    PUSH_REGISTERS
    movq %rsp, %rdi
    call arch_kernel_return
    POP_REGISTERS
    iretq

    .balign 64
trap_entry:
    cld
    testb $3, REG_CS - REG_VECTOR(%rsp)
    jz trap_from_kernel
    swapgs
    PUSH_REGISTERS               // we are in the context: rsp0 is its end
trap_from_user:
    CLAC
    movq %rsp, %rdi
    movq $-1, CONTEXT_ORIGINAL_RAX(%rdi)
    movq %gs:CPU_KERNEL_SP, %rsp
    popq %rbp
    subq $8, %rsp
    call arch_user_trap          // returns the TrapReason in rax and rdx
    addq $8, %rsp
    sti
    ret

trap_from_kernel:
    pushq %rax
    leaq iret_to_user(%rip), %rax
    cmpq %rax, REG_RIP - REG_VECTOR + 8(%rsp)
    popq %rax
    je iret_to_user_faulted
    CLAC
    PUSH_REGISTERS
    movq %rsp, %rdi
    call arch_kernel_trap
    POP_REGISTERS
    iretq

// Debug exceptions have a stack of their own, because one may arrive on the first instruction of the syscall entry (a
// watchpoint hit under the shadow of mov ss; SDM vol. 3, 6.8.3). From user code, the frame moves into the context.
debug_entry:
    cld
    testb $3, REG_CS - REG_VECTOR(%rsp)
    jz paranoid_entry
    swapgs
    pushq %rdi
    movq %gs:CPU_ENTERED, %rdi
    popq REG_RDI(%rdi)
    popq REG_VECTOR(%rdi)
    popq REG_ERROR(%rdi)
    popq REG_RIP(%rdi)
    popq REG_CS(%rdi)
    popq REG_RFLAGS(%rdi)
    popq REG_RSP(%rdi)
    popq REG_SS(%rdi)
    leaq REG_RDI(%rdi), %rsp
    PUSH_REGISTERS_AFTER_RDI
    jmp trap_from_user

// Exceptions that may come anywhere, even between swapgs and iret, on stacks of their own. The GS base can't be told from
// the code segment: the kernel's is taken from the word above the frame, and the old one put back whatever it was.
paranoid_entry:
    cld
    CLAC
    PUSH_REGISTERS
    movl $MSR_GS_BASE, %ecx
    rdmsr
    movl %eax, %ebx
    movl %edx, %r12d
    movq REGS_SIZE(%rsp), %rax
    movq %rax, %rdx
    shrq $32, %rdx
    wrmsr
    movq %rsp, %rdi
    call arch_kernel_trap
    movl $MSR_GS_BASE, %ecx
    movl %ebx, %eax
    movl %r12d, %edx
    wrmsr
    POP_REGISTERS
    iretq

// ThreadHeader* arch_switch_context(ThreadHeader* rdi from, ThreadHeader* rsi to)
    .balign 64
    .globl arch_switch_context
    .type arch_switch_context, @function
arch_switch_context:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq THREAD_USER_CONTEXT(%rdi), %rax
    testq %rax, %rax
    jz 1f
    cmpb $0, CONTEXT_NEWER(%rax)
    jne save_state
1:  cmpb $0, arch_has_protection_keys(%rip)
    jne switch_keys
2:  movq %rsp, THREAD_STACK_POINTER(%rdi)
    movq THREAD_STACK_POINTER(%rsi), %rsp
    movq THREAD_CPU(%rdi), %rax
    movq %rax, THREAD_CPU(%rsi)
    movq %rsi, %gs:CPU_CURRENT
    movq %rdi, %rax
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
save_state:
    movq %rdi, %rbx
    movq %rsi, %r12
    movq %rax, %rdi
    subq $8, %rsp
    call arch_save_user_state
    addq $8, %rsp
    movq %rbx, %rdi
    movq %r12, %rsi
    jmp 1b
switch_keys:
    movq %rdi, %rbx
    movq %rsi, %r12
    movq %rsi, %rdi
    subq $8, %rsp
    call arch_switch_keys
    addq $8, %rsp
    movq %rbx, %rdi
    movq %r12, %rsi
    jmp 2b

// Where prepare_context() makes a new thread's first switch return to; rax = the thread before.
    .globl arch_thread_start
    .type arch_thread_start, @function
arch_thread_start:
    movq %rax, %rdi
    xorl %ebp, %ebp
    jmp _ZN6linnet5hooks12thread_entryEPNS_4arch12ThreadHeaderE

    .section .note.GNU-stack, "", @progbits
