// arch: aarch64
// Exceptions of user code: signal, si_code, si_addr and the frame's records; emulated reads of ID registers; registers
// that survive a handler; frames forged by a hostile program, which must end in a signal to the program and nothing
// else.
#include "check.hpp"

#include <asm/hwcap.h>
#include <asm/sigcontext.h>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int signal_seen;
static siginfo_t info_seen;
static uint64_t fault_address, syndrome;
static volatile bool has_fpsimd;

static void read_records(const mcontext_t& context) {
    has_fpsimd = false;
    syndrome = 0;
    auto* at = reinterpret_cast<const unsigned char*>(context.__reserved);
    for (;;) {
        _aarch64_ctx head;
        memcpy(&head, at, sizeof head);
        if (head.magic == 0) return;
        if (head.magic == FPSIMD_MAGIC) has_fpsimd = head.size == sizeof(fpsimd_context);
        if (head.magic == ESR_MAGIC) memcpy(&syndrome, at + sizeof head, sizeof syndrome);
        at += head.size;
    }
}

static void on_fault(int signal, siginfo_t* info, void* context) {
    auto* uc = static_cast<ucontext_t*>(context);
    signal_seen = signal;
    info_seen = *info;
    fault_address = uc->uc_mcontext.fault_address;
    read_records(uc->uc_mcontext);
    siglongjmp(back, 1);
}

template <typename F>
static void provoke(F action) {
    signal_seen = 0;
    if (sigsetjmp(back, 1) == 0) action();
}

static void expect(int signal, int code, const void* address) {
    CHECK_EQ(int(signal_seen), signal);
    CHECK_EQ(info_seen.si_code, code);
    CHECK_EQ(info_seen.si_addr, address);
}

extern "C" char undefined_here[], breakpoint_here[], privileged_here[];

static void check_instructions() {
    provoke([] { asm volatile("undefined_here: .inst 0"); });
    expect(SIGILL, ILL_ILLOPC, undefined_here);
    provoke([] { asm volatile("breakpoint_here: brk #1"); });
    expect(SIGTRAP, TRAP_BRKPT, breakpoint_here);
    provoke([] { asm volatile("privileged_here: mrs x0, sctlr_el1" ::: "x0"); });
    expect(SIGILL, ILL_ILLOPC, privileged_here);
    alignas(16) char word[16] = {};
    provoke([&] { asm volatile("ldaxr x0, [%0]" ::"r"(word + 1) : "x0", "memory"); });
    expect(SIGBUS, BUS_ADRALN, word + 1);
    provoke([&] { asm volatile("br %0" ::"r"(uintptr_t(undefined_here) + 2)); });
    CHECK_EQ(int(signal_seen), SIGBUS);
    CHECK_EQ(info_seen.si_code, BUS_ADRALN);
}

