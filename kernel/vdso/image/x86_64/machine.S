// x86_64 returns from handlers by sa_restorer: no trampoline here.
    .section .note.Linux, "a", %note
    .balign 4
    .4byte 6, 4, 0          // name size, descriptor size, type
    .asciz "Linux"
    .balign 4
    .4byte 0x060c00         // the release this vDSO speaks for: 6.12
    .section .note.GNU-stack, "", %progbits
