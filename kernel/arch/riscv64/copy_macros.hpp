// The body of every forward copy: a0 = to, a1 = from, a2 = size. Changes a0 … a7 and t0 … t3.
//
// `load` and `store` name macros that make one access; the user copies give it an exception-table entry. Wherever an
// access may fault, a0, a1 and a2 say what is still to be copied: a fault in a phase of words goes on with single bytes
// from there (label \name\()_bytes), and a fault in a phase of bytes ends the copy (label \name\()_end, a2 = bytes
// left).

.macro plain_access name, fix_up, instruction:vararg
    \instruction
    .endm

    .macro user_access name, fix_up, instruction:vararg
9999: \instruction
    .pushsection __ex_table, "a"
    .balign 4
    .4byte  9999b - .
    .4byte  \name\()_\fix_up - .
    .popsection
    .endm

    .macro copy_forward name, load, store
    li      t0, 16
    bltu    a2, t0, \name\()_bytes
1:  andi    t0, a0, 7                       // align the destination
    beqz    t0, 2f
    \load   \name, end, lb t1, (a1)
    \store  \name, end, sb t1, (a0)
    addi    a0, a0, 1
    addi    a1, a1, 1
    addi    a2, a2, -1
    j       1b
2:  andi    t0, a1, 7
    bnez    t0, 5f

    li      t0, 64                          // aligned alike: blocks, then words
    bltu    a2, t0, 4f
3:  \load   \name, bytes, ld a3, 0(a1)
    \load   \name, bytes, ld a4, 8(a1)
    \load   \name, bytes, ld a5, 16(a1)
    \load   \name, bytes, ld a6, 24(a1)
    \load   \name, bytes, ld a7, 32(a1)
    \load   \name, bytes, ld t1, 40(a1)
    \load   \name, bytes, ld t2, 48(a1)
    \load   \name, bytes, ld t3, 56(a1)
    \store  \name, bytes, sd a3, 0(a0)
    \store  \name, bytes, sd a4, 8(a0)
    \store  \name, bytes, sd a5, 16(a0)
    \store  \name, bytes, sd a6, 24(a0)
    \store  \name, bytes, sd a7, 32(a0)
    \store  \name, bytes, sd t1, 40(a0)
    \store  \name, bytes, sd t2, 48(a0)
    \store  \name, bytes, sd t3, 56(a0)
    addi    a0, a0, 64
    addi    a1, a1, 64
    addi    a2, a2, -64
    bgeu    a2, t0, 3b
4:  li      t0, 8
    bltu    a2, t0, \name\()_bytes
    \load   \name, bytes, ld a3, (a1)
    \store  \name, bytes, sd a3, (a0)
    addi    a0, a0, 8
    addi    a1, a1, 8
    addi    a2, a2, -8
    j       4b

5:  slli    t1, t0, 3                       // aligned differently: each word comes out of two aligned ones. Every word
    li      t2, 64                          // read holds at least one byte of the source, so none crosses into a page
    sub     t2, t2, t1                      // that the source doesn't touch.
    sub     a3, a1, t0
    li      t3, 8
    \load   \name, bytes, ld a4, (a3)
6:  bltu    a2, t3, \name\()_bytes
    \load   \name, bytes, ld a5, 8(a3)
    srl     a6, a4, t1
    sll     a7, a5, t2
    or      a6, a6, a7
    \store  \name, bytes, sd a6, (a0)
    mv      a4, a5
    addi    a3, a3, 8
    addi    a0, a0, 8
    addi    a1, a1, 8
    addi    a2, a2, -8
    j       6b

\name\()_bytes:
    beqz    a2, \name\()_end
    \load   \name, end, lb t1, (a1)
    \store  \name, end, sb t1, (a0)
    addi    a0, a0, 1
    addi    a1, a1, 1
    addi    a2, a2, -1
    j       \name\()_bytes
\name\()_end:
    .endm

// The body of a fill: a0 = to, a1 = the byte in all eight places, a2 = size. Faults as above.
    .macro fill_forward name, store
    li      t0, 16
    bltu    a2, t0, \name\()_bytes
1:  andi    t0, a0, 7
    beqz    t0, 2f
    \store  \name, end, sb a1, (a0)
    addi    a0, a0, 1
    addi    a2, a2, -1
    j       1b
2:  li      t0, 64
    bltu    a2, t0, 4f
3:  \store  \name, bytes, sd a1, 0(a0)
    \store  \name, bytes, sd a1, 8(a0)
    \store  \name, bytes, sd a1, 16(a0)
    \store  \name, bytes, sd a1, 24(a0)
    \store  \name, bytes, sd a1, 32(a0)
    \store  \name, bytes, sd a1, 40(a0)
    \store  \name, bytes, sd a1, 48(a0)
    \store  \name, bytes, sd a1, 56(a0)
    addi    a0, a0, 64
    addi    a2, a2, -64
    bgeu    a2, t0, 3b
4:  li      t0, 8
5:  bltu    a2, t0, \name\()_bytes
    \store  \name, bytes, sd a1, (a0)
    addi    a0, a0, 8
    addi    a2, a2, -8
    j       5b
\name\()_bytes:
    beqz    a2, \name\()_end
    \store  \name, end, sb a1, (a0)
    addi    a0, a0, 1
    addi    a2, a2, -1
    j       \name\()_bytes
\name\()_end:
    .endm
