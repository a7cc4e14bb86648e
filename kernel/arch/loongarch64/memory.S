// memcpy, memmove and memset in words; they replace the weak ones of lib.
#include "copy_macros.hpp"

    .text

    .balign 4
    .globl memcpy
    .type memcpy, @function
memcpy:
    move    $t6, $a0
    copy_forward memcpy, plain_access, plain_access
    move    $a0, $t6
    ret
    .size memcpy, . - memcpy

    .balign 4
    .globl memmove
    .type memmove, @function
memmove:
    sub.d   $t0, $a0, $a1
    bgeu    $t0, $a2, memcpy        // not inside the source (as unsigned numbers): a forward copy is right
    add.d   $a3, $a0, $a2           // backwards, from the ends
    add.d   $a4, $a1, $a2
    li.w    $t0, 8
1:  bltu    $a2, $t0, 2f
    addi.d  $a4, $a4, -8
    addi.d  $a3, $a3, -8
    ld.d    $t1, $a4, 0
    st.d    $t1, $a3, 0
    addi.d  $a2, $a2, -8
    b       1b
2:  beqz    $a2, 3f
    addi.d  $a4, $a4, -1
    addi.d  $a3, $a3, -1
    ld.b    $t1, $a4, 0
    st.b    $t1, $a3, 0
    addi.d  $a2, $a2, -1
    b       2b
3:  ret
    .size memmove, . - memmove

    .balign 4
    .globl memset
    .type memset, @function
memset:
    move    $t6, $a0
    andi    $a1, $a1, 0xff
    bstrins.d $a1, $a1, 15, 8
    bstrins.d $a1, $a1, 31, 16
    bstrins.d $a1, $a1, 63, 32
    fill_forward memset, plain_access
    move    $a0, $t6
    ret
    .size memset, . - memset
