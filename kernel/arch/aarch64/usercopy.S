// Copies between kernel and user memory, with unprivileged loads and stores (LDTR, STTR): the CPU checks the user's own
// rights, and PAN needn't be opened. A fault that can't be resolved continues at the fix-up that the exception table
// names; from a block that is the byte loop, which then stops at the exact byte.
.macro FUNCTION name
    .balign 16
    .globl \name
    .type \name, %function
\name:
.endm
.macro END_FUNCTION name
    .size \name, . - \name
.endm

// One instruction that may fault, and where to go on then.
.macro USER fixup, instruction:vararg
9999:
    \instruction
    .pushsection __ex_table, "a"
    .balign 4
    .4byte 9999b - .
    .4byte \fixup - .
    .popsection
.endm

.text

// usize arch_copy_from_user(void* to, const void* from, usize size)
FUNCTION arch_copy_from_user
1:  cmp x2, #64
    b.lo 2f
    USER 4f, ldtr x4, [x1]
    USER 4f, ldtr x5, [x1, #8]
    USER 4f, ldtr x6, [x1, #16]
    USER 4f, ldtr x7, [x1, #24]
    USER 4f, ldtr x8, [x1, #32]
    USER 4f, ldtr x9, [x1, #40]
    USER 4f, ldtr x10, [x1, #48]
    USER 4f, ldtr x11, [x1, #56]
    stp x4, x5, [x0]
    stp x6, x7, [x0, #16]
    stp x8, x9, [x0, #32]
    stp x10, x11, [x0, #48]
    add x0, x0, #64
    add x1, x1, #64
    sub x2, x2, #64
    b 1b
2:  cmp x2, #8
    b.lo 4f
    USER 4f, ldtr x4, [x1]
    str x4, [x0], #8
    add x1, x1, #8
    sub x2, x2, #8
    b 2b
4:  cbz x2, 5f
    USER 5f, ldtrb w4, [x1]
    strb w4, [x0], #1
    add x1, x1, #1
    sub x2, x2, #1
    b 4b
5:  mov x0, x2
    ret
END_FUNCTION arch_copy_from_user

// usize arch_copy_from_kernel(void* to, const void* from, usize size): what may not be there
FUNCTION arch_copy_from_kernel
4:  cbz x2, 5f
    USER 5f, ldrb w4, [x1]
    strb w4, [x0], #1
    add x1, x1, #1
    sub x2, x2, #1
    b 4b
5:  mov x0, x2
    ret
END_FUNCTION arch_copy_from_kernel

// usize arch_copy_to_user(void* to, const void* from, usize size)
FUNCTION arch_copy_to_user
1:  cmp x2, #64
    b.lo 2f
    ldp x4, x5, [x1]
    ldp x6, x7, [x1, #16]
    ldp x8, x9, [x1, #32]
    ldp x10, x11, [x1, #48]
    USER 4f, sttr x4, [x0]
    USER 4f, sttr x5, [x0, #8]
    USER 4f, sttr x6, [x0, #16]
    USER 4f, sttr x7, [x0, #24]
    USER 4f, sttr x8, [x0, #32]
    USER 4f, sttr x9, [x0, #40]
    USER 4f, sttr x10, [x0, #48]
    USER 4f, sttr x11, [x0, #56]
    add x0, x0, #64
    add x1, x1, #64
    sub x2, x2, #64
    b 1b
2:  cmp x2, #8
    b.lo 4f
    ldr x4, [x1]
    USER 4f, sttr x4, [x0]
    add x0, x0, #8
    add x1, x1, #8
    sub x2, x2, #8
    b 2b
4:  cbz x2, 5f
    ldrb w4, [x1]
    USER 5f, sttrb w4, [x0]
    add x0, x0, #1
    add x1, x1, #1
    sub x2, x2, #1
    b 4b
5:  mov x0, x2
    ret
END_FUNCTION arch_copy_to_user

// usize arch_clear_user(void* to, usize size)
FUNCTION arch_clear_user
1:  cmp x1, #32
    b.lo 2f
    USER 4f, sttr xzr, [x0]
    USER 4f, sttr xzr, [x0, #8]
    USER 4f, sttr xzr, [x0, #16]
    USER 4f, sttr xzr, [x0, #24]
    add x0, x0, #32
    sub x1, x1, #32
    b 1b
2:  cmp x1, #8
    b.lo 4f
    USER 4f, sttr xzr, [x0]
    add x0, x0, #8
    sub x1, x1, #8
    b 2b
4:  cbz x1, 5f
    USER 5f, sttrb wzr, [x0]
    add x0, x0, #1
    sub x1, x1, #1
    b 4b
5:  mov x0, x1
    ret
END_FUNCTION arch_clear_user

// isize arch_copy_string_from_user(char* to, const char* from, usize limit)
FUNCTION arch_copy_string_from_user
    mov x3, #0
1:  cmp x3, x2
    b.hs 2f
    USER 3f, ldtrb w4, [x1]
    strb w4, [x0, x3]
    cbz w4, 2f
    add x1, x1, #1
    add x3, x3, #1
    b 1b
2:  mov x0, x3
    ret
3:  mov x0, #-1
    ret
END_FUNCTION arch_copy_string_from_user

// int arch_load_user_u32(u32* value, const u32* address)
FUNCTION arch_load_user_u32
    USER 1f, ldtr w2, [x1]
    str w2, [x0]
    mov w0, #0
    ret
1:  mov w0, #-1
    ret
END_FUNCTION arch_load_user_u32

// int arch_compare_exchange_user_u32(u32* observed, u32* address, u32 expected, u32 desired)
// There are no unprivileged exclusives, so PAN is opened here, for as long as the loop runs; a page fault inside closes
// it by its own exception entry and the return opens it again with the saved PSTATE.
FUNCTION arch_compare_exchange_user_u32
    adrp x6, arch_has_pan
    ldrb w6, [x6, :lo12:arch_has_pan]
    cbz w6, 1f
    .inst 0xd500409f                                // msr pan, #0
1:
    USER 3f, ldaxr w4, [x1]
    cmp w4, w2
    b.ne 2f
    USER 3f, stlxr w5, w3, [x1]
    cbnz w5, 1b
    dmb ish
2:  str w4, [x0]
    mov w0, #0
    b 4f
3:  mov w0, #-1
4:  cbz w6, 5f
    .inst 0xd500419f                                // msr pan, #1
5:  ret
END_FUNCTION arch_compare_exchange_user_u32
.section .note.GNU-stack, "", %progbits
