// Saving and loading the FP and vector registers, by the widest unit in use. The callers have turned it on in EUEN.
#include "asm_offsets.hpp"
#include "copy_macros.hpp"

    .macro for_all operation, prefix
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    \operation $\prefix\n, $a0, 32 * \n
    .endr
    .endm

    .macro gather_conditions into, scratch
    move    \into, $zero
    .irp n, 0,1,2,3,4,5,6,7
    movcf2gr \scratch, $fcc\n
    bstrins.d \into, \scratch, 8 * \n + 7, 8 * \n
    .endr
    .endm

    .macro spread_conditions from, scratch
    .irp n, 0,1,2,3,4,5,6,7
    bstrpick.d \scratch, \from, 8 * \n, 8 * \n
    movgr2cf $fcc\n, \scratch
    .endr
    .endm

    .macro store_flags
    gather_conditions $t1, $t0
    st.d    $t1, $a0, EXTENDED_FCC
    movfcsr2gr $t0, $fcsr0
    bstrpick.d $t0, $t0, 31, 0
    st.d    $t0, $a0, EXTENDED_FCSR
    .endm

    .macro load_flags
    ld.d    $t1, $a0, EXTENDED_FCC
    spread_conditions $t1, $t0
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

// A signal frame's record, for the registers that are in the CPU: `width` bytes each, then the conditions and FCSR.
    .macro for_all_of_user name, operation, prefix, width
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    user_access \name, fault, \operation $\prefix\n, $a0, \width * \n
    .endr
    .endm

    .macro end_user_access name
    li.w    $a0, 1
    ret
\name\()_fault:
    move    $a0, $zero
    ret
    .size \name, . - \name
    .endm

// bool name(void* to)
    .macro define_store_to_user name, operation, prefix, width
    .balign 4
    .globl \name
    .type \name, @function
\name:
    for_all_of_user \name, \operation, \prefix, \width
    gather_conditions $t1, $t0
    user_access \name, fault, st.d $t1, $a0, 32 * \width
    movfcsr2gr $t0, $fcsr0
    user_access \name, fault, st.w $t0, $a0, 32 * \width + 8
    end_user_access \name
    .endm

// bool name(const void* from, u64 conditions, u64 fcsr)
    .macro define_load_from_user name, operation, prefix, width
    .balign 4
    .globl \name
    .type \name, @function
\name:
    for_all_of_user \name, \operation, \prefix, \width
    spread_conditions $a1, $t0
    movgr2fcsr $fcsr0, $a2
    end_user_access \name
    .endm

    define_store_to_user arch_store_fp_to_user, fst.d, f, 8
    define_load_from_user arch_load_fp_from_user, fld.d, f, 8
    define_store_to_user arch_store_lsx_to_user, vst, vr, 16
    define_load_from_user arch_load_lsx_from_user, vld, vr, 16
    define_store_to_user arch_store_lasx_to_user, xvst, xr, 32
    define_load_from_user arch_load_lasx_from_user, xvld, xr, 32
