// Probes among other things that happen to a program: files mapped later, other programs, faults and signals at probed
// instructions, tracers, and programs that mean harm. needs-linux: 5.13
#include <setjmp.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "memory.hpp"
#include "proc_text.hpp"
#include "uprobe.hpp"

using namespace check;

extern "C" {
unsigned long load_word(const unsigned long* from);
unsigned long first_step(unsigned long), second_step();
long plus_one(long);
void never_executed();
}

// plus_one can run anywhere, and what is never executed hardly. load_word's first instruction is the load.
#if defined(__x86_64__)
asm(R"(
    .text
    .globl load_word, first_step, second_step, plus_one, never_executed
load_word:
    mov (%rdi), %rax
    ret
first_step:
    add $1, %rdi
second_step:
    mov %rdi, %rax
    ret
plus_one:
    lea 1(%rdi), %rax
    ret
    .balign 4
never_executed:
    .fill 64, 4, 0x8a3b17c5
    .fill 64, 4, 0x0100f38b
)");
#elif defined(__aarch64__)
asm(R"(
    .text
    .globl load_word, first_step, second_step, plus_one, never_executed
    .balign 4
load_word:
    ldr x0, [x0]
    ret
first_step:
    add x0, x0, #1
second_step:
    ret
plus_one:
    add x0, x0, #1
    ret
    .balign 4
never_executed:
    .fill 64, 4, 0x8a3b17c5
    .fill 64, 4, 0x0100f38b
)");
#elif defined(__riscv)
asm(R"(
    .text
    .globl load_word, first_step, second_step, plus_one, never_executed
    .balign 4
load_word:
    ld a0, 0(a0)
    ret
first_step:
    addi a0, a0, 1
second_step:
    ret
plus_one:
    addi a0, a0, 1
    ret
    .balign 4
never_executed:
    .fill 64, 4, 0x8a3b17c5
    .fill 64, 4, 0x0100f38b
)");
#elif defined(__loongarch64)
asm(R"(
    .text
    .globl load_word, first_step, second_step, plus_one, never_executed
    .balign 4
load_word:
    ld.d $a0, $a0, 0
    ret
first_step:
    addi.d $a0, $a0, 1
second_step:
    ret
plus_one:
    addi.d $a0, $a0, 1
    ret
    .balign 4
never_executed:
    .fill 64, 4, 0x8a3b17c5
    .fill 64, 4, 0x0100f38b
)");
#endif

