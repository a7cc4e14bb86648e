// The body of every forward copy: a0 = to, a1 = from, a2 = size. Changes a0 … a7 and t0 … t3.
//
// `load` and `store` name macros that make one access; the user copies give it an exception-table entry. Wherever an
// access may fault, a0, a1 and a2 say what is still to be copied: a fault in a phase of words goes on with single bytes
// from there (label \name\()_bytes), and a fault in a phase of bytes ends the copy (label \name\()_end, a2 = bytes
// left). The CPU does unaligned accesses itself.

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
    li.w    $t0, 32
    li.w    $t3, 8
    bltu    $a2, $t0, 4f
3:  \load   \name, bytes, ld.d $a3, $a1, 0
    \load   \name, bytes, ld.d $a4, $a1, 8
    \load   \name, bytes, ld.d $a5, $a1, 16
    \load   \name, bytes, ld.d $a6, $a1, 24
    \store  \name, bytes, st.d $a3, $a0, 0
    \store  \name, bytes, st.d $a4, $a0, 8
    \store  \name, bytes, st.d $a5, $a0, 16
    \store  \name, bytes, st.d $a6, $a0, 24
    addi.d  $a0, $a0, 32
    addi.d  $a1, $a1, 32
    addi.d  $a2, $a2, -32
    bgeu    $a2, $t0, 3b
4:  bltu    $a2, $t3, \name\()_bytes
    \load   \name, bytes, ld.d $a3, $a1, 0
    \store  \name, bytes, st.d $a3, $a0, 0
    addi.d  $a0, $a0, 8
    addi.d  $a1, $a1, 8
    addi.d  $a2, $a2, -8
    b       4b
\name\()_bytes:
    beqz    $a2, \name\()_end
    \load   \name, end, ld.b $t1, $a1, 0
    \store  \name, end, st.b $t1, $a0, 0
    addi.d  $a0, $a0, 1
    addi.d  $a1, $a1, 1
    addi.d  $a2, $a2, -1
    b       \name\()_bytes
\name\()_end:
    .endm

// The body of a fill: a0 = to, a1 = the byte in all eight places, a2 = size. Faults as above.
    .macro fill_forward name, store
    li.w    $t0, 32
    li.w    $t3, 8
    bltu    $a2, $t0, 4f
3:  \store  \name, bytes, st.d $a1, $a0, 0
    \store  \name, bytes, st.d $a1, $a0, 8
    \store  \name, bytes, st.d $a1, $a0, 16
    \store  \name, bytes, st.d $a1, $a0, 24
    addi.d  $a0, $a0, 32
    addi.d  $a2, $a2, -32
    bgeu    $a2, $t0, 3b
4:  bltu    $a2, $t3, \name\()_bytes
    \store  \name, bytes, st.d $a1, $a0, 0
    addi.d  $a0, $a0, 8
    addi.d  $a2, $a2, -8
    b       4b
\name\()_bytes:
    beqz    $a2, \name\()_end
    \store  \name, end, st.b $a1, $a0, 0
    addi.d  $a0, $a0, 1
    addi.d  $a2, $a2, -1
    b       \name\()_bytes
\name\()_end:
    .endm
