// Copies between kernel and user memory (contract: arch/usercopy.hpp). sstatus.SUM, which lets the kernel touch user
// pages, is set only inside; a trap out of here clears it and gives it back with the interrupted registers.
#include "asm_offsets.hpp"
#include "copy_macros.hpp"

    .text

    .macro open_user_memory
    li      t0, STATUS_SUM
    csrs    sstatus, t0
    .endm
    .macro close_user_memory
    li      t0, STATUS_SUM
    csrc    sstatus, t0
    .endm

// usize arch_copy_from_user(void* to, const void* from, usize size)
    .balign 4
    .globl arch_copy_from_user
    .type arch_copy_from_user, @function
arch_copy_from_user:
    open_user_memory
    copy_forward arch_copy_from_user, user_access, plain_access
    close_user_memory
    mv      a0, a2
    ret
    .size arch_copy_from_user, . - arch_copy_from_user

// usize arch_copy_to_user(void* to, const void* from, usize size)
    .balign 4
    .globl arch_copy_to_user
    .type arch_copy_to_user, @function
arch_copy_to_user:
    open_user_memory
    copy_forward arch_copy_to_user, plain_access, user_access
    close_user_memory
    mv      a0, a2
    ret
    .size arch_copy_to_user, . - arch_copy_to_user

// usize arch_clear_user(void* to, usize size)
    .balign 4
    .globl arch_clear_user
    .type arch_clear_user, @function
arch_clear_user:
    mv      a2, a1
    li      a1, 0
    open_user_memory
    fill_forward arch_clear_user, user_access
    close_user_memory
    mv      a0, a2
    ret
    .size arch_clear_user, . - arch_clear_user

// isize arch_copy_string_from_user(char* to, const char* from, usize limit)
    .balign 4
    .globl arch_copy_string_from_user
    .type arch_copy_string_from_user, @function
arch_copy_string_from_user:
    open_user_memory
    mv      t2, a1
    add     t3, a1, a2
1:  beq     t2, t3, 2f
    user_access arch_copy_string_from_user, fault, lb t1, (t2)
    sb      t1, (a0)
    beqz    t1, 2f
    addi    a0, a0, 1
    addi    t2, t2, 1
    j       1b
2:  close_user_memory
    sub     a0, t2, a1
    ret
arch_copy_string_from_user_fault:
    close_user_memory
    li      a0, -1
    ret
    .size arch_copy_string_from_user, . - arch_copy_string_from_user

// int arch_load_user_u32(u32* value, const u32* address)
    .balign 4
    .globl arch_load_user_u32
    .type arch_load_user_u32, @function
arch_load_user_u32:
    open_user_memory
    user_access arch_load_user_u32, fault, lw t1, (a1)
    close_user_memory
    sw      t1, (a0)
    li      a0, 0
    ret
arch_load_user_u32_fault:
    close_user_memory
    li      a0, -1
    ret
    .size arch_load_user_u32, . - arch_load_user_u32

// int arch_compare_exchange_user_u32(u32* observed, u32* address, u32 expected, u32 desired)
    .balign 4
    .globl arch_compare_exchange_user_u32
    .type arch_compare_exchange_user_u32, @function
arch_compare_exchange_user_u32:
    sext.w  a2, a2
    open_user_memory
1:  user_access arch_compare_exchange_user_u32, fault, lr.w.aqrl t1, (a1)
    bne     t1, a2, 2f
    user_access arch_compare_exchange_user_u32, fault, sc.w.rl t2, a3, (a1)
    bnez    t2, 1b
2:  close_user_memory
    sw      t1, (a0)
    li      a0, 0
    ret
arch_compare_exchange_user_u32_fault:
    close_user_memory
    li      a0, -1
    ret
    .size arch_compare_exchange_user_u32, . - arch_compare_exchange_user_u32

// int arch_load_kernel_u64(u64* value, const u64* address): for backtraces through memory that may not be mapped.
    .balign 4
    .globl arch_load_kernel_u64
    .type arch_load_kernel_u64, @function
arch_load_kernel_u64:
    user_access arch_load_kernel_u64, fault, ld t1, (a1)
    sd      t1, (a0)
    li      a0, 0
    ret
arch_load_kernel_u64_fault:
    li      a0, -1
    ret
    .size arch_load_kernel_u64, . - arch_load_kernel_u64
