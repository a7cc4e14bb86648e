// Places of C++ fields and numbers of CSRs that assembly uses. asm_offsets.cpp asserts that the compiler
// agrees.
#pragma once

#define THREAD_CPU 0
#define THREAD_KERNEL_STACK_TOP 16
#define THREAD_USER_CONTEXT 24
#define THREAD_STACK_POINTER 32
#define THREAD_USER_ENTRY_STACK 40

#define CPU_CURRENT 0
#define CPU_NUMBER 8
#define CPU_EXTENDED_OWNER 24

// UserContext: regs[0] is pc, regs[n] is $rn.
#define USER_REGISTER(n) 8 * (n)
#define USER_UNITS 256
#define USER_ORIGINAL_A0 264
#define USER_IN_SYSCALL 272
#define USER_EXTENDED_CPU 276
#define USER_LIVE 280

// Frame of a trap from kernel code: regs[0] is ERA, regs[n] is $rn, then PRMD, ESTAT, BADV; the saved frame
// pointer and pc at the end form a stack-frame record for backtraces.
#define FRAME_REGISTER(n) 8 * (n)
#define FRAME_MODE 256
#define FRAME_STATUS 264
#define FRAME_ADDRESS 272
#define FRAME_RECORD 288
#define FRAME_SIZE 304

#define EXTENDED_FCC 1024
#define EXTENDED_FCSR 1032

#define KERNEL_STACK_SHIFT 14

#define CSR_CRMD 0x0
#define CSR_PRMD 0x1
#define CSR_EUEN 0x2
#define CSR_ECFG 0x4
#define CSR_ESTAT 0x5
#define CSR_ERA 0x6
#define CSR_BADV 0x7
#define CSR_EENTRY 0xc
#define CSR_ASID 0x18
#define CSR_PGDL 0x19
#define CSR_PGDH 0x1a
#define CSR_PGD 0x1b
#define CSR_PWCL 0x1c
#define CSR_PWCH 0x1d
#define CSR_STLBPS 0x1e
#define CSR_CPUID 0x20
#define CSR_SAVE0 0x30 // while user code runs: the ThreadHeader
#define CSR_SAVE1 0x31 // scratch of the trap entry
#define CSR_SAVE2 0x32
#define CSR_SAVE3 0x33
#define CSR_TLBRENTRY 0x88
#define CSR_TLBRSAVE 0x8b
#define CSR_TLBRELO0 0x8c
#define CSR_TLBRELO1 0x8d
#define CSR_TLBREHI 0x8e
#define CSR_MERRENTRY 0x93
#define CSR_DMW0 0x180
#define CSR_DMW1 0x181

#define CODE_SYSCALL 11
#define MODE_PLV 3
#define MODE_USER 7      // PPLV = 3, PIE
#define CRMD_PAGING 0xb0 // PG, cached fetches and loads, PLV0, interrupts off
#define CRMD_IE 4
