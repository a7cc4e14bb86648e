// Field offsets for assembly; layout.cpp checks every one against the C++ structs.
#define CPU_CURRENT 0
#define CPU_USER_SP 24
#define CPU_KERNEL_SP 32
#define CPU_ENTERED 40
#define CPU_LIVE_CONTEXT 48
#define CPU_TSS_RSP0 200

#define THREAD_CPU 0
#define THREAD_USER_CONTEXT 24
#define THREAD_STACK_POINTER 32

#define REG_R15 0
#define REG_R14 8
#define REG_R13 16
#define REG_R12 24
#define REG_RBP 32
#define REG_RBX 40
#define REG_R11 48
#define REG_R10 56
#define REG_R9 64
#define REG_R8 72
#define REG_RAX 80
#define REG_RCX 88
#define REG_RDX 96
#define REG_RSI 104
#define REG_RDI 112
#define REG_VECTOR 120
#define REG_ERROR 128
#define REG_RIP 136
#define REG_CS 144
#define REG_RFLAGS 152
#define REG_RSP 160
#define REG_SS 168
#define REGS_SIZE 176
#define CONTEXT_ORIGINAL_RAX 176
#define CONTEXT_NEWER 184

#define KERNEL_CS 0x10
#define KERNEL_DS 0x18
#define USER_DS 0x2b
#define USER_CS 0x33
#define TSS_SELECTOR 0x40

#define IMAGE_PHYSICAL 0x200000
#define IMAGE_TABLES 9           // 16 MiB of image that needn't begin at 2 MiB
#define ALIAS_TABLES 4           // 8 MiB of text and rodata
#define DIRECT_MAP_BASE 0xffff800000000000
#define BOOT_STACK_SIZE 16384
#define BOOT_EXCEPTION_STACK_SIZE 8192
#define TRAMPOLINE_PHYSICAL 0x8000
