// Saving and loading the FP and vector registers, by the widest unit in use. The callers have turned it on in EUEN.
#include "asm_offsets.hpp"

    .macro for_all operation, prefix
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    \operation $\prefix\n, $a0, 32 * \n
    .endr
    .endm

    .macro store_flags
    move    $t1, $zero
    .irp n, 0,1,2,3,4,5,6,7
    movcf2gr $t0, $fcc\n
    bstrins.d $t1, $t0, 8 * \n + 7, 8 * \n
    .endr
    st.d    $t1, $a0, EXTENDED_FCC
    movfcsr2gr $t0, $fcsr0
    bstrpick.d $t0, $t0, 31, 0
    st.d    $t0, $a0, EXTENDED_FCSR
    .endm

    .macro load_flags
    ld.d    $t1, $a0, EXTENDED_FCC
    .irp n, 0,1,2,3,4,5,6,7
    bstrpick.d $t0, $t1, 8 * \n, 8 * \n
    movgr2cf $fcc\n, $t0
    .endr
    ld.d    $t0, $a0, EXTENDED_FCSR
    movgr2fcsr $fcsr0, $t0
    .endm

    .macro define name, operation, prefix, flags
    .balign 4
    .globl \name
    .type \name, @function
\name:
    for_all \operation, \prefix
    \flags
    ret
    .size \name, . - \name
    .endm

    .text
    define arch_store_fp, fst.d, f, store_flags
    define arch_load_fp, fld.d, f, load_flags
    define arch_store_lsx, vst, vr, store_flags
    define arch_load_lsx, vld, vr, load_flags
    define arch_store_lasx, xvst, xr, store_flags
    define arch_load_lasx, xvld, xr, load_flags
