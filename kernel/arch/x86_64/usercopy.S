// User copies (arch/usercopy.hpp). A fault in one that nobody resolves continues at its fix-up, by __ex_table; a fault in
// the unrolled part falls back to single bytes, so that the count of what is left is exact. Plain moves, not rep: under
// emulation each repeated step costs as much as a move, and on hardware the difference is small.

#include "smap.h"

    .macro EXCEPTION_FIXUP fault, fixup
    .pushsection __ex_table, "a"
    .balign 4
    .4byte \fault - .
    .4byte \fixup - .
    .popsection
    .endm
    // One instruction that touches user memory.
    .macro USER fixup, instruction:vararg
881: \instruction
    EXCEPTION_FIXUP 881b, \fixup
    .endm

    .section .text.entry, "ax"

// usize arch_copy_{from,to}_user(rdi to, rsi from, rdx size): rax = bytes not copied.
    .balign 64
    .globl arch_copy_from_user, arch_copy_to_user
    .type arch_copy_from_user, @function
    .type arch_copy_to_user, @function
arch_copy_from_user:
arch_copy_to_user:
    STAC
    movq %rdx, %rcx
    andq $-64, %rcx
    jz 2f
    addq %rcx, %rsi              // one negative index counts both pointers up to the end of the blocks
    addq %rcx, %rdi
    negq %rcx
1:  USER copy_block_fault, movq (%rsi, %rcx), %r8
    USER copy_block_fault, movq 8(%rsi, %rcx), %r9
    USER copy_block_fault, movq 16(%rsi, %rcx), %r10
    USER copy_block_fault, movq 24(%rsi, %rcx), %r11
    USER copy_block_fault, movq %r8, (%rdi, %rcx)
    USER copy_block_fault, movq %r9, 8(%rdi, %rcx)
    USER copy_block_fault, movq %r10, 16(%rdi, %rcx)
    USER copy_block_fault, movq %r11, 24(%rdi, %rcx)
    USER copy_block_fault, movq 32(%rsi, %rcx), %r8
    USER copy_block_fault, movq 40(%rsi, %rcx), %r9
    USER copy_block_fault, movq 48(%rsi, %rcx), %r10
    USER copy_block_fault, movq 56(%rsi, %rcx), %r11
    USER copy_block_fault, movq %r8, 32(%rdi, %rcx)
    USER copy_block_fault, movq %r9, 40(%rdi, %rcx)
    USER copy_block_fault, movq %r10, 48(%rdi, %rcx)
    USER copy_block_fault, movq %r11, 56(%rdi, %rcx)
    addq $64, %rcx
    jnz 1b
    andl $63, %edx
2:  movl %edx, %ecx
    shrl $3, %ecx
    jz 4f
    leaq (%rsi, %rcx, 8), %rsi   // the same with words
    leaq (%rdi, %rcx, 8), %rdi
    negq %rcx
3:  USER copy_word_fault, movq (%rsi, %rcx, 8), %r8
    USER copy_word_fault, movq %r8, (%rdi, %rcx, 8)
    incq %rcx
    jnz 3b
    andl $7, %edx
4:  testl %edx, %edx
    jz 6f
5:  USER 6f, movb (%rsi), %al
    USER 6f, movb %al, (%rdi)
    incq %rsi
    incq %rdi
    decq %rdx
    jnz 5b
6:  movq %rdx, %rax
    CLAC
    ret
copy_block_fault:                // -rcx bytes of blocks and the rest of rdx are left
    andl $63, %edx
    addq %rcx, %rsi
    addq %rcx, %rdi
    subq %rcx, %rdx
    jmp 5b
copy_word_fault:                 // -rcx words and the rest of edx
    andl $7, %edx
    leaq (%rsi, %rcx, 8), %rsi
    leaq (%rdi, %rcx, 8), %rdi
    negq %rcx
    leaq (%rdx, %rcx, 8), %rdx
    jmp 5b

// usize arch_clear_user(rdi to, rsi size): rax = bytes not cleared.
    .balign 16
    .globl arch_clear_user
    .type arch_clear_user, @function
arch_clear_user:
    STAC
    movq %rsi, %rcx
    shrq $5, %rcx
    jz 2f
1:  USER clear_block_fault, movq $0, (%rdi)
    USER clear_block_fault, movq $0, 8(%rdi)
    USER clear_block_fault, movq $0, 16(%rdi)
    USER clear_block_fault, movq $0, 24(%rdi)
    addq $32, %rdi
    decq %rcx
    jnz 1b
    andl $31, %esi