namespace {

int type;

uint64_t pc_of(void* context) {
    auto* registers = &static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    return uint64_t(registers->gregs[REG_RIP]);
#elif defined(__aarch64__)
    return registers->pc;
#elif defined(__riscv)
    return registers->__gregs[0];
#else
    return registers->__pc;
#endif
}

// ---- mappings that come later, and other programs ----

void mapped_later() {
    int fd = uprobe::count(type, (void*)plus_one);
    uprobe::Place place = uprobe::place_of((void*)plus_one);
    int file = open(place.path, O_RDONLY);
    const uint64_t begin = place.offset / memory::page * memory::page;
    for (int flags : {MAP_PRIVATE, MAP_SHARED}) {
        char* text =
            static_cast<char*>(mmap(nullptr, 2 * memory::page, PROT_READ | PROT_EXEC, flags, file, off_t(begin)));
        CHECK(text != MAP_FAILED);
        auto* there = reinterpret_cast<long (*)(long)>(text + (place.offset - begin));
        for (long i = 0; i < 3; ++i) CHECK_EQ(there(i), i + 1);
        munmap(text, 2 * memory::page);
        CHECK_EQ(uprobe::value(fd), 3ul); // shared mappings have none
    }
    close(file);
    close(fd);
}

void executed_later(const char* self) {
    int go[2], status = 1;
    CHECK_EQ(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(go[1]);
        if (read(go[0], &byte, 1) != 0) _exit(1);
        execl(self, self, "call", nullptr);
        _exit(2);
    }
    close(go[0]);
    int fd = uprobe::count(type, (void*)plus_one, child);
    close(go[1]);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(uprobe::value(fd), 5ul);
    close(fd);
}

// ---- faults and signals ----

char* forbidden;
std::atomic<int> faults{0};
std::atomic<uint64_t> fault_pc{0}, fault_address{0};
sigjmp_buf out;
bool leaves;

void on_fault(int, siginfo_t* info, void* context) {
    ++faults;
    fault_pc = pc_of(context);
    fault_address = uint64_t(info->si_addr);
    if (leaves) siglongjmp(out, 1);
    mprotect(forbidden, memory::page, PROT_READ | PROT_WRITE);
}

void faults_under_probe() {
    struct sigaction action = {}, old;
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &old);
    forbidden = memory::map(memory::page);
    *reinterpret_cast<unsigned long*>(forbidden) = 42;
    int fd = uprobe::count(type, (void*)load_word);
    for (int i = 0; i < 10; ++i) {
        CHECK_EQ(mprotect(forbidden, memory::page, PROT_NONE), 0);
        CHECK_EQ(load_word(reinterpret_cast<unsigned long*>(forbidden)), 42ul);
        CHECK_EQ(fault_pc.load(), uint64_t((void*)load_word));
        CHECK_EQ(fault_address.load(), uint64_t(forbidden));
    }
    CHECK_EQ(faults.load(), 10);
    CHECK_EQ(uprobe::value(fd), 20ul); // each was executed twice
    leaves = true;
    for (int i = 0; i < 10; ++i) {
        CHECK_EQ(mprotect(forbidden, memory::page, PROT_NONE), 0);
        if (sigsetjmp(out, 1) == 0) {
            load_word(reinterpret_cast<unsigned long*>(forbidden));
            CHECK(!"it did not fault");
        }
    }
    CHECK_EQ(faults.load(), 20);
    close(fd);
    sigaction(SIGSEGV, &old, nullptr);
}

[[gnu::noinline, gnu::used]] long outer(long n) {
    asm volatile("" : "+r"(n));
    if (n == 1) raise(SIGUSR1);
    asm volatile("" : "+r"(n));
    return n + 5;
}

void call_from_handler(int) {
    for (long i = 2; i < 12; ++i) CHECK_EQ(outer(i), i + 5);
}

// A handler on another stack calls what is being followed below it.
void returns_on_alternate_stack() {
    stack_t stack = {}, none = {};
    stack.ss_size = 64 * 1024;
    stack.ss_sp = memory::map(stack.ss_size);
    CHECK_EQ(sigaltstack(&stack, nullptr), 0);
    struct sigaction action = {};
    action.sa_handler = call_from_handler;
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR1, &action, nullptr);
    int fd = uprobe::count(type, (void*)outer, 0, true);
    CHECK_EQ(outer(1), 6);
    CHECK_EQ(uprobe::value(fd), 11ul);
    close(fd);
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
}

// A program that ends in the middle of such a function, when the probe is there no more.
[[gnu::noinline, gnu::used]] void end_inside(int event) {
    asm volatile("");
    close(event);
    _exit(3);
}

void ends_before_it_returns() {
    for (int i = 0; i < 20; ++i) {
        pid_t child = fork();
        if (child == 0) {
            end_inside(uprobe::count(type, (void*)end_inside, 0, true));
            asm volatile("");
        }
        int status = 0;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    }
}

// ---- tracers ----

// The tracee has stopped for a reason that the probe has nothing to do with, and goes on over a probe.
void under_a_tracer() {
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        long sum = 0;
        for (long i = 0; i < 10; ++i) sum += plus_one(i);
        _exit(sum == 55 ? 0 : 1);
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    int fd = uprobe::count(type, (void*)plus_one, child);
    CHECK_EQ(ptrace(PTRACE_CONT, child, 0, 0), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0); // no stop for the probe
    CHECK_EQ(uprobe::value(fd), 10ul);
    close(fd);
}

