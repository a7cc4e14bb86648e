// arch: riscv64
// Exceptions of user code: signal, si_code and si_addr, and the program counter that the frame has.
#include "check.hpp"

#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

namespace {

sigjmp_buf back;
volatile int signal_seen;
siginfo_t info_seen;
uint64_t pc_seen;

void on_fault(int signal, siginfo_t* info, void* context) {
    signal_seen = signal;
    info_seen = *info;
    pc_seen = static_cast<ucontext_t*>(context)->uc_mcontext.__gregs[REG_PC];
    siglongjmp(back, 1);
}

template <typename F>
void provoke(F action) {
    signal_seen = 0;
    info_seen = {};
    if (sigsetjmp(back, 1) == 0) action();
}

void expect(int signal, int code, const void* address) {
    CHECK_EQ(int(signal_seen), signal);
    CHECK_EQ(info_seen.si_code, code);
    CHECK_EQ(info_seen.si_addr, address);
}

extern "C" char undefined_here[], short_undefined_here[], breakpoint_here[], short_breakpoint_here[], privileged_here[],
    return_here[], wait_here[];

void instructions() {
    provoke([] { asm volatile(".balign 4\nundefined_here: .4byte 0xffffffff"); });
    expect(SIGILL, ILL_ILLOPC, undefined_here);
    CHECK_EQ(pc_seen, uint64_t(undefined_here));
    provoke([] { asm volatile("short_undefined_here: .2byte 0\n.2byte 1"); });
    expect(SIGILL, ILL_ILLOPC, short_undefined_here);
    provoke([] { asm volatile(".option push\n.option norvc\nbreakpoint_here: ebreak\n.option pop"); });
    expect(SIGTRAP, TRAP_BRKPT, breakpoint_here);
    CHECK_EQ(pc_seen, uint64_t(breakpoint_here));
    provoke([] { asm volatile("short_breakpoint_here: c.ebreak"); });
    expect(SIGTRAP, TRAP_BRKPT, short_breakpoint_here);
    provoke([] { asm volatile("privileged_here: csrr t0, sstatus" ::: "t0"); });
    expect(SIGILL, ILL_ILLOPC, privileged_here);
    provoke([] { asm volatile("return_here: sret"); });
    expect(SIGILL, ILL_ILLOPC, return_here);
    provoke([] { asm volatile("wait_here: sfence.vma"); });
    expect(SIGILL, ILL_ILLOPC, wait_here);
}

void memory() {
    const long size = sysconf(_SC_PAGESIZE);
    auto* page = static_cast<char*>(mmap(nullptr, 2 * size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    provoke([&] { *const_cast<volatile char*>(page + 5) = 1; });
    expect(SIGSEGV, SEGV_ACCERR, page + 5);
    CHECK_OK(munmap(page + size, size));
    provoke([&] { (void)*const_cast<volatile char*>(page + size + 1); });
    expect(SIGSEGV, SEGV_MAPERR, page + size + 1);
    provoke([&] { reinterpret_cast<void (*)()>(page)(); });
    expect(SIGSEGV, SEGV_ACCERR, page);
    CHECK_EQ(pc_seen, uint64_t(page));
    provoke([&] { reinterpret_cast<void (*)()>(page + size)(); });
    expect(SIGSEGV, SEGV_MAPERR, page + size);
    // A word over the end of what is mapped: the second page is named.
    provoke([&] { (void)*reinterpret_cast<volatile uint64_t*>(page + size - 4); });
    CHECK_EQ(int(signal_seen), SIGSEGV);
    CHECK_EQ(info_seen.si_code, SEGV_MAPERR);
    // The kernel's half, and what is in no half.
    for (uint64_t place : {0xffffffff80000000ull, 0x8000000000000000ull, 0x0100000000000000ull}) {
        auto* address = reinterpret_cast<char*>(place);
        provoke([&] { (void)*const_cast<volatile char*>(address); });
        expect(SIGSEGV, SEGV_MAPERR, address);
        provoke([&] { *const_cast<volatile char*>(address) = 1; });
        expect(SIGSEGV, SEGV_MAPERR, address);
    }
}

void alignment() {
    alignas(16) char bytes[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    provoke([&] {
        CHECK_EQ(*reinterpret_cast<volatile uint32_t*>(bytes + 1), 0x05040302u);
        *reinterpret_cast<volatile uint64_t*>(bytes + 3) = 0x1122334455667788;
        CHECK_EQ(*reinterpret_cast<volatile uint64_t*>(bytes + 3), 0x1122334455667788u);
    });
    CHECK_EQ(int(signal_seen), 0);
    // Atomic accesses have to be aligned; nobody does them in pieces.
    provoke([&] { asm volatile("lr.w t0, (%0)" ::"r"(bytes + 1) : "t0", "memory"); });
    CHECK_EQ(int(signal_seen), SIGBUS);
    CHECK_EQ(info_seen.si_code, BUS_ADRALN);
    provoke([&] { asm volatile("amoadd.w t0, zero, (%0)" ::"r"(bytes + 2) : "t0", "memory"); });
    CHECK_EQ(int(signal_seen), SIGBUS);
    CHECK_EQ(info_seen.si_code, BUS_ADRALN);
}

} // namespace

int main() {
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE}) CHECK_OK(sigaction(signal, &action, nullptr));
    instructions();
    memory();
    alignment();
    return check::result();
}