2:  testq %rsi, %rsi
    jz 4f
3:  USER 4f, movb $0, (%rdi)
    incq %rdi
    decq %rsi
    jnz 3b
4:  movq %rsi, %rax
    CLAC
    ret
clear_block_fault:
    andl $31, %esi
    shlq $5, %rcx
    addq %rcx, %rsi
    jmp 3b

// isize arch_copy_string_from_user(rdi to, rsi from, rdx limit): the length, `limit` without a NUL, or -1.
// Eight bytes at a time, unaligned; when that faults the string may end before the bad page, so bytes decide.
    .balign 16
    .globl arch_copy_string_from_user
    .type arch_copy_string_from_user, @function
arch_copy_string_from_user:
    STAC
    xorl %eax, %eax
    movabsq $0x0101010101010101, %r8
    movabsq $0x8080808080808080, %r9
    subq $8, %rdx
    jb 3f
1:  USER 3f, movq (%rsi, %rax), %rcx
    movq %rcx, %r10
    movq %rcx, %r11
    subq %r8, %r10
    notq %r11
    andq %r9, %r10
    movq %rcx, (%rdi, %rax)
    andq %r11, %r10              // bit 7 of the first zero byte, and perhaps of later ones
    jnz 2f
    addq $8, %rax
    cmpq %rdx, %rax
    jbe 1b
    jmp 3f
2:  bsfq %r10, %r10
    shrl $3, %r10d
    addq %r10, %rax
    CLAC
    ret
3:  addq $8, %rdx
4:  cmpq %rdx, %rax
    jae 5f
    USER 6f, movb (%rsi, %rax), %cl
    movb %cl, (%rdi, %rax)
    testb %cl, %cl
    jz 5f
    incq %rax
    jmp 4b
5:  CLAC
    ret
6:  movq $-1, %rax
    CLAC
    ret

// int arch_load_user_u32(u32* rdi value, const u32* rsi address)
    .balign 16
    .globl arch_load_user_u32
    .type arch_load_user_u32, @function
arch_load_user_u32:
    STAC
    USER atomic_fault, movl (%rsi), %eax
    CLAC
    movl %eax, (%rdi)
    xorl %eax, %eax
    ret

// int arch_compare_exchange_user_u32(u32* rdi observed, u32* rsi address, u32 edx expected, u32 ecx desired)
    .balign 16
    .globl arch_compare_exchange_user_u32
    .type arch_compare_exchange_user_u32, @function
arch_compare_exchange_user_u32:
    movl %edx, %eax
    STAC
    USER atomic_fault, lock cmpxchgl %ecx, (%rsi)
    CLAC
    movl %eax, (%rdi)
    xorl %eax, %eax
    ret
atomic_fault:
    CLAC
    movl $-1, %eax
    ret

// bool arch_xsave_user(void* rdi to, u64 rsi components): the registers straight into a signal frame, whose XSAVE header
// is zero. Marks x87 and SSE as present even in their initial state, so that a handler's edits of them count.
    .balign 16
    .globl arch_xsave_user
    .type arch_xsave_user, @function
arch_xsave_user:
    movl %esi, %eax
    movq %rsi, %rdx
    shrq $32, %rdx
    STAC
    USER xsave_fault, xsave64 (%rdi)
    USER xsave_fault, orq $3, 512(%rdi)
    CLAC
    movl $1, %eax
    ret

// bool arch_xrstor_user(const void* rdi from, u64 rsi components): and back. The CPU refuses a malformed image.
    .balign 16
    .globl arch_xrstor_user
    .type arch_xrstor_user, @function
arch_xrstor_user:
    movl %esi, %eax
    movq %rsi, %rdx
    shrq $32, %rdx
    STAC
    USER xsave_fault, xrstor64 (%rdi)
    CLAC
    movl $1, %eax
    ret
xsave_fault:
    CLAC
    xorl %eax, %eax
    ret

// bool arch_read_kernel_words(u64* rdi out, const u64* rsi from): two words of kernel memory that may not be mapped.
    .balign 16
    .globl arch_read_kernel_words
    .type arch_read_kernel_words, @function
arch_read_kernel_words:
    USER 1f, movq (%rsi), %rax
    USER 1f, movq 8(%rsi), %rcx
    movq %rax, (%rdi)
    movq %rcx, 8(%rdi)
    movl $1, %eax
    ret
1:  xorl %eax, %eax
    ret

    .section .note.GNU-stack, "", @progbits
