// Where a signal handler returns to: rt_sigreturn(2). The unwind information describes the frame that the kernel pushed
// (abi_arch/signal_frame.hpp), so that debuggers and C++ exceptions pass through it.
    .text
    .balign 16
    .globl __kernel_rt_sigreturn
    .type __kernel_rt_sigreturn, %function
    .cfi_startproc
    .cfi_signal_frame
    .cfi_def_cfa sp, 0
    .cfi_return_column 32
    .cfi_offset x0, 312
    .cfi_offset x1, 320
    .cfi_offset x2, 328
    .cfi_offset x3, 336
    .cfi_offset x4, 344
    .cfi_offset x5, 352
    .cfi_offset x6, 360
    .cfi_offset x7, 368
    .cfi_offset x8, 376
    .cfi_offset x9, 384
    .cfi_offset x10, 392
    .cfi_offset x11, 400
    .cfi_offset x12, 408
    .cfi_offset x13, 416
    .cfi_offset x14, 424
    .cfi_offset x15, 432
    .cfi_offset x16, 440
    .cfi_offset x17, 448
    .cfi_offset x18, 456
    .cfi_offset x19, 464
    .cfi_offset x20, 472
    .cfi_offset x21, 480
    .cfi_offset x22, 488
    .cfi_offset x23, 496
    .cfi_offset x24, 504
    .cfi_offset x25, 512
    .cfi_offset x26, 520
    .cfi_offset x27, 528
    .cfi_offset x28, 536
    .cfi_offset x29, 544
    .cfi_offset x30, 552
    .cfi_offset 32, 568
    // Unwinders look one instruction before the return address: it must lie inside the function.
    nop
__kernel_rt_sigreturn:
    mov x8, #139
    svc #0
    .cfi_endproc
    .size __kernel_rt_sigreturn, . - __kernel_rt_sigreturn

    .section .note.Linux, "a", %note
    .balign 4
    .4byte 6, 4, 0          // name size, descriptor size, type
    .asciz "Linux"
    .balign 4
    .4byte 0x060c00         // the release this vDSO speaks for: 6.12
    .section .note.GNU-stack, "", %progbits
