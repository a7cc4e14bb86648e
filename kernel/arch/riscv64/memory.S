// memcpy, memmove and memset in words; they replace the weak ones of lib.
#include "copy_macros.hpp"

    .text

    .balign 4
    .globl memcpy
    .type memcpy, @function
memcpy:
    mv      t6, a0
    copy_forward memcpy, plain_access, plain_access
    mv      a0, t6
    ret
    .size memcpy, . - memcpy

    .balign 4
    .globl memmove
    .type memmove, @function
memmove:
    sub     t0, a0, a1
    bgeu    t0, a2, memcpy          // not inside the source (as unsigned numbers): a forward copy is right
    add     a3, a0, a2              // backwards, from the ends
    add     a4, a1, a2
1:  beqz    a2, 4f
    or      t0, a3, a4
    andi    t0, t0, 7
    bnez    t0, 2f
    sltiu   t0, a2, 8
    beqz    t0, 3f
2:  addi    a4, a4, -1
    addi    a3, a3, -1
    lb      t1, (a4)
    sb      t1, (a3)
    addi    a2, a2, -1
    j       1b
3:  addi    a4, a4, -8
    addi    a3, a3, -8
    ld      t1, (a4)
    sd      t1, (a3)
    addi    a2, a2, -8
    li      t0, 8
    bgeu    a2, t0, 3b
    j       1b
4:  ret
    .size memmove, . - memmove

    .balign 4
    .globl memset
    .type memset, @function
memset:
    mv      t6, a0
    andi    a1, a1, 0xff
    slli    t0, a1, 8
    or      a1, a1, t0
    slli    t0, a1, 16
    or      a1, a1, t0
    slli    t0, a1, 32
    or      a1, a1, t0
    fill_forward memset, plain_access
    mv      a0, t6
    ret
    .size memset, . - memset
