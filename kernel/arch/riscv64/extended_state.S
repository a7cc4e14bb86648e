// Saving and loading the FP and vector registers. The callers have turned the unit on in sstatus.
    .text

    .macro for_all_fp operation
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    \operation f\n, 8 * \n(a0)
    .endr
    .endm

// void arch_store_fp(FloatingPointState*)
    .balign 4
    .globl arch_store_fp
    .type arch_store_fp, @function
    .option push
    .option arch, +d
arch_store_fp:
    for_all_fp fsd
    frcsr   t0
    sw      t0, 256(a0)
    ret
    .size arch_store_fp, . - arch_store_fp

// void arch_load_fp(const FloatingPointState*)
    .balign 4
    .globl arch_load_fp
    .type arch_load_fp, @function
arch_load_fp:
    for_all_fp fld
    lw      t0, 256(a0)
    fscsr   t0
    ret
    .size arch_load_fp, . - arch_load_fp
    .option pop

// void arch_store_vector(VectorState*): vstart, vl, vtype, vcsr, then the registers.
    .balign 4
    .globl arch_store_vector
    .type arch_store_vector, @function
    .option push
    .option arch, +v
arch_store_vector:
    csrr    t0, vstart
    csrr    t1, vl
    csrr    t2, vtype
    csrr    t3, vcsr
    sd      t0, 0(a0)
    sd      t1, 8(a0)
    sd      t2, 16(a0)
    sd      t3, 24(a0)
    addi    a0, a0, 32
    vsetvli t4, zero, e8, m8, ta, ma
    vse8.v  v0, (a0)
    add     a0, a0, t4
    vse8.v  v8, (a0)
    add     a0, a0, t4
    vse8.v  v16, (a0)
    add     a0, a0, t4
    vse8.v  v24, (a0)
    vsetvl  zero, t1, t2            // as the thread left it
    csrw    vstart, t0
    ret
    .size arch_store_vector, . - arch_store_vector

// void arch_load_vector(const VectorState*)
    .balign 4
    .globl arch_load_vector
    .type arch_load_vector, @function
arch_load_vector:
    addi    a1, a0, 32
    vsetvli t4, zero, e8, m8, ta, ma
    vle8.v  v0, (a1)
    add     a1, a1, t4
    vle8.v  v8, (a1)
    add     a1, a1, t4
    vle8.v  v16, (a1)
    add     a1, a1, t4
    vle8.v  v24, (a1)
    ld      t0, 0(a0)
    ld      t1, 8(a0)
    ld      t2, 16(a0)
    ld      t3, 24(a0)
    vsetvl  zero, t1, t2
    csrw    vcsr, t3
    csrw    vstart, t0
    ret
    .size arch_load_vector, . - arch_load_vector

// u64 arch_read_vector_register_bytes()
    .balign 4
    .globl arch_read_vector_register_bytes
    .type arch_read_vector_register_bytes, @function
arch_read_vector_register_bytes:
    csrr    a0, vlenb
    ret
    .size arch_read_vector_register_bytes, . - arch_read_vector_register_bytes
    .option pop
