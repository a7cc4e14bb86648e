// arch: x86_64
// The signal frame: extended state with its magics, the red zone, alignment, edits of the frame by the handler, and
// frames forged by hostile programs, which must end in a signal to the program and nothing else.
#include "check.hpp"

#include <csignal>
#include <cstdint>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

constexpr uint32_t magic1 = 0x46505853, magic2 = 0x46505845;

static volatile bool image_good, flags_good;
static uint32_t image_size;

extern "C" void handle(int, siginfo_t*, void* context) {
    auto* uc = static_cast<ucontext_t*>(context);
    auto* image = reinterpret_cast<unsigned char*>(uc->uc_mcontext.fpregs);
    uint32_t words[5];
    memcpy(words, image + 464, sizeof words);
    image_size = words[4];
    uint32_t end = 0;
    memcpy(&end, image + words[4], 4);
    image_good = words[0] == magic1 && words[1] == words[4] + 4 && end == magic2 && uintptr_t(image) % 64 == 0;
    flags_good = (uc->uc_flags & 7) == 7 && uc->uc_mcontext.gregs[REG_CSGSFS] >> 48 == 0x2b &&
                 (uc->uc_mcontext.gregs[REG_CSGSFS] & 0xffff) == 0x33;
    // The handler's own use of every vector register must not show outside.
    asm volatile("vpcmpeqd %%ymm0, %%ymm0, %%ymm0; vmovdqa %%ymm0, %%ymm7; vmovdqa %%ymm0, %%ymm15; fninit; fldpi" ::
                     : "xmm0", "xmm7", "xmm15");
    uc->uc_mcontext.gregs[REG_R12] += 1;
}

// Checks rsp as the kernel left it before any prologue.
asm(R"(
    .globl first_instruction
first_instruction:
    movq %rsp, %rax
    andl $15, %eax
    cmpl $8, %eax
    sete aligned_at_entry(%rip)
    jmp handle
)");
extern "C" {
void first_instruction(int, siginfo_t*, void*);
bool aligned_at_entry;
}

static void check_registers_survive() {
    struct sigaction action = {};
    action.sa_sigaction = first_instruction;
    action.sa_flags = SA_SIGINFO;
    CHECK_OK(sigaction(SIGUSR1, &action, nullptr));
    alignas(32) uint64_t before[12], after[12];
    for (int i = 0; i < 12; ++i) before[i] = 0x0123456789abcdef * (i + 1);
    long pid = getpid(), edited, red_zone;
    asm volatile("vmovdqa (%[in]), %%ymm0; vmovdqa 32(%[in]), %%ymm7; vmovdqa 64(%[in]), %%ymm15\n\t"
                 "fninit; fld1\n\t"
                 "movq $41, %%r12\n\t"
                 "movq $0x5a5a5a, -100(%%rsp)\n\t" // in the red zone: leaf code may do that
                 "movl %[kill], %%eax; movq %[pid], %%rdi; movl %[signal], %%esi\n\t"
                 "syscall\n\t"
                 "movq -100(%%rsp), %[red]\n\t"
                 "movq %%r12, %[edited]\n\t"
                 "vmovdqa %%ymm0, (%[out]); vmovdqa %%ymm7, 32(%[out]); vmovdqa %%ymm15, 64(%[out])"
                 : [edited] "=&r"(edited), [red] "=&r"(red_zone)
                 : [in] "r"(before), [out] "r"(after), [kill] "i"(SYS_kill), [pid] "r"(pid), [signal] "i"(SIGUSR1)
                 : "rax", "rdi", "rsi", "rcx", "r11", "r12", "xmm0", "xmm7", "xmm15", "memory", "st");
    double top;
    asm volatile("fstpl %0; fninit" : "=m"(top));
    CHECK_EQ(edited, 42);
    CHECK_EQ(red_zone, 0x5a5a5a);
    CHECK(memcmp(before, after, sizeof before) == 0);
    CHECK_EQ(top, 1.0);
    CHECK(bool(aligned_at_entry));
    CHECK(bool(image_good));
    CHECK(bool(flags_good));
    CHECK_GE(image_size, 576u);
}

enum class Forgery { KernelPc, NonCanonicalPc, Flags, Segments, Mxcsr, Features, Header, ImageAddress, Stack };
static Forgery forgery;

static void forge(int, siginfo_t*, void* context) {
    auto* uc = static_cast<ucontext_t*>(context);
    auto& regs = uc->uc_mcontext.gregs;
    auto* image = reinterpret_cast<unsigned char*>(uc->uc_mcontext.fpregs);
    switch (forgery) {
    case Forgery::KernelPc:
        regs[REG_RIP] = greg_t(0xffffffff80200000);
        break;
    case Forgery::NonCanonicalPc:
        regs[REG_RIP] = greg_t(0x8000000000000000);
        break;
    case Forgery::Flags:
        regs[REG_EFL] = -1 & ~0x100;
        break; // without the trap flag
    case Forgery::Segments:
        regs[REG_CSGSFS] = 0x0010001000100008;
        break;
    case Forgery::Mxcsr:
        memset(image + 24, 0xff, 8);
        break;
    case Forgery::Features:
        memset(image + 512, 0xff, 8);
        break;
    case Forgery::Header:
        memset(image + 520, 0xff, 56);
        break;
    case Forgery::ImageAddress:
        uc->uc_mcontext.fpregs = reinterpret_cast<fpregset_t>(0xffff800000000000);
        break;
    case Forgery::Stack:
        asm volatile("movq $0x10, %rsp; movl $15, %eax; syscall");
    }
}

/// How a child ends that returns through a forged frame: its wait status.
static int run_forgery(Forgery kind) {
    pid_t child = fork();
    if (child == 0) {
        forgery = kind;
        struct sigaction action = {};
        action.sa_sigaction = forge;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGUSR1, &action, nullptr);
        raise(SIGUSR1);
        unsigned long flags;
        asm volatile("pushfq; popq %0" : "=r"(flags));
        // Whatever the frame said, interrupts stay on and no I/O privilege is gained.
        _exit((flags & 0x200) && !(flags & 0x3000) ? 0 : 9);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

static bool died_of_segv(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV; }
static bool survived_or_segv(int status) { return status == 0 || died_of_segv(status); }

int main() {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx")) check::skip("the CPU has no AVX");
    check_registers_survive();
    CHECK(died_of_segv(run_forgery(Forgery::KernelPc)));
    CHECK(died_of_segv(run_forgery(Forgery::NonCanonicalPc)));
    CHECK_EQ(run_forgery(Forgery::Flags) & 0x7f, 0);
    // Linux may let these pass with the bad part ignored, or kill; nothing else.
    for (Forgery kind : {Forgery::Segments, Forgery::Mxcsr, Forgery::Features, Forgery::Header})
        CHECK(survived_or_segv(run_forgery(kind)));
    CHECK(died_of_segv(run_forgery(Forgery::ImageAddress)));
    CHECK(died_of_segv(run_forgery(Forgery::Stack)));
    return check::result();
}
