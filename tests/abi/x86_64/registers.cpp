// arch: x86_64
// User state across switches, fork and threads: vector registers, x87, FS and GS bases, flags; what syscall clobbers.
#include "check.hpp"

#include <asm/prctl.h>
#include <cpuid.h>
#include <cstdint>
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool vectors_hold(uint64_t seed) {
    alignas(32) uint64_t in[8], out[8];
    for (int i = 0; i < 8; ++i) in[i] = seed * (i + 3);
    asm volatile("vmovdqa (%[in]), %%ymm3; vmovdqa 32(%[in]), %%ymm12\n\t"
                 "movl $200, %%r12d\n"
                 "1: movl %[call], %%eax; syscall; decl %%r12d; jnz 1b\n\t"
                 "movl $20000, %%r12d\n"
                 "2: decl %%r12d; jnz 2b\n\t"
                 "vmovdqa %%ymm3, (%[out]); vmovdqa %%ymm12, 32(%[out])" ::[in] "r"(in),
                 [out] "r"(out), [call] "i"(SYS_sched_yield)
                 : "rax", "rcx", "r11", "r12", "xmm3", "xmm12", "memory");
    return memcmp(in, out, sizeof in) == 0;
}

static void* run(void* argument) {
    auto seed = reinterpret_cast<uint64_t>(argument) * 0x9e3779b97f4a7c15;
    bool good = true;
    for (int round = 0; round < 30 && good; ++round) good = vectors_hold(seed + round);
    return good ? nullptr : argument;
}

static void check_threads() {
    pthread_t threads[12];
    for (uintptr_t i = 0; i < 12; ++i) REQUIRE(pthread_create(&threads[i], nullptr, run, (void*)(i + 1)) == 0);
    for (auto& thread : threads) {
        void* result;
        pthread_join(thread, &result);
        CHECK(result == nullptr);
    }
}

static void check_fork_copies() {
    alignas(32) uint64_t in[4] = {1, 2, 3, 4}, out[4] = {};
    int child;
    asm volatile("vmovdqa (%[in]), %%ymm9; fninit; fldl2e\n\t"
                 "movl %[call], %%eax; syscall\n\t"
                 "vmovdqa %%ymm9, (%[out])"
                 : "=&a"(child)
                 : [in] "r"(in), [out] "r"(out), [call] "i"(SYS_fork)
                 : "rcx", "r11", "xmm9", "memory", "st");
    double top;
    asm volatile("fstpl %0" : "=m"(top));
    bool good = memcmp(in, out, sizeof in) == 0 && top > 1.44 && top < 1.45;
    if (child == 0) _exit(good ? 0 : 1);
    int status;
    waitpid(child, &status, 0);
    CHECK_EQ(status, 0);
    CHECK(good);
}

static void check_bases() {
    unsigned long fs = 0;
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs), 0);
    unsigned long self;
    asm("movq %%fs:0, %0" : "=r"(self));
    CHECK_EQ(fs, self);
    CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_SET_FS, 0xffff800000000000), EPERM);
    CHECK_ERRNO(syscall(SYS_arch_prctl, 0x7777, 0), EINVAL);
    unsigned long word = 0x1122334455667788, read;
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, &word), 0);
    for (int i = 0; i < 100; ++i) sched_yield();
    asm volatile("movq %%gs:0, %0" : "=r"(read));
    CHECK_EQ(read, word);
    unsigned long gs = 0;
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs), 0);
    CHECK_EQ(gs, (unsigned long)&word);
    if (getauxval(AT_HWCAP2) & 2) { // HWCAP2_FSGSBASE
        unsigned long other[1] = {77};
        asm volatile("wrgsbase %0" ::"r"(other));
        usleep(1000); // another thread runs on this CPU meanwhile
        asm volatile("movq %%gs:0, %0" : "=r"(read));
        CHECK_EQ(read, 77ul);
    }
}

static void check_syscall_registers() {
    // rcx and r11 are what the instruction leaves there; everything else survives, and so does the direction flag.
    unsigned long rcx, r11, r8, flags;
    asm volatile("leaq -128(%%rsp), %%rsp\n\t" // past the red zone
                 "movl $8, %%r8d; std\n\t"
                 "movl %[call], %%eax; syscall\n\t"
                 "pushfq; popq %%rdx; cld\n\t"
                 "leaq 128(%%rsp), %%rsp\n\t"
                 "movq %%r8, %%rsi; movq %%r11, %%rdi"
                 : "=c"(rcx), "=D"(r11), "=S"(r8), "=d"(flags)
                 : [call] "i"(SYS_getppid)
                 : "rax", "r11", "r8", "memory");
    CHECK_EQ(r8, 8ul);
    CHECK(flags & 0x400);
    CHECK(r11 & 0x400);
    CHECK(rcx > 0x1000);
}

int main() {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx")) check::skip("the CPU has no AVX");
    check_syscall_registers();
    check_fork_copies();
    check_threads();
    check_bases();
    return check::result();
}
