// Where a signal handler returns to: rt_sigreturn(2). The unwind information describes the frame that the kernel pushed
// (abi_arch/signal_frame.hpp), so that debuggers and C++ exceptions pass through it.
    .text
    .balign 16
    .globl __vdso_rt_sigreturn
    .type __vdso_rt_sigreturn, %function
    .cfi_startproc
    .cfi_signal_frame
    .cfi_def_cfa sp, 0
    .cfi_return_column 64
    .cfi_offset x1, 312
    .cfi_offset x2, 320
    .cfi_offset x3, 328
    .cfi_offset x4, 336
    .cfi_offset x5, 344
    .cfi_offset x6, 352
    .cfi_offset x7, 360
    .cfi_offset x8, 368
    .cfi_offset x9, 376
    .cfi_offset x10, 384
    .cfi_offset x11, 392
    .cfi_offset x12, 400
    .cfi_offset x13, 408
    .cfi_offset x14, 416
    .cfi_offset x15, 424
    .cfi_offset x16, 432
    .cfi_offset x17, 440
    .cfi_offset x18, 448
    .cfi_offset x19, 456
    .cfi_offset x20, 464
    .cfi_offset x21, 472
    .cfi_offset x22, 480
    .cfi_offset x23, 488
    .cfi_offset x24, 496
    .cfi_offset x25, 504
    .cfi_offset x26, 512
    .cfi_offset x27, 520
    .cfi_offset x28, 528
    .cfi_offset x29, 536
    .cfi_offset x30, 544
    .cfi_offset x31, 552
    .cfi_offset 64, 304
    // Unwinders look one instruction before the return address: it must lie inside the function.
    nop
__vdso_rt_sigreturn:
    li a7, 139
    ecall
    .cfi_endproc
    .size __vdso_rt_sigreturn, . - __vdso_rt_sigreturn

    // riscv_flush_icache(2).
    .balign 16
    .globl __vdso_flush_icache
    .type __vdso_flush_icache, %function
__vdso_flush_icache:
    li a7, 259
    ecall
    ret
    .size __vdso_flush_icache, . - __vdso_flush_icache
    .section .note.Linux, "a", %note
    .balign 4
    .4byte 6, 4, 0          // name size, descriptor size, type
    .asciz "Linux"
    .balign 4
    .4byte 0x060c00         // the release this vDSO speaks for: 6.12
    .section .note.GNU-stack, "", %progbits
