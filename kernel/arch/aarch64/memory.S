// memcpy, memmove and memset for the compiler's and everybody's use; lib's C versions are weak. Up to 64 bytes are all
// loaded before any is stored, so overlap needs no thought there. Not for use with the MMU off (unaligned accesses).
.macro FUNCTION name
    .balign 16
    .globl \name
    .type \name, %function
\name:
.endm
.macro END_FUNCTION name
    .size \name, . - \name
.endm

.text

// void* memmove(void* to, const void* from, size_t size); x3 = destination, so that x0 survives
FUNCTION memmove
.globl memcpy
.type memcpy, %function
memcpy:
    mov x3, x0
    cmp x2, #64
    b.hi 8f
1:  cmp x2, #16
    b.lo 3f
    add x4, x1, x2
    add x5, x3, x2
    ldp x6, x7, [x1]
    ldp x8, x9, [x4, #-16]
    cmp x2, #32
    b.hi 2f
    stp x6, x7, [x3]
    stp x8, x9, [x5, #-16]
    ret
2:  ldp x10, x11, [x1, #16]
    ldp x12, x13, [x4, #-32]
    stp x6, x7, [x3]
    stp x10, x11, [x3, #16]
    stp x12, x13, [x5, #-32]
    stp x8, x9, [x5, #-16]
    ret
3:  tbz x2, #3, 4f
    add x4, x1, x2
    add x5, x3, x2
    ldr x6, [x1]
    ldr x7, [x4, #-8]
    str x6, [x3]
    str x7, [x5, #-8]
    ret
4:  tbz x2, #2, 5f
    add x4, x1, x2
    add x5, x3, x2
    ldr w6, [x1]
    ldr w7, [x4, #-4]
    str w6, [x3]
    str w7, [x5, #-4]
    ret
5:  cbz x2, 6f                                      // 1 to 3 bytes: first, middle, last
    lsr x4, x2, #1
    sub x5, x2, #1
    ldrb w6, [x1]
    ldrb w7, [x1, x4]
    ldrb w8, [x1, x5]
    strb w6, [x3]
    strb w7, [x3, x4]
    strb w8, [x3, x5]
6:  ret
8:  sub x4, x3, x1
    cmp x4, x2
    b.lo 10f                                        // the destination begins inside the source: from the end
9:  ldp x6, x7, [x1]
    ldp x8, x9, [x1, #16]
    ldp x10, x11, [x1, #32]
    ldp x12, x13, [x1, #48]
    stp x6, x7, [x3]
    stp x8, x9, [x3, #16]
    stp x10, x11, [x3, #32]
    stp x12, x13, [x3, #48]
    add x1, x1, #64
    add x3, x3, #64
    sub x2, x2, #64
    cmp x2, #64
    b.hs 9b
    b 1b
10: add x4, x1, x2
    add x5, x3, x2
11: ldp x6, x7, [x4, #-16]
    ldp x8, x9, [x4, #-32]
    ldp x10, x11, [x4, #-48]
    ldp x12, x13, [x4, #-64]
    stp x6, x7, [x5, #-16]
    stp x8, x9, [x5, #-32]
    stp x10, x11, [x5, #-48]
    stp x12, x13, [x5, #-64]
    sub x4, x4, #64
    sub x5, x5, #64
    sub x2, x2, #64
    cmp x2, #64
    b.hs 11b
    b 1b
END_FUNCTION memmove

// void* memset(void* to, int byte, size_t size)
FUNCTION memset
    mov x3, x0
    and x1, x1, #0xff
    orr x1, x1, x1, lsl #8
    orr x1, x1, x1, lsl #16
    orr x1, x1, x1, lsl #32
    cmp x2, #16
    b.lo 5f
    cbnz x1, 2f
    cmp x2, #1024
    b.hs 7f
2:  add x4, x3, x2                                  // end; the last 16 bytes are stored twice
3:  cmp x2, #64
    b.lo 4f
    stp x1, x1, [x3]
    stp x1, x1, [x3, #16]
    stp x1, x1, [x3, #32]
    stp x1, x1, [x3, #48]
    add x3, x3, #64
    sub x2, x2, #64
    b 3b
4:  cmp x2, #16
    b.lo 41f
    stp x1, x1, [x3], #16
    sub x2, x2, #16
    b 4b
41: stp x1, x1, [x4, #-16]
    ret
5:  tbz x2, #3, 51f
    str x1, [x3], #8
51: tbz x2, #2, 52f
    str w1, [x3], #4
52: tbz x2, #1, 53f
    strh w1, [x3], #2
53: tbz x2, #0, 54f
    strb w1, [x3]
54: ret
7:  mrs x4, dczid_el0                               // whole blocks zeroed by DC ZVA
    tbnz x4, #4, 2b                                 // prohibited
    and x4, x4, #15
    mov x5, #4
    lsl x5, x5, x4                                  // block size in bytes
    cmp x5, #512
    b.hi 2b                                         // the way to the first block could be longer than the whole
    sub x6, x5, #1
    add x7, x3, x2                                  // end
8:  tst x3, x6
    b.eq 9f
    stp xzr, xzr, [x3]                              // up to the first block; aligned to 16 after the first step
    add x3, x3, #16
    and x3, x3, #~15
    b 8b
9:  sub x2, x7, x3
    cmp x3, x7
    b.hs 11f
10: cmp x2, x5
    b.lo 11f
    dc zva, x3
    add x3, x3, x5
    sub x2, x2, x5
    b 10b
11: mov x4, x7
    cmp x2, #16
    b.hs 3b
    stp x1, x1, [x4, #-16]
    ret
END_FUNCTION memset
.section .note.GNU-stack, "", %progbits
