// Places of C++ fields that assembly uses. asm_offsets.cpp asserts that the compiler agrees.
#pragma once

#define THREAD_CPU 0
#define THREAD_KERNEL_STACK_TOP 16
#define THREAD_USER_CONTEXT 24
#define THREAD_STACK_POINTER 32
#define THREAD_USER_ENTRY_STACK 40
#define THREAD_SCRATCH 48

#define CPU_CURRENT 0
#define CPU_NUMBER 8
#define CPU_EXTENDED_OWNER 24

// UserContext: regs[0] is pc, regs[n] is xn.
#define USER_REGISTER(n) 8 * (n)
#define USER_STATUS 256
#define USER_ORIGINAL_A0 264
#define USER_IN_SYSCALL 272
#define USER_EXTENDED_CPU 276
#define USER_FP 288

// Frame of a trap from kernel code: regs[0] is sepc, regs[n] is xn, then sstatus, scause, stval; the saved frame
// pointer and pc at the end form a stack-frame record for backtraces.
#define FRAME_REGISTER(n) 8 * (n)
#define FRAME_STATUS 256
#define FRAME_CAUSE 264
#define FRAME_VALUE 272
#define FRAME_RECORD 288
#define FRAME_SIZE 304

#define STATUS_SIE 0x2
#define STATUS_SUM 0x40000
#define STATUS_UNITS 0x6600 // FS and VS
#define STATUS_SUM_UNITS 0x46600
#define CAUSE_ECALL_FROM_USER 8

#define KERNEL_STACK_SHIFT 14
