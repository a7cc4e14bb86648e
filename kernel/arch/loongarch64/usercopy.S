// Copies between kernel and user memory (contract: arch/usercopy.hpp). The CPU lets the kernel touch user pages at any
// time.
#include "asm_offsets.hpp"
#include "copy_macros.hpp"

    .text

// usize arch_copy_from_user(void* to, const void* from, usize size)
    .balign 4
    .globl arch_copy_from_user
    .type arch_copy_from_user, @function
arch_copy_from_user:
    copy_forward arch_copy_from_user, user_access, plain_access
    move    $a0, $a2
    ret
    .size arch_copy_from_user, . - arch_copy_from_user

// usize arch_copy_to_user(void* to, const void* from, usize size)
    .balign 4
    .globl arch_copy_to_user
    .type arch_copy_to_user, @function
arch_copy_to_user:
    copy_forward arch_copy_to_user, plain_access, user_access
    move    $a0, $a2
    ret
    .size arch_copy_to_user, . - arch_copy_to_user

// usize arch_clear_user(void* to, usize size)
    .balign 4
    .globl arch_clear_user
    .type arch_clear_user, @function
arch_clear_user:
    move    $a2, $a1
    move    $a1, $zero
    fill_forward arch_clear_user, user_access
    move    $a0, $a2
    ret
    .size arch_clear_user, . - arch_clear_user

// isize arch_copy_string_from_user(char* to, const char* from, usize limit)
    .balign 4
    .globl arch_copy_string_from_user
    .type arch_copy_string_from_user, @function
arch_copy_string_from_user:
    add.d   $a2, $a1, $a2
    move    $t2, $a1
1:  beq     $t2, $a2, 2f
    user_access arch_copy_string_from_user, fault, ld.b $t1, $t2, 0
    st.b    $t1, $a0, 0
    beqz    $t1, 2f
    addi.d  $a0, $a0, 1
    addi.d  $t2, $t2, 1
    b       1b
2:  sub.d   $a0, $t2, $a1
    ret
arch_copy_string_from_user_fault:
    li.w    $a0, -1
    ret
    .size arch_copy_string_from_user, . - arch_copy_string_from_user

// int arch_load_user_u32(u32* value, const u32* address)
    .balign 4
    .globl arch_load_user_u32
    .type arch_load_user_u32, @function
arch_load_user_u32:
    user_access arch_load_user_u32, fault, ld.w $t1, $a1, 0
    st.w    $t1, $a0, 0
    move    $a0, $zero
    ret
arch_load_user_u32_fault:
    li.w    $a0, -1
    ret
    .size arch_load_user_u32, . - arch_load_user_u32

// int arch_compare_exchange_user_u32(u32* observed, u32* address, u32 expected, u32 desired)
    .balign 4
    .globl arch_compare_exchange_user_u32
    .type arch_compare_exchange_user_u32, @function
arch_compare_exchange_user_u32:
    addi.w  $a2, $a2, 0
    dbar    0
1:  user_access arch_compare_exchange_user_u32, fault, ll.w $t1, $a1, 0
    bne     $t1, $a2, 2f
    move    $t2, $a3
    user_access arch_compare_exchange_user_u32, fault, sc.w $t2, $a1, 0
    beqz    $t2, 1b
2:  dbar    0
    st.w    $t1, $a0, 0
    move    $a0, $zero
    ret
arch_compare_exchange_user_u32_fault:
    li.w    $a0, -1
    ret
    .size arch_compare_exchange_user_u32, . - arch_compare_exchange_user_u32

// int arch_load_kernel_u64(u64* value, const u64* address): for backtraces through memory that may not be mapped.
    .balign 4
    .globl arch_load_kernel_u64
    .type arch_load_kernel_u64, @function
arch_load_kernel_u64:
    user_access arch_load_kernel_u64, fault, ld.d $t1, $a1, 0
    st.d    $t1, $a0, 0
    move    $a0, $zero
    ret
arch_load_kernel_u64_fault:
    li.w    $a0, -1
    ret
    .size arch_load_kernel_u64, . - arch_load_kernel_u64
