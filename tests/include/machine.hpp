// The few things a test of signals must say in each machine's own words: where a context keeps the program counter and
// the stack pointer, instructions that trap, and all floating-point and vector registers.
#pragma once

#include <csignal>
#include <cstdint>
#include <ucontext.h>

namespace machine {

#if defined(__x86_64__)

inline uint64_t pc(const ucontext_t& context) { return uint64_t(context.uc_mcontext.gregs[REG_RIP]); }
inline uint64_t sp(const ucontext_t& context) { return uint64_t(context.uc_mcontext.gregs[REG_RSP]); }
inline void set_pc(ucontext_t& context, uint64_t value) { context.uc_mcontext.gregs[REG_RIP] = greg_t(value); }
inline void set_sp(ucontext_t& context, uint64_t value) { context.uc_mcontext.gregs[REG_RSP] = greg_t(value); }

constexpr uint64_t kernel_address = 0xffffffff81000000, strange_address = 0x8000000000000000;
constexpr int kernel_address_signal = SIGSEGV;
constexpr bool undefined_has_details = true;
constexpr bool integer_division_traps = true;
constexpr int vector_bytes = 16 * 16;

[[noreturn]] inline void sigreturn_at(uint64_t stack) {
    asm volatile("movq %0, %%rsp; movl $15, %%eax; syscall; hlt" ::"r"(stack));
    __builtin_unreachable();
}
inline void load_vectors(const void* from) {
    asm volatile(
        "movdqu (%0), %%xmm0; movdqu 16(%0), %%xmm1; movdqu 32(%0), %%xmm2; movdqu 48(%0), %%xmm3;"
        "movdqu 64(%0), %%xmm4; movdqu 80(%0), %%xmm5; movdqu 96(%0), %%xmm6; movdqu 112(%0), %%xmm7;"
        "movdqu 128(%0), %%xmm8; movdqu 144(%0), %%xmm9; movdqu 160(%0), %%xmm10; movdqu 176(%0), %%xmm11;"
        "movdqu 192(%0), %%xmm12; movdqu 208(%0), %%xmm13; movdqu 224(%0), %%xmm14; movdqu 240(%0), %%xmm15" ::"r"(from)
        : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
          "xmm12", "xmm13", "xmm14", "xmm15");
}
/// Loads all vector registers, spins until *flag is set, stores them: no call, so nothing but a handler touches them.
inline void hold_vectors(const void* from, void* to, const volatile int* flag) {
    asm volatile(
        "movdqu (%0), %%xmm0; movdqu 16(%0), %%xmm1; movdqu 32(%0), %%xmm2; movdqu 48(%0), %%xmm3;"
        "movdqu 64(%0), %%xmm4; movdqu 80(%0), %%xmm5; movdqu 96(%0), %%xmm6; movdqu 112(%0), %%xmm7;"
        "movdqu 128(%0), %%xmm8; movdqu 144(%0), %%xmm9; movdqu 160(%0), %%xmm10; movdqu 176(%0), %%xmm11;"
        "movdqu 192(%0), %%xmm12; movdqu 208(%0), %%xmm13; movdqu 224(%0), %%xmm14; movdqu 240(%0), %%xmm15;"
        "1: pause; cmpl $0, (%2); je 1b;"
        "movdqu %%xmm0, (%1); movdqu %%xmm1, 16(%1); movdqu %%xmm2, 32(%1); movdqu %%xmm3, 48(%1);"
        "movdqu %%xmm4, 64(%1); movdqu %%xmm5, 80(%1); movdqu %%xmm6, 96(%1); movdqu %%xmm7, 112(%1);"
        "movdqu %%xmm8, 128(%1); movdqu %%xmm9, 144(%1); movdqu %%xmm10, 160(%1); movdqu %%xmm11, 176(%1);"
        "movdqu %%xmm12, 192(%1); movdqu %%xmm13, 208(%1); movdqu %%xmm14, 224(%1); movdqu %%xmm15, 240(%1)" ::"r"(
            from),
        "r"(to), "r"(flag)
        : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
          "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}
inline void breakpoint() { asm volatile("int3"); }
inline void undefined() { asm volatile("ud2"); }
inline int divide(int a, int b) {
    int result = a, rest;
    asm volatile("cltd; idivl %2" : "+a"(result), "=&d"(rest) : "r"(b));
    return result;
}
/// What siginfo says of a breakpoint.
constexpr int breakpoint_code = 0x80; // SI_KERNEL
constexpr bool breakpoint_has_address = false;

#elif defined(__aarch64__)

inline uint64_t pc(const ucontext_t& context) { return context.uc_mcontext.pc; }
inline uint64_t sp(const ucontext_t& context) { return context.uc_mcontext.sp; }
inline void set_pc(ucontext_t& context, uint64_t value) { context.uc_mcontext.pc = value; }
inline void set_sp(ucontext_t& context, uint64_t value) { context.uc_mcontext.sp = value; }

constexpr uint64_t kernel_address = 0xffff800080000000, strange_address = 0x0800000000000000;
constexpr int kernel_address_signal = SIGSEGV;
constexpr bool undefined_has_details = true;
constexpr bool integer_division_traps = false;
constexpr int vector_bytes = 32 * 16;

[[noreturn]] inline void sigreturn_at(uint64_t stack) {
    asm volatile("mov sp, %0; mov x8, #139; svc #0; udf #0" ::"r"(stack));
    __builtin_unreachable();
}
#define MACHINE_LOAD                                                                                                   \
    "ld1 {v0.2d-v3.2d}, [x9], #64; ld1 {v4.2d-v7.2d}, [x9], #64; ld1 {v8.2d-v11.2d}, [x9], #64;"                       \
    "ld1 {v12.2d-v15.2d}, [x9], #64; ld1 {v16.2d-v19.2d}, [x9], #64; ld1 {v20.2d-v23.2d}, [x9], #64;"                  \
    "ld1 {v24.2d-v27.2d}, [x9], #64; ld1 {v28.2d-v31.2d}, [x9], #64;"
#define MACHINE_STORE                                                                                                  \
    "st1 {v0.2d-v3.2d}, [x9], #64; st1 {v4.2d-v7.2d}, [x9], #64; st1 {v8.2d-v11.2d}, [x9], #64;"                       \
    "st1 {v12.2d-v15.2d}, [x9], #64; st1 {v16.2d-v19.2d}, [x9], #64; st1 {v20.2d-v23.2d}, [x9], #64;"                  \
    "st1 {v24.2d-v27.2d}, [x9], #64; st1 {v28.2d-v31.2d}, [x9], #64;"
#define MACHINE_VECTORS                                                                                                \
    "memory", "cc", "x9", "x10", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12",      \
        "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27",       \
        "v28", "v29", "v30", "v31"
inline void load_vectors(const void* from) { asm volatile("mov x9, %0;" MACHINE_LOAD ::"r"(from) : MACHINE_VECTORS); }
inline void hold_vectors(const void* from, void* to, const volatile int* flag) {
    asm volatile("mov x9, %0;" MACHINE_LOAD "1: ldr w10, [%2]; cbz w10, 1b; mov x9, %1;" MACHINE_STORE ::"r"(from),
                 "r"(to), "r"(flag)
                 : MACHINE_VECTORS);
}
inline void breakpoint() { asm volatile("brk #0x1234"); }
inline void undefined() { asm volatile("udf #0x1234"); }
inline int divide(int a, int b) { return b ? a / b : 0; }
constexpr int breakpoint_code = 1; // TRAP_BRKPT
constexpr bool breakpoint_has_address = true;

#elif defined(__riscv)

inline uint64_t pc(const ucontext_t& context) { return context.uc_mcontext.__gregs[0]; }
inline uint64_t sp(const ucontext_t& context) { return context.uc_mcontext.__gregs[2]; }
inline void set_pc(ucontext_t& context, uint64_t value) { context.uc_mcontext.__gregs[0] = value; }
inline void set_sp(ucontext_t& context, uint64_t value) { context.uc_mcontext.__gregs[2] = value; }

constexpr uint64_t kernel_address = 0xffffffff80000000, strange_address = 0x8000000000000000;
constexpr int kernel_address_signal = SIGSEGV;
constexpr bool undefined_has_details = true;
constexpr bool integer_division_traps = false;
constexpr int vector_bytes = 32 * 8;

[[noreturn]] inline void sigreturn_at(uint64_t stack) {
    asm volatile("mv sp, %0; li a7, 139; ecall; unimp" ::"r"(stack));
    __builtin_unreachable();
}
#define MACHINE_EACH(op, base)                                                                                         \
    op " f0, 0(" base ");" op " f1, 8(" base ");" op " f2, 16(" base ");" op " f3, 24(" base ");" op " f4, 32(" base   \
       ");" op " f5, 40(" base ");" op " f6, 48(" base ");" op " f7, 56(" base ");" op " f8, 64(" base ");" op         \
       " f9, 72(" base ");" op " f10, 80(" base ");" op " f11, 88(" base ");" op " f12, 96(" base ");" op              \
       " f13, 104(" base ");" op " f14, 112(" base ");" op " f15, 120(" base ");" op " f16, 128(" base ");" op         \
       " f17, 136(" base ");" op " f18, 144(" base ");" op " f19, 152(" base ");" op " f20, 160(" base ");" op         \
       " f21, 168(" base ");" op " f22, 176(" base ");" op " f23, 184(" base ");" op " f24, 192(" base ");" op         \
       " f25, 200(" base ");" op " f26, 208(" base ");" op " f27, 216(" base ");" op " f28, 224(" base ");" op         \
       " f29, 232(" base ");" op " f30, 240(" base ");" op " f31, 248(" base ");"
#define MACHINE_VECTORS                                                                                                \
    "memory", "t0", "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", "f14",     \
        "f15", "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", "f26", "f27", "f28", "f29",       \
        "f30", "f31"
inline void load_vectors(const void* from) { asm volatile(MACHINE_EACH("fld", "%0")::"r"(from) : MACHINE_VECTORS); }
inline void hold_vectors(const void* from, void* to, const volatile int* flag) {
    asm volatile(MACHINE_EACH("fld", "%0") "1: lw t0, 0(%2); beqz t0, 1b;" MACHINE_EACH("fsd", "%1")::"r"(from),
                 "r"(to), "r"(flag)
                 : MACHINE_VECTORS);
}
inline void breakpoint() { asm volatile(".option push; .option norvc; ebreak; .option pop"); }
inline void undefined() { asm volatile(".4byte 0xffffffff"); }
inline int divide(int a, int b) { return b ? a / b : 0; }
constexpr int breakpoint_code = 1; // TRAP_BRKPT
constexpr bool breakpoint_has_address = true;

#elif defined(__loongarch__)

inline uint64_t pc(const ucontext_t& context) { return context.uc_mcontext.__pc; }
inline uint64_t sp(const ucontext_t& context) { return context.uc_mcontext.__gregs[3]; }
inline void set_pc(ucontext_t& context, uint64_t value) { context.uc_mcontext.__pc = value; }
inline void set_sp(ucontext_t& context, uint64_t value) { context.uc_mcontext.__gregs[3] = value; }

constexpr uint64_t kernel_address = 0x9000000000200000, strange_address = 0x4000000000000000;
constexpr int kernel_address_signal = SIGBUS; // an address error, not a page fault
constexpr bool undefined_has_details = false;
constexpr bool integer_division_traps = true; // as compilers check for it, with break 7
constexpr int vector_bytes = 32 * 8;

[[noreturn]] inline void sigreturn_at(uint64_t stack) {
    asm volatile("move $sp, %0; li.w $a7, 139; syscall 0; break 0" ::"r"(stack));
    __builtin_unreachable();
}
#define MACHINE_EACH(op, base)                                                                                         \
    op " $f0, " base ", 0;" op " $f1, " base ", 8;" op " $f2, " base ", 16;" op " $f3, " base ", 24;" op " $f4, " base \
       ", 32;" op " $f5, " base ", 40;" op " $f6, " base ", 48;" op " $f7, " base ", 56;" op " $f8, " base ", 64;" op  \
       " $f9, " base ", 72;" op " $f10, " base ", 80;" op " $f11, " base ", 88;" op " $f12, " base ", 96;" op          \
       " $f13, " base ", 104;" op " $f14, " base ", 112;" op " $f15, " base ", 120;" op " $f16, " base ", 128;" op     \
       " $f17, " base ", 136;" op " $f18, " base ", 144;" op " $f19, " base ", 152;" op " $f20, " base ", 160;" op     \
       " $f21, " base ", 168;" op " $f22, " base ", 176;" op " $f23, " base ", 184;" op " $f24, " base ", 192;" op     \
       " $f25, " base ", 200;" op " $f26, " base ", 208;" op " $f27, " base ", 216;" op " $f28, " base ", 224;" op     \
       " $f29, " base ", 232;" op " $f30, " base ", 240;" op " $f31, " base ", 248;"
#define MACHINE_VECTORS                                                                                                \
    "memory", "$t0", "$f0", "$f1", "$f2", "$f3", "$f4", "$f5", "$f6", "$f7", "$f8", "$f9", "$f10", "$f11", "$f12",     \
        "$f13", "$f14", "$f15", "$f16", "$f17", "$f18", "$f19", "$f20", "$f21", "$f22", "$f23", "$f24", "$f25",        \
        "$f26", "$f27", "$f28", "$f29", "$f30", "$f31"
inline void load_vectors(const void* from) { asm volatile(MACHINE_EACH("fld.d", "%0")::"r"(from) : MACHINE_VECTORS); }
inline void hold_vectors(const void* from, void* to, const volatile int* flag) {
    asm volatile(MACHINE_EACH("fld.d", "%0") "1: ld.w $t0, %2, 0; beqz $t0, 1b;" MACHINE_EACH("fst.d", "%1")::"r"(from),
                 "r"(to), "r"(flag)
                 : MACHINE_VECTORS);
}
inline void breakpoint() { asm volatile("break 0"); }
inline void undefined() { asm volatile(".4byte 0xffffffff"); }
inline int divide(int a, int b) {
    if (b == 0) asm volatile("break 7");
    return b ? a / b : 0;
}
constexpr int breakpoint_code = 1; // TRAP_BRKPT
constexpr bool breakpoint_has_address = true;

#endif

} // namespace machine
