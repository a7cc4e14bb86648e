// Registers of a traced program forged by the thousand (ptrace(2): PTRACE_SETREGSET, and x86_64's PTRACE_SETREGS,
// PTRACE_SETFPREGS and PTRACE_POKEUSER): a genuine set with some of its words damaged, or nothing but random words, of
// the right size or another. Then the program goes on: it computes, reads the kernel's memory or asks for what only a
// kernel may do. It is stopped by a fault or at a breakpoint, or killed; it never has what user code may not have. Each
// set depends on its number only, but for what earlier ones have left in the same program.
#pragma once

#include <atomic>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "nasty_words.hpp"
#include "proc_text.hpp"
#include "tracee.hpp"

// The program: it needs neither a stack nor memory. Behind what must fault is a breakpoint that must not be met.
extern "C" const char fuzz_compute[], fuzz_load[], fuzz_loaded[], fuzz_command[], fuzz_obeyed[];
asm(".pushsection .text\n"
    ".globl fuzz_compute, fuzz_load, fuzz_loaded, fuzz_command, fuzz_obeyed\n"
#if defined(__x86_64__)
    "fuzz_compute: addps %xmm0, %xmm1; fld1; int3; jmp fuzz_compute\n"
    "fuzz_load: movabsq $0xffffffff81000000, %rax; movq (%rax), %rax\n"
    "fuzz_loaded: int3; jmp fuzz_compute\n"
    "fuzz_command: cli\n"
    "fuzz_obeyed: int3; jmp fuzz_compute\n"
#elif defined(__aarch64__)
    "fuzz_compute: fadd v0.4s, v0.4s, v1.4s; brk #0; b fuzz_compute\n"
    "fuzz_load: mov x0, #0xffff800000000000; movk x0, #0x8000, lsl #16; ldr x0, [x0]\n"
    "fuzz_loaded: brk #0; b fuzz_compute\n"
    "fuzz_command: mrs x0, sctlr_el1\n"
    "fuzz_obeyed: brk #0; b fuzz_compute\n"
#elif defined(__riscv)
    "fuzz_compute: fadd.d ft0, ft0, ft1; .option push; .option norvc; ebreak; .option pop; j fuzz_compute\n"
    "fuzz_load: li t0, 0xffffffff80000000; ld t0, 0(t0)\n"
    "fuzz_loaded: .option push; .option norvc; ebreak; .option pop; j fuzz_compute\n"
    "fuzz_command: csrr t0, sstatus\n"
    "fuzz_obeyed: .option push; .option norvc; ebreak; .option pop; j fuzz_compute\n"
#elif defined(__loongarch__)
    "fuzz_compute: fadd.d $f0, $f0, $f1; break 0; b fuzz_compute\n"
    "fuzz_load: li.d $t0, 0x9000000000200000; ld.d $t0, $t0, 0\n"
    "fuzz_loaded: break 0; b fuzz_compute\n"
    "fuzz_command: csrrd $t0, 0\n"
    "fuzz_obeyed: break 0; b fuzz_compute\n"
#endif
    ".popsection\n");

