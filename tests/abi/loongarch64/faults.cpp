// arch: loongarch64
// Exceptions of user code: signal, si_code, si_addr and the frame's word on the kind of access; a handler is
// unwound through. Misaligned atomic operations are left out: QEMU itself dies of them.
#include "check.hpp"

#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

constexpr uint32_t read_fault = 1u << 30, write_fault = 1u << 31;

static sigjmp_buf back;
static int signal_seen;
static siginfo_t info_seen;
static uint64_t pc_seen;
static uint32_t flags_seen, fcsr_seen;

static void on_fault(int signal, siginfo_t* info, void* context) {
    auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
    signal_seen = signal;
    info_seen = *info;
    pc_seen = machine.__pc;
    flags_seen = machine.__flags & (read_fault | write_fault);
    asm volatile("movfcsr2gr %0, $fcsr0" : "=r"(fcsr_seen));
    siglongjmp(back, 1);
}

template <typename F>
static void provoke(F action) {
    signal_seen = 0;
    info_seen = {};
    if (sigsetjmp(back, 1) == 0) action();
}

static void expect(int signal, int code, uint64_t address) {
    CHECK_EQ(signal_seen, signal);
    CHECK_EQ(info_seen.si_code, code);
    CHECK_EQ(uint64_t(info_seen.si_addr), address);
}

static void check_instructions() {
    provoke([] { asm volatile(".word 0"); });
    expect(SIGILL, SI_KERNEL, 0);
    provoke([] { asm volatile("csrrd $t0, 0" ::: "t0"); });
    expect(SIGILL, SI_KERNEL, 0);
    provoke([] { asm volatile("idle 0"); });
    expect(SIGILL, SI_KERNEL, 0);
    provoke([] { asm volatile("break 0"); });
    expect(SIGTRAP, TRAP_BRKPT, pc_seen);
    provoke([] { asm volatile("break 5"); });
    expect(SIGTRAP, TRAP_BRKPT, pc_seen);
    provoke([] { asm volatile("break 6"); });
    expect(SIGFPE, FPE_INTOVF, pc_seen);
    provoke([] { asm volatile("break 7"); });
    expect(SIGFPE, FPE_INTDIV, pc_seen);
}

static void check_bounds() {
    static uint64_t words[2];
    auto low = uint64_t(&words[0]), high = uint64_t(&words[1]);
    provoke([&] { asm volatile("asrtle.d %0, %1" ::"r"(high), "r"(low)); });
    expect(SIGSEGV, SEGV_BNDERR, high);
    provoke([&] { asm volatile("asrtgt.d %0, %1" ::"r"(low), "r"(high)); });
    expect(SIGSEGV, SEGV_BNDERR, low);
    provoke([&] { asm volatile("ldgt.d $t0, %0, %1" ::"r"(low), "r"(high) : "t0"); });
    expect(SIGSEGV, SEGV_BNDERR, low);
    provoke([&] { asm volatile("stle.d $zero, %0, %1" ::"r"(high), "r"(low) : "memory"); });
    expect(SIGSEGV, SEGV_BNDERR, high);
}

static void load(uint64_t address) { (void)*reinterpret_cast<volatile long*>(address); }
static void store(uint64_t address) { *reinterpret_cast<volatile long*>(address) = 1; }
static void jump(uint64_t address) { reinterpret_cast<void (*)()>(address)(); }

static void check_access(uint64_t address, int signal, int code) {
    provoke([&] { load(address); });
    expect(signal, code, address);
    if (signal == SIGSEGV) CHECK_EQ(flags_seen, read_fault);
    provoke([&] { store(address); });
    expect(signal, code, address);
    if (signal == SIGSEGV) CHECK_EQ(flags_seen, write_fault);
    provoke([&] { jump(address); });
    expect(signal, code, address);
    if (signal == SIGSEGV) CHECK_EQ(flags_seen, read_fault);
}

static void check_addresses() {
    // The kernel's windows and what is no address at all; then what has no translation.
    for (uint64_t address : {0x9000000000200000ul, 0x8000000000000000ul, 0x800000000000ul, 0x1000000000000ul})
        check_access(address, SIGBUS, BUS_ADRERR);
    for (uint64_t address : {0xffff800000000000ul, 0xfffffffffffffff8ul, 0x7ffffffffff8ul, 0x8ul})
        check_access(address, SIGSEGV, SEGV_MAPERR);
}

