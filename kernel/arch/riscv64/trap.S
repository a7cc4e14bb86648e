    .text
    .balign 4
    .globl arch_trap_entry
arch_trap_entry: j arch_trap_entry
