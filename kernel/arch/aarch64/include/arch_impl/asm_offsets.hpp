// Offsets and sizes that the assembly files share with the C++ structs; layout_checks.cpp asserts every one of them.
#pragma once

// arch::ThreadHeader
#define THREAD_CPU 0
#define THREAD_KERNEL_STACK_TOP 16
#define THREAD_USER_CONTEXT 24
#define THREAD_SAVED_SP 32

// arch::CpuHeader
#define CPU_CURRENT 0

// arch::UserContext
#define USER_X0 0
#define USER_X30 240
#define USER_SP 248
#define USER_PC 256
#define USER_PSTATE 264
#define USER_ORIGINAL_X0 272
#define USER_SYSCALL_NUMBER 280
#define USER_TLS 288
#define USER_SYSCALL_FLAGS 296
#define USER_SVE_ON 298
#define USER_FP_LIVE 300
#define USER_FP_STATE 336

// abi::user_fpsimd_state
#define FP_FPSR 512
#define FP_FPCR 516

// TrapFrame of an exception taken from kernel code
#define FRAME_SIZE 288
#define FRAME_X30 240
#define FRAME_SP 248
#define FRAME_PC 256
#define FRAME_PSTATE 264
#define FRAME_RECORD 272

// The frame that arch_run_user leaves on the kernel stack while user code runs
#define RUN_SIZE 112
#define RUN_CONTEXT 16
#define RUN_SCRATCH 24
#define RUN_SAVED 32

#define KERNEL_STACK_SIZE 16384