static void check_rights() {
    long size = sysconf(_SC_PAGESIZE);
    auto pages = uint64_t(mmap(nullptr, 5 * size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    auto page = [&](int n) { return pages + n * size; };
    auto protect = [&](int n, int rights) { CHECK_OK(mprotect(reinterpret_cast<void*>(page(n)), size, rights)); };
    protect(1, PROT_NONE);
    protect(2, PROT_EXEC);
    protect(3, PROT_WRITE);
    munmap(reinterpret_cast<void*>(page(4)), size);
    check_access(page(1), SIGSEGV, SEGV_ACCERR);
    check_access(page(4) + 16, SIGSEGV, SEGV_MAPERR);
    for (int n : {0, 2}) {
        provoke([&] { store(page(n) + 8); });
        expect(SIGSEGV, SEGV_ACCERR, page(n) + 8);
        CHECK_EQ(flags_seen, write_fault);
    }
    provoke([&] { load(page(0) + 8); });
    CHECK_EQ(signal_seen, 0);
    provoke([&] { store(page(3)); });
    CHECK_EQ(signal_seen, 0);
    provoke([&] { load(page(3)); });
    CHECK_EQ(signal_seen, 0);
    for (int n : {0, 3}) {
        provoke([&] { jump(page(n)); });
        expect(SIGSEGV, SEGV_ACCERR, page(n));
    }
    provoke([&] { jump(page(2)); });
    expect(SIGILL, SI_KERNEL, 0);
    provoke([&] { load(page(4) - 4); }); // half of it in the page that isn't there
    expect(SIGSEGV, SEGV_MAPERR, page(4));
    provoke([&] { load(page(0) + 1); }); // the CPU does it itself
    CHECK_EQ(signal_seen, 0);
}

static void check_division(uint32_t enables, double dividend, double divisor, int code) {
    asm volatile("movgr2fcsr $fcsr0, %0" ::"r"(enables));
    provoke([&] {
        double quotient;
        asm volatile("fdiv.d %0, %1, %2" : "=f"(quotient) : "f"(dividend), "f"(divisor));
    });
    expect(SIGFPE, code, pc_seen);
    CHECK_EQ(fcsr_seen >> 24 & fcsr_seen & 0x1f, 0u); // or the handler would meet it again
    asm volatile("movgr2fcsr $fcsr0, $zero");
}

static void check_arithmetic() {
    check_division(0x1f, 1, 0, FPE_FLTDIV);
    check_division(0x1f, 0, 0, FPE_FLTINV);
    check_division(0x1f, 1, 3, FPE_FLTRES);
    check_division(0x1f, 1e300, 1e-300, FPE_FLTOVF);
    check_division(0x04, 1e300, 1e-300, FPE_FLTOVF);
    check_division(0x1f, 1e-300, 1e300, FPE_FLTUND);
    uint32_t fcsr;
    asm volatile("movgr2fcsr $fcsr0, $zero");
    provoke([&] {
        asm volatile("fdiv.d $f8, %1, %2\n\tmovfcsr2gr %0, $fcsr0" : "=r"(fcsr) : "f"(1.0), "f"(3.0) : "$f8");
    });
    CHECK_EQ(signal_seen, 0);
    CHECK_EQ(fcsr >> 16 & 0x1f, 1u);
}

static bool found_interrupted_code;
static uint64_t interrupted_pc;

static void unwind(int, siginfo_t*, void* context) {
    interrupted_pc = static_cast<ucontext_t*>(context)->uc_mcontext.__pc;
    auto look = [](_Unwind_Context* frame, void*) {
        if (_Unwind_GetIP(frame) == interrupted_pc) found_interrupted_code = true;
        return _URC_NO_REASON;
    };
    _Unwind_Backtrace(look, nullptr);
    static_cast<ucontext_t*>(context)->uc_mcontext.__pc += 4;
}

static void check_unwinding() {
    struct sigaction action = {};
    action.sa_sigaction = unwind;
    action.sa_flags = SA_SIGINFO;
    CHECK_OK(sigaction(SIGTRAP, &action, nullptr));
    asm volatile("break 0" ::: "memory");
    CHECK(found_interrupted_code);
}

int main() {
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) sigaction(signal, &action, nullptr);
    check_instructions();
    check_bounds();
    check_addresses();
    check_rights();
    check_arithmetic();
    check_unwinding();
    return check::result();
}
