// memcpy, memmove and memset, over the portable ones of kernel/lib. Long runs by unrolled eight-byte moves (why not rep:
// see usercopy.S); the rest by two moves that overlap.

    .section .text.memory, "ax"

// void* memcpy(rdi to, rsi from, rdx size)
    .balign 64
    .globl memcpy
    .type memcpy, @function
memcpy:
    movq %rdi, %rax
    cmpq $16, %rdx
    jb copy_below_16
    cmpq $32, %rdx
    ja 1f
    movq (%rsi), %r8
    movq 8(%rsi), %r9
    movq -16(%rsi, %rdx), %r10
    movq -8(%rsi, %rdx), %r11
    movq %r8, (%rdi)
    movq %r9, 8(%rdi)
    movq %r10, -16(%rdi, %rdx)
    movq %r11, -8(%rdi, %rdx)
    ret
1:  subq $64, %rdx
    jb 3f
2:  movq (%rsi), %r8
    movq 8(%rsi), %r9
    movq 16(%rsi), %r10
    movq 24(%rsi), %r11
    movq %r8, (%rdi)
    movq %r9, 8(%rdi)
    movq %r10, 16(%rdi)
    movq %r11, 24(%rdi)
    movq 32(%rsi), %r8
    movq 40(%rsi), %r9
    movq 48(%rsi), %r10
    movq 56(%rsi), %r11
    movq %r8, 32(%rdi)
    movq %r9, 40(%rdi)
    movq %r10, 48(%rdi)
    movq %r11, 56(%rdi)
    addq $64, %rsi
    addq $64, %rdi
    subq $64, %rdx
    jae 2b
3:  addq $64, %rdx               // 0 to 63 left, and at least 32 lie before the end
    jz 5f
    cmpl $32, %edx
    jbe 4f
    movq (%rsi), %r8
    movq 8(%rsi), %r9
    movq 16(%rsi), %r10
    movq 24(%rsi), %r11
    movq %r8, (%rdi)
    movq %r9, 8(%rdi)
    movq %r10, 16(%rdi)
    movq %r11, 24(%rdi)
4:  movq -32(%rsi, %rdx), %r8
    movq -24(%rsi, %rdx), %r9
    movq -16(%rsi, %rdx), %r10
    movq -8(%rsi, %rdx), %r11
    movq %r8, -32(%rdi, %rdx)
    movq %r9, -24(%rdi, %rdx)
    movq %r10, -16(%rdi, %rdx)
    movq %r11, -8(%rdi, %rdx)
5:  ret
copy_below_16:                   // loads before stores: right for overlapping ranges too
    cmpl $8, %edx
    jb 1f
    movq (%rsi), %r8
    movq -8(%rsi, %rdx), %r9
    movq %r8, (%rdi)
    movq %r9, -8(%rdi, %rdx)
    ret
1:  cmpl $4, %edx
    jb 2f
    movl (%rsi), %r8d
    movl -4(%rsi, %rdx), %r9d
    movl %r8d, (%rdi)
    movl %r9d, -4(%rdi, %rdx)
    ret
2:  testl %edx, %edx
    jz 3f
    movl %edx, %ecx
    shrl $1, %ecx                // 1: bytes 0,0,0; 2: 0,1,1; 3: 0,1,2
    movb (%rsi), %r8b
    movb (%rsi, %rcx), %r9b
    movb -1(%rsi, %rdx), %r10b
    movb %r8b, (%rdi)
    movb %r9b, (%rdi, %rcx)
    movb %r10b, -1(%rdi, %rdx)
3:  ret

// void* memmove(rdi to, rsi from, rdx size)
    .balign 64
    .globl memmove
    .type memmove, @function
memmove:
    movq %rdi, %rax
    cmpq $16, %rdx
    jb copy_below_16
    movq %rdi, %rcx
    subq %rsi, %rcx
    cmpq %rdx, %rcx              // unsigned: below when `to` lies within [from, from + size)
    jb 3f
    // Forwards. The last 16 bytes are read before anything is written.
    movq -16(%rsi, %rdx), %r8
    movq -8(%rsi, %rdx), %r9
    leaq -16(%rdi, %rdx), %rcx   // where they go
    jmp 2f
1:  movq (%rsi), %r10
    movq 8(%rsi), %r11
    movq %r10, (%rdi)
    movq %r11, 8(%rdi)
    addq $16, %rsi
    addq $16, %rdi
2:  cmpq %rcx, %rdi
    jb 1b
    movq %r8, (%rcx)
    movq %r9, 8(%rcx)
    ret
3:  // Backwards. The first 16 bytes are read first.
    movq (%rsi), %r8
    movq 8(%rsi), %r9
    jmp 5f
4:  movq -16(%rsi, %rdx), %r10
    movq -8(%rsi, %rdx), %r11
    movq %r10, -16(%rdi, %rdx)
    movq %r11, -8(%rdi, %rdx)
    subq $16, %rdx
5:  cmpq $16, %rdx
    ja 4b
    movq %r8, (%rdi)
    movq %r9, 8(%rdi)
    ret

// void* memset(rdi to, esi byte, rdx size)
    .balign 64
    .globl memset
    .type memset, @function
memset:
    movzbl %sil, %ecx
    movabsq $0x0101010101010101, %r8
    imulq %rcx, %r8
    movq %rdi, %rax
    cmpq $16, %rdx
    jb 5f
    movq %r8, -16(%rdi, %rdx)    // the end first: the loop stops short of it
    movq %r8, -8(%rdi, %rdx)
    subq $128, %rdx
    jb 2f
1:  movq %r8, (%rdi)
    movq %r8, 8(%rdi)
    movq %r8, 16(%rdi)
    movq %r8, 24(%rdi)
    movq %r8, 32(%rdi)
    movq %r8, 40(%rdi)
    movq %r8, 48(%rdi)
    movq %r8, 56(%rdi)
    movq %r8, 64(%rdi)
    movq %r8, 72(%rdi)
    movq %r8, 80(%rdi)
    movq %r8, 88(%rdi)
    movq %r8, 96(%rdi)
    movq %r8, 104(%rdi)
    movq %r8, 112(%rdi)
    movq %r8, 120(%rdi)
    addq $128, %rdi
    subq $128, %rdx
    jae 1b
2:  addq $128, %rdx
3:  subq $16, %rdx
    jbe 4f
    movq %r8, (%rdi)
    movq %r8, 8(%rdi)
    addq $16, %rdi
    jmp 3b
4:  ret
5:  cmpl $8, %edx
    jb 6f
    movq %r8, (%rdi)
    movq %r8, -8(%rdi, %rdx)
    ret
6:  testl %edx, %edx
    jz 8f
7:  movb %r8b, (%rdi)
    incq %rdi
    decl %edx
    jnz 7b
8:  ret

    .section .note.GNU-stack, "", @progbits