static void check_memory() {
    constexpr uint64_t write_not_read = 1 << 6;
    long size = sysconf(_SC_PAGESIZE);
    auto* page = static_cast<char*>(mmap(nullptr, size * 2, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    provoke([&] { *const_cast<volatile char*>(page + 5) = 1; });
    expect(SIGSEGV, SEGV_ACCERR, page + 5);
    CHECK_EQ(fault_address, uint64_t(page + 5));
    CHECK(syndrome >> 26 == 0x24 && (syndrome & write_not_read));
    CHECK(bool(has_fpsimd));
    munmap(page + size, size);
    provoke([&] { (void)*const_cast<volatile char*>(page + size + 1); });
    expect(SIGSEGV, SEGV_MAPERR, page + size + 1);
    provoke([&] { reinterpret_cast<void (*)()>(page)(); });
    expect(SIGSEGV, SEGV_ACCERR, page);
    auto* kernel = reinterpret_cast<volatile char*>(0xffffffff80000000);
    provoke([&] { (void)*kernel; });
    expect(SIGSEGV, SEGV_MAPERR, const_cast<char*>(kernel));
    // The top byte of an address is not looked at.
    auto* tagged = reinterpret_cast<volatile char*>(uint64_t(page) | 0xabull << 56);
    provoke([&] { (void)*tagged; });
    CHECK_EQ(int(signal_seen), 0);
    // Cleaning the cache needs the right to read only.
    provoke([&] { asm volatile("dc cvau, %0" ::"r"(page) : "memory"); });
    CHECK_EQ(int(signal_seen), 0);
}

static void check_identification() {
    uint64_t features, main_id, counter, cache;
    asm volatile("mrs %0, id_aa64isar0_el1" : "=r"(features));
    asm volatile("mrs %0, midr_el1" : "=r"(main_id));
    asm volatile("mrs %0, cntvct_el0" : "=r"(counter));
    asm volatile("mrs %0, ctr_el0" : "=r"(cache));
    CHECK_EQ((features >> 4 & 15) != 0, (getauxval(AT_HWCAP) & HWCAP_AES) != 0);
    CHECK_EQ((features >> 20 & 15) >= 2, (getauxval(AT_HWCAP) & HWCAP_ATOMICS) != 0);
    CHECK(main_id != 0);
    CHECK(counter != 0);
    CHECK(cache != 0);
    CHECK(getauxval(AT_HWCAP) & HWCAP_CPUID);
}

static void edit_and_clobber(int, siginfo_t*, void* context) {
    auto* uc = static_cast<ucontext_t*>(context);
    asm volatile("movi v0.16b, #255; movi v15.16b, #255; movi v31.16b, #255" ::: "v0", "v15", "v31");
    uc->uc_mcontext.regs[20] += 1;
}

static void check_registers_survive() {
    struct sigaction action = {};
    action.sa_sigaction = edit_and_clobber;
    action.sa_flags = SA_SIGINFO;
    CHECK_OK(sigaction(SIGUSR1, &action, nullptr));
    uint64_t low, middle, high, edited;
    asm volatile("movi v0.16b, #0x11; movi v15.16b, #0x22; movi v31.16b, #0x33\n\t"
                 "mov x20, #41\n\t"
                 "mov x8, %[kill]; mov x0, %[pid]; mov x1, %[signal]\n\t"
                 "svc #0\n\t"
                 "mov %[edited], x20\n\t"
                 "umov %[low], v0.d[1]; umov %[middle], v15.d[1]; umov %[high], v31.d[0]"
                 : [low] "=&r"(low), [middle] "=&r"(middle), [high] "=&r"(high), [edited] "=&r"(edited)
                 : [kill] "i"(SYS_kill), [pid] "r"(long(getpid())), [signal] "i"(SIGUSR1)
                 : "x0", "x1", "x8", "x20", "v0", "v15", "v31", "memory");
    CHECK_EQ(edited, 42u);
    CHECK_EQ(low, 0x1111111111111111u);
    CHECK_EQ(middle, 0x2222222222222222u);
    CHECK_EQ(high, 0x3333333333333333u);
}

enum class Forgery { KernelPc, KernelMode, Masks, Record, RecordSize, NoRecord, Stack };
static Forgery forgery;

static void forge(int, siginfo_t*, void* context) {
    auto& regs = static_cast<ucontext_t*>(context)->uc_mcontext;
    auto* head = reinterpret_cast<_aarch64_ctx*>(regs.__reserved);
    switch (forgery) {
    case Forgery::KernelPc:
        regs.pc = 0xffffffff80000000;
        break;
    case Forgery::KernelMode:
        regs.pstate |= 5;
        break;
    case Forgery::Masks:
        regs.pstate |= 0x3c0;
        break;
    case Forgery::Record:
        head->magic = 0x12345678;
        break;
    case Forgery::RecordSize:
        head->size = 0xfffffff0;
        break;
    case Forgery::NoRecord:
        head->magic = head->size = 0;
        break;
    case Forgery::Stack:
        asm volatile("mov sp, %0; mov x8, #139; svc #0" ::"r"(uint64_t{16}));
    }
}

/// How a child ends that returns through a forged frame: its wait status.
static int run_forgery(Forgery kind) {
    pid_t child = fork();
    if (child == 0) {
        forgery = kind;
        signal(SIGSEGV, SIG_DFL);
        struct sigaction action = {};
        action.sa_sigaction = forge;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGUSR1, &action, nullptr);
        raise(SIGUSR1);
        _exit(9);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

int main() {
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) sigaction(signal, &action, nullptr);
    check_instructions();
    check_memory();
    check_identification();
    check_registers_survive();
    for (Forgery kind : {Forgery::KernelPc, Forgery::KernelMode, Forgery::Masks, Forgery::Record, Forgery::RecordSize,
                         Forgery::NoRecord, Forgery::Stack}) {
        int status = run_forgery(kind);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
    return check::result();
}
