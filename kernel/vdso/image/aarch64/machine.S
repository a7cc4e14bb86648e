// Where a signal handler returns to: rt_sigreturn(2). Without unwind information, as on Linux: unwinders and debuggers know
// these two instructions, and with them the layout of the frame that the kernel pushed (abi_arch/signal_frame.hpp). With
// unwind information libgcc aborts when it unwinds a cancelled thread (pthread_cancel(3)).
    .text
    .balign 16
    .globl __kernel_rt_sigreturn
    .type __kernel_rt_sigreturn, %function
    // Unwinders look one instruction before the return address: that must not be another function's last one.
    nop
__kernel_rt_sigreturn:
    mov x8, #139
    svc #0
    .size __kernel_rt_sigreturn, . - __kernel_rt_sigreturn

    .section .note.Linux, "a", %note
    .balign 4
    .4byte 6, 4, 0          // name size, descriptor size, type
    .asciz "Linux"
    .balign 4
    .4byte 0x060c00         // the release this vDSO speaks for: 6.12
    .section .note.GNU-stack, "", %progbits