namespace register_fuzz {

using namespace check;
using nasty::nasty_word, nasty::random_word;
using tracee::call, tracee::Registers;

constexpr int workers = 4;
constexpr size_t most_words = 1024; // more than any set has
constexpr int sets_of_a_program = 500;

constexpr unsigned sets[] = {
    NT_PRSTATUS, NT_PRFPREG,
#if defined(__x86_64__)
    0x202,       0x202,      0x200, 0x201, 0x204, // XSAVE (often), TLS, I/O permissions, shadow stack
#elif defined(__aarch64__)
    0x401,       0x402,      0x403, 0x404, 0x405,
    0x405,       0x406,      0x409, 0x40a, // TLS, breakpoints, watchpoints, call, SVE, keys, tags
    0x40b,       0x40c,      0x40d, 0x40e, // SME's
#elif defined(__riscv)
    0x900,       0x901,      0x901, 0x902, // CSRs, vectors (often), tagged addresses
#elif defined(__loongarch__)
    0xa00,       0xa01,      0xa02, 0xa03,
    0xa04,       0xa05,      0xa06, // CPUCFG, CSRs, LSX, LASX, LBT, breakpoints, watchpoints
#endif
    0x7777, // none
};

struct Progress {
    alignas(64) std::atomic<int> taken; // sets that the kernel took
    std::atomic<int> refused, faulted, reached, astray, privileged;
};
inline Progress* mine;
alignas(64) inline uint64_t words[most_words];

struct Program {
    pid_t pid = -1;
    int sets = 0;
    Registers registers; // of its first stop
};

/// A child without rights, descriptors and children, which does what the tracer sets its registers to.
inline pid_t start_program(int number) {
    const pid_t child = fork();
    if (child != 0) return child;
    for (const auto limit : {RLIMIT_NPROC, RLIMIT_FSIZE, RLIMIT_CORE, RLIMIT_NOFILE}) {
        const rlimit none = {limit == RLIMIT_NPROC, limit == RLIMIT_NPROC};
        setrlimit(limit, &none);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (setgid(60000) != 0 || setuid(uid_t(60000 + number)) != 0) _exit(2);
    if (call(PTRACE_TRACEME, 0) != 0) _exit(3);
    syscall(SYS_close_range, 0u, ~0u, 0u);
    raise(SIGSTOP);
    _exit(4);
}

/// The next status; a program that has been running for long is killed. A signal comes every now and then.
inline int next_status(pid_t pid) {
    int status = 0;
    for (int ticks = 0; waitpid(pid, &status, __WALL) != pid; ++ticks) {
        if (errno != EINTR) return -1;
        if (ticks < 3) continue;
        if (ticks == 3) mine->astray++;
        kill(pid, SIGKILL);
    }
    return status;
}

inline void renew(Program& program, int number) {
    if (program.pid > 0) {
        kill(program.pid, SIGKILL);
        for (int status = 0x7f; WIFSTOPPED(status);) status = next_status(program.pid);
    }
    program.pid = start_program(number);
    REQUIRE(program.pid > 0);
    CHECK_EQ(next_status(program.pid), tracee::stopped(SIGSTOP));
    program.registers = tracee::registers_of(program.pid);
    program.sets = 0;
#if defined(__x86_64__)
    program.registers.orig_rax = ~0ul; // no call is under way
#endif
}

/// What user code has must look like user code's.
inline bool is_privileged(pid_t pid) {
    Registers now = {};
    iovec io = {&now, sizeof now};
    if (call(PTRACE_GETREGSET, pid, NT_PRSTATUS, &io) != 0 || io.iov_len != sizeof now) return false; // 32-bit code's
#if defined(__x86_64__)
    constexpr uint64_t io_level = 0x3000, virtual_8086 = 0x20000;
    return !(now.eflags & 0x200) || (now.eflags & (io_level | virtual_8086)) || (now.cs & 3) != 3 || (now.ss & 3) != 3;
#elif defined(__aarch64__)
    constexpr uint64_t mode = 0x1f, interrupts_off = 0x3c0;
    return now.pstate & (mode | interrupts_off);
#else
    return false; // the set shows no status
#endif
}

inline void make_words(pid_t pid, unsigned set, size_t& size) {
    iovec io = {words, sizeof words};
    size = random_word() % 256 * 8;
    if (random_word() % 16 == 0 || call(PTRACE_GETREGSET, pid, set, &io) != 0) {
        for (uint64_t& word : words) word = random_word() % 4 ? random_word() : nasty_word(0);
        if (set == NT_PRSTATUS) size = sizeof(Registers);
    } else {
        size = io.iov_len;
        const size_t count = size / 8 + (size < 8);
        for (int i = 1 + int(random_word() % 8); i > 0; --i) {
            // Half of them among the first, where heads and control words are; x86's state has those at 24 and 512.
            uint64_t& word = words[random_word() % 4 == 0 && count > 72 ? 64 + random_word() % 8
                                   : random_word() % 2                  ? random_word() % count
                                                                        : random_word() % (count < 8 ? count : 8)];
            word = nasty_word(word);
        }
    }
    if (random_word() % 8 == 0) size = random_word() % 3 ? random_word() % sizeof words : size + random_word() % 16 - 8;
    if (size > sizeof words) size = sizeof words;
}

inline uint64_t chosen_place() {
    switch (random_word() % 8) {
    case 0:
    case 1:
        return uint64_t(fuzz_load);
    case 2:
    case 3:
        return uint64_t(fuzz_command);
    case 4:
        return machine::kernel_address + random_word() % 4096;
    case 5:
        return random_word() % 2 ? machine::strange_address : nasty_word(0);
    default:
        return uint64_t(fuzz_compute);
    }
}

inline bool set_general(pid_t pid, Registers& registers) {
#if defined(__x86_64__)
    if (random_word() % 2) return call(PTRACE_SETREGS, pid, 0, &registers) == 0;
#endif
    iovec io = {&registers, sizeof registers};
    return call(PTRACE_SETREGSET, pid, NT_PRSTATUS, &io) == 0;
}

/// Whether the kernel took it.
inline bool set_some(Program& program) {
#if defined(__x86_64__)
    if (random_word() % 8 == 0) {
        const unsigned long offset = random_word() % 8 ? random_word() % 120 * 8 : nasty_word(0);
        return call(PTRACE_POKEUSER, program.pid, offset, nasty_word(random_word() % 2 ? 0x202 : 0)) == 0;
    }
    if (random_word() % 8 == 0) {
        for (size_t i = 0; i < sizeof(user_fpregs_struct) / 8; ++i) words[i] = random_word();
        return call(PTRACE_SETFPREGS, program.pid, 0, words) == 0;
    }
#endif
    const unsigned set = sets[random_word() % (sizeof sets / sizeof *sets)];
    size_t size;
    make_words(program.pid, set, size);
    iovec io = {words, size};
#if !defined(__loongarch__) // whose Linux faults in the kernel, and ends the tracer
    if (random_word() % 64 == 0) io.iov_base = (void*)nasty_word(0);
#endif
    if (random_word() % 128 == 0) io.iov_len = nasty_word(0);
    return call(PTRACE_SETREGSET, program.pid, set, &io) == 0;
}

/// General registers that lead to one of the program's places, and are random otherwise.
inline bool set_astray(Program& program) {
    Registers registers = program.registers;
    auto* all = reinterpret_cast<uint64_t*>(&registers);
    constexpr size_t count = sizeof registers / sizeof *all;
    if (random_word() % 2)
        for (size_t i = 0; i < count; ++i) all[i] = nasty_word(all[i]);
    for (int i = int(random_word() % 4); i > 0; --i) {
        uint64_t& word = all[random_word() % count];
        word = nasty_word(word);
    }
    tracee::pc(registers) = chosen_place();
    return set_general(program.pid, registers);
}

inline bool is_at(uint64_t pc, const char* place) { return pc == uint64_t(place) || pc == uint64_t(place) + 1; }

/// It goes on until it stops again; false: it is no more.
inline bool go_on(Program& program) {
    const uint64_t how = random_word() % 8;
    if (how != 0 || call(PTRACE_SINGLESTEP, program.pid) != 0)
        call(how == 1 ? PTRACE_SYSCALL : PTRACE_CONT, program.pid);
    const int status = next_status(program.pid);
    if (!WIFSTOPPED(status)) {
        program.pid = -1;
        mine->faulted++;
        return false;
    }
    Registers now = {};
    iovec io = {&now, sizeof now};
    if (call(PTRACE_GETREGSET, program.pid, NT_PRSTATUS, &io) != 0) return false;
    const uint64_t pc = tracee::pc(now);
    const bool is_whole = io.iov_len == sizeof now;
    if (is_privileged(program.pid) || (is_whole && (is_at(pc, fuzz_loaded) || is_at(pc, fuzz_obeyed)))) {
        if (mine->privileged++ < 10) printf("privileged at %#lx\n", (unsigned long)pc);
    }
    (WSTOPSIG(status) == SIGTRAP ? mine->reached : mine->faulted)++;
    return true;
}

inline void take_sets(int number, int first, int end) {
    Program program;
    for (int i = first; i < end; ++i) {
        nasty::seed(uint64_t(i));
        if (program.pid < 0 || program.sets++ == sets_of_a_program) renew(program, number);
        const bool taken = set_some(program);
        (taken ? mine->taken : mine->refused)++;
        if (is_privileged(program.pid)) mine->privileged++;
        // What was set may be where it goes; mostly it is led to where something can be seen.
        if (!taken || random_word() % 4) set_astray(program);
        if (is_privileged(program.pid)) mine->privileged++;
        if (!go_on(program)) continue;
        Registers safe = program.registers;
        tracee::pc(safe) = uint64_t(fuzz_compute);
        if (!set_general(program.pid, safe)) program.sets = sets_of_a_program;
    }
    if (program.pid > 0) kill(program.pid, SIGKILL);
    while (waitpid(-1, nullptr, __WALL) > 0 || errno == EINTR) {
    }
}

inline void tick(int) {}

inline int run(int count) {
#if defined(__loongarch__)
    if (!proc_text::is_linnet()) skip("Linux 7.2 executes a control word of FP that is not allowed, and oopses");
#endif
    auto* progress = static_cast<Progress*>(
        mmap(nullptr, sizeof(Progress) * workers, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    REQUIRE(progress != MAP_FAILED);
    pid_t children[workers];
    for (int i = 0; i < workers; i++) {
        fflush(stdout);
        children[i] = fork();
        if (children[i] != 0) continue;
        mine = &progress[i];
        handle(SIGALRM, tick);
        constexpr itimerval often = {{0, 100'000}, {0, 100'000}};
        setitimer(ITIMER_REAL, &often, nullptr);
        take_sets(i, i * (count / workers), (i + 1) * (count / workers));
        fflush(stdout);
        _exit(result());
    }
    int taken = 0, refused = 0, faulted = 0, reached = 0, astray = 0;
    for (int i = 0; i < workers; i++) {
        int status;
        CHECK_EQ(waitpid(children[i], &status, 0), children[i]);
        CHECK_EQ(status, 0);
        CHECK_EQ(progress[i].privileged.load(), 0);
        taken += progress[i].taken, refused += progress[i].refused, astray += progress[i].astray;
        faulted += progress[i].faulted, reached += progress[i].reached;
    }
    CHECK_EQ(taken + refused, count / workers * workers);
    for (int some : {taken, refused, faulted, reached}) CHECK_GT(some, count / 50); // or it would prove nothing
    printf("%d sets: %d taken; %d faults, %d traps, %d killed\n", count, taken, faulted, reached, astray);
    return result();
}

} // namespace register_fuzz
