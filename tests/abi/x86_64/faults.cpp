// arch: x86_64
// Exceptions of user code: signal, si_code, si_addr, and what the frame says of them (trap number, error code, cr2).
#include "check.hpp"

#include <cpuid.h>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <fenv.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int signal_seen;
static siginfo_t info_seen;
static greg_t trap_number, error_code, fault_address;

static void on_fault(int signal, siginfo_t* info, void* context) {
    auto* uc = static_cast<ucontext_t*>(context);
    signal_seen = signal;
    info_seen = *info;
    trap_number = uc->uc_mcontext.gregs[REG_TRAPNO];
    error_code = uc->uc_mcontext.gregs[REG_ERR];
    fault_address = uc->uc_mcontext.gregs[REG_CR2];
    siglongjmp(back, 1);
}

template <typename F>
static void provoke(F action) {
    signal_seen = 0;
    if (sigsetjmp(back, 1) == 0) action();
}

static void expect(int signal, int code, const void* address, int trap) {
    CHECK_EQ(int(signal_seen), signal);
    CHECK_EQ(info_seen.si_code, code);
    CHECK_EQ(info_seen.si_addr, address);
    CHECK_EQ(trap_number, trap);
}

extern "C" char divide_here[], undefined_here[];

static bool emulated_by_tcg() {
    unsigned eax, signature[3];
    __cpuid(0x40000000, eax, signature[0], signature[1], signature[2]);
    return memcmp(signature, "TCGTCGTCGTCG", 12) == 0;
}

int main() {
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) sigaction(signal, &action, nullptr);

    provoke([] { asm volatile("divide_here: divl %0" ::"r"(0), "a"(1), "d"(0)); });
    expect(SIGFPE, FPE_INTDIV, divide_here, 0);
    provoke([] { asm volatile("undefined_here: ud2"); });
    expect(SIGILL, ILL_ILLOPN, undefined_here, 6);
    provoke([] { asm volatile("int3"); });
    expect(SIGTRAP, SI_KERNEL, nullptr, 3);
    provoke([] { asm volatile("hlt"); });
    expect(SIGSEGV, SI_KERNEL, nullptr, 13);
    provoke([] { asm volatile("cli"); });
    expect(SIGSEGV, SI_KERNEL, nullptr, 13);
    provoke([] { asm volatile("movb (%0), %%al" ::"r"(0x8000000000000000) : "rax"); });
    expect(SIGSEGV, SI_KERNEL, nullptr, 13);
    provoke([] { asm volatile("pushfq; orq $0x100, (%rsp); popfq; nop"); });
    CHECK_EQ(int(signal_seen), SIGTRAP);
    CHECK_EQ(info_seen.si_code, TRAP_TRACE);

    auto* page = static_cast<char*>(mmap(nullptr, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    provoke([&] { *const_cast<volatile char*>(page + 5) = 1; });
    expect(SIGSEGV, SEGV_ACCERR, page + 5, 14);
    CHECK_EQ(error_code & 6, 6);
    CHECK_EQ(fault_address, greg_t(page + 5));
    munmap(page + 4096, 4096);
    provoke([&] { (void)*const_cast<volatile char*>(page + 4097); });
    expect(SIGSEGV, SEGV_MAPERR, page + 4097, 14);
    CHECK_EQ(error_code, 4);
    provoke([&] { reinterpret_cast<void (*)()>(page)(); });
    expect(SIGSEGV, SEGV_ACCERR, page, 14);
    CHECK_EQ(error_code & 16, 16);
    auto* kernel = reinterpret_cast<volatile char*>(0xffffffff80200000);
    provoke([&] { (void)*kernel; });
    expect(SIGSEGV, SEGV_MAPERR, const_cast<char*>(kernel), 14);

    // QEMU's TCG (7.2) never raises the SIMD exception.
    if (!emulated_by_tcg()) {
        provoke([] {
            feenableexcept(FE_DIVBYZERO);
            volatile double zero = 0, result = 1 / zero;
            (void)result;
        });
        CHECK_EQ(int(signal_seen), SIGFPE);
        CHECK_EQ(info_seen.si_code, FPE_FLTDIV);
        fedisableexcept(FE_ALL_EXCEPT);
    }
    provoke([] {
        unsigned short control = 0x37b; // division by zero not masked
        asm volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"(control));
    });
    CHECK_EQ(int(signal_seen), SIGFPE);
    CHECK_EQ(info_seen.si_code, FPE_FLTDIV);
    CHECK_EQ(trap_number, 16);
    asm volatile("fninit");
    return check::result();
}
