// Where a signal handler returns to: rt_sigreturn(2). The unwind information describes the frame that the kernel pushed
// (abi_arch/signal_frame.hpp), so that debuggers and C++ exceptions pass through it.
    .text
    .balign 16
    .globl __vdso_rt_sigreturn
    .type __vdso_rt_sigreturn, %function
    .cfi_startproc
    .cfi_signal_frame
    .cfi_def_cfa 3, 0
    .cfi_offset 1, 320
    .cfi_offset 2, 328
    .cfi_offset 3, 336
    .cfi_offset 4, 344
    .cfi_offset 5, 352
    .cfi_offset 6, 360
    .cfi_offset 7, 368
    .cfi_offset 8, 376
    .cfi_offset 9, 384
    .cfi_offset 10, 392
    .cfi_offset 11, 400
    .cfi_offset 12, 408
    .cfi_offset 13, 416
    .cfi_offset 14, 424
    .cfi_offset 15, 432
    .cfi_offset 16, 440
    .cfi_offset 17, 448
    .cfi_offset 18, 456
    .cfi_offset 19, 464
    .cfi_offset 20, 472
    .cfi_offset 21, 480
    .cfi_offset 22, 488
    .cfi_offset 23, 496
    .cfi_offset 24, 504
    .cfi_offset 25, 512
    .cfi_offset 26, 520
    .cfi_offset 27, 528
    .cfi_offset 28, 536
    .cfi_offset 29, 544
    .cfi_offset 30, 552
    .cfi_offset 31, 560

    // Unwinders look one instruction before the return address: it must lie inside the function.
    nop
__vdso_rt_sigreturn:
    li.w $a7, 139
    syscall 0
    .cfi_endproc
    .size __vdso_rt_sigreturn, . - __vdso_rt_sigreturn

    .section .note.Linux, "a", %note
    .balign 4
    .4byte 6, 4, 0          // name size, descriptor size, type
    .asciz "Linux"
    .balign 4
    .4byte 0x060c00         // the release this vDSO speaks for: 6.12
    .section .note.GNU-stack, "", %progbits