#if defined(__x86_64__) || defined(__aarch64__)
uint64_t program_counter(pid_t child) {
    unsigned long words[64];
    iovec set = {words, sizeof words};
    CHECK_EQ(ptrace(PTRACE_GETREGSET, child, 1 /* NT_PRSTATUS */, &set), 0);
#if defined(__x86_64__)
    return words[16];
#else
    return words[32];
#endif
}

void single_steps() {
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        _exit(int(first_step(6)));
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    int fd = uprobe::count(type, (void*)first_step, child);
    uint64_t before = 0;
    bool passed = false;
    for (int i = 0; i < 20000 && !passed; ++i) {
        before = program_counter(child);
        CHECK_EQ(ptrace(PTRACE_SINGLESTEP, child, 0, 0), 0);
        if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) break;
        CHECK_EQ(WSTOPSIG(status), SIGTRAP);
        if (before != uint64_t((void*)first_step)) continue;
        CHECK_EQ(program_counter(child), uint64_t((void*)second_step));
        passed = true;
    }
    CHECK(passed);
    CHECK_EQ(ptrace(PTRACE_CONT, child, 0, 0), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    CHECK_EQ(uprobe::value(fd), 1ul);
    close(fd);
}
#else
void single_steps() {} // tracers have their own breakpoints there
#endif

#ifdef __aarch64__
bool may_step() { return proc_text::is_linnet(); } // the stepped program dies on Linux 6.1
#else
bool may_step() { return true; }
#endif

// A breakpoint of the program's own is its own.
void own_breakpoint() {
    pid_t child = fork();
    if (child == 0) {
        int fd = uprobe::count(type, (void*)plus_one);
        plus_one(1);
        __builtin_debugtrap();
        close(fd);
        _exit(0);
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTRAP);
}

// ---- harm ----

void slots_unmapped() {
    static unsigned long word = 1; // no kernel emulates a load
    pid_t child = fork();
    if (child == 0) {
        int fd = uprobe::count(type, (void*)load_word), leave = uprobe::count(type, (void*)outer, 0, true);
        load_word(&word);
        FILE* maps = fopen("/proc/self/maps", "r");
        char line[500];
        unsigned long begin = 0, end = 0, found = 0;
        while (maps && fgets(line, sizeof line, maps))
            if (strstr(line, "[uprobes]") && sscanf(line, "%lx-%lx", &begin, &end) == 2) ++found;
        if (found != 1) _exit(3);
        munmap(reinterpret_cast<void*>(begin), end - begin);
        load_word(&word);
        outer(2);
        close(fd);
        close(leave);
        _exit(4);
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 3);
}

void senseless_attributes() {
    uprobe::Place place = uprobe::place_of((void*)never_executed);
    uint64_t seed = 88172645463325252u;
    auto random = [&] { return seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17; };
    // With one open all the time, Linux doesn't patch its own code each time.
    int one = uprobe::count(type, (void*)plus_one);
    for (int i = 0; i < 300; ++i) {
        perf_event_attr asked = uprobe::attributes(type, place.path, place.offset + random() % 512);
        if (random() % 4 == 0) asked.config2 = (uint64_t(1) << 32) + (random() >> random() % 32);
        if (random() % 4 == 0) asked.config = random() >> (random() % 64);
        if (random() % 4 == 0) asked.config1 = random() >> (random() % 64);
        if (random() % 8 == 0) asked.sample_period = random() >> (random() % 64);
        if (random() % 8 == 0) asked.sample_type = random() >> (random() % 64);
        int fd = perf::open_event(&asked);
        if (fd >= 0) close(fd);
    }
    CHECK_EQ(plus_one(1), 2);
    CHECK_EQ(uprobe::value(one), 1ul);
    close(one);
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1) {
        long sum = 0;
        for (long i = 0; i < 5; ++i) sum += plus_one(i);
        return sum == 15 ? 0 : 1;
    }
    type = uprobe::needed_pmu("uprobe");
    mapped_later();
    executed_later(arguments[0]);
    faults_under_probe();
    returns_on_alternate_stack();
    ends_before_it_returns();
    under_a_tracer();
    if (may_step()) single_steps();
    own_breakpoint();
    slots_unmapped();
    senseless_attributes();
    return result();
}
