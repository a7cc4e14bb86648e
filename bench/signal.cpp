// What signals cost, in instructions under -icount, else in nanoseconds. Prints a line "bench NAME VALUE" for each.
// Nothing here idles: a process sends to itself.
//
// null: a call that does (nearly) nothing. install: rt_sigaction. mask: blocked and let in again, two calls. kill: sent
// to the process, its handler and the return from it; tgkill: the same to the thread; altstack: the same on the
// alternate stack. segv-mprotect: a write to a page without rights, a handler that gives them (and takes those of the
// page before), the write again. segv-jump: a read of no memory, left by siglongjmp, its saved mask put back. signalfd:
// sent while blocked and read. uprobe: a function with a probe on its first instruction, counted; uretprobe: with one
// on its return. kprobe: getpgid(2) with a probe on the first instruction of the kernel's function that takes one,
// counted, less the call alone; kretprobe: with one on its return. Without the PMU, or where no probe is taken, there
// are no such lines. rt-queue: sixty-four real-time signals queued with values, then all handled, each. ptrace-call: a
// child is let run to its next stop at a system call (PTRACE_SYSCALL) and waited for; ptrace-info: the same, and asked
// for the call and a word of its memory, as strace does. strace: Debian's strace of a cp of two hundred small files,
// where it is installed.
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <string>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "measure.hpp"

using namespace measuring;

namespace {

constexpr size_t set_size = 8; // of the kernel's signal sets
volatile int handled;

void count_one(int) { handled = handled + 1; }

void handle(int signal, void (*handler)(int), int flags = 0) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    must(sigaction(signal, &action, nullptr) == 0, "sigaction");
}

sigset_t only(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    return set;
}

void null_call(int count) {
    for (int i = 0; i < count; i++) syscall(SYS_getppid);
}

void install(int count) {
    struct sigaction action = {};
    action.sa_handler = count_one;
    for (int i = 0; i < count; i++) sigaction(SIGUSR2, &action, nullptr);
}

void mask_pair(int count) {
    const sigset_t set = only(SIGUSR2);
    for (int i = 0; i < count; i++) {
        syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, nullptr, set_size);
        syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, nullptr, set_size);
    }
}

/// Every one that `send` sends must have been handled.
void handled_each(const char* name, auto send) {
    handled = 0;
    int sent = 0;
    measure(name, 1000, [&](int count) {
        sent += count;
        for (int i = 0; i < count; i++) send();
    });
    must(handled == sent, name);
}

void sent_to_itself() {
    const pid_t process = getpid(), thread = gettid();
    handle(SIGUSR1, count_one);
    handled_each("kill", [process] { kill(process, SIGUSR1); });
    handled_each("tgkill", [=] { syscall(SYS_tgkill, process, thread, SIGUSR1); });
    static char memory[65536];
    stack_t stack = {};
    stack.ss_sp = memory;
    stack.ss_size = sizeof memory;
    must(sigaltstack(&stack, nullptr) == 0, "sigaltstack");
    handle(SIGUSR1, count_one, SA_ONSTACK);
    handled_each("altstack", [=] { syscall(SYS_tgkill, process, thread, SIGUSR1); });
    stack.ss_flags = SS_DISABLE;
    must(sigaltstack(&stack, nullptr) == 0, "sigaltstack");
}

size_t page;
char* pages[2];
volatile int closed; // the one without rights

void open_page(int, siginfo_t* info, void*) {
    must(info->si_addr == pages[closed], "si_addr");
    mprotect(pages[closed], page, PROT_READ | PROT_WRITE);
    closed = 1 - closed;
    mprotect(pages[closed], page, PROT_NONE);
    handled = handled + 1;
}

/// Two faults a time would need a page each; so the handler closes one page as it opens the other.
void repaired_by_mprotect() {
    for (char*& one : pages) {
        one = static_cast<char*>(mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) +
              page;
        *one = 1;
    }
    must(mprotect(pages[0], page, PROT_NONE) == 0, "mprotect");
    struct sigaction action = {};
    action.sa_sigaction = open_page;
    action.sa_flags = SA_SIGINFO;
    must(sigaction(SIGSEGV, &action, nullptr) == 0, "sigaction");
    handled_each("segv-mprotect", [] { *static_cast<volatile char*>(pages[closed]) = 2; });
}

sigjmp_buf back;

void jump_back(int) {
    handled = handled + 1;
    siglongjmp(back, 1);
}

void left_by_jump() {
    handle(SIGSEGV, jump_back);
    void* nowhere = mmap(nullptr, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(nowhere != MAP_FAILED, "mmap");
    handled_each("segv-jump", [nowhere] {
        if (sigsetjmp(back, 1) == 0) (void)*static_cast<volatile char*>(nowhere);
    });
    handle(SIGSEGV, SIG_DFL);
}

void through_signalfd() {
    const sigset_t set = only(SIGUSR2);
    must(sigprocmask(SIG_BLOCK, &set, nullptr) == 0, "sigprocmask");
    const int fd = signalfd(-1, &set, 0);
    must(fd >= 0, "signalfd");
    const pid_t process = getpid();
    measure("signalfd", 1000, [=](int count) {
        for (int i = 0; i < count; i++) {
            signalfd_siginfo info;
            kill(process, SIGUSR2);
            must(read(fd, &info, sizeof info) == sizeof info, "read");
        }
    });
    close(fd);
    sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

void queue_of_64() {
    constexpr int length = 64;
    const int signal = SIGRTMIN + 3;
    const sigset_t set = only(signal);
    const pid_t process = getpid();
    handle(signal, count_one);
    handled = 0;
    const double all = least(20, [&](int times) {
        for (int i = 0; i < times; i++) {
            sigprocmask(SIG_BLOCK, &set, nullptr);
            for (int number = 0; number < length; number++) {
                sigval value;
                value.sival_int = number;
                must(sigqueue(process, signal, value) == 0, "sigqueue");
            }
            sigprocmask(SIG_UNBLOCK, &set, nullptr);
        }
    });
    must(handled == rounds * 20 * length, "the queue");
    report("rt-queue", all / length);
}

// ---- probes ----

/// The file offset of code of this program, which is at `address`.
unsigned long offset_of(const void* address, char* path) {
    FILE* maps = fopen("/proc/self/maps", "r");
    char line[4300];
    unsigned long begin, end, offset, found = 0;
    const auto wanted = reinterpret_cast<unsigned long>(address);
    while (maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %4095s", &begin, &end, &offset, path) == 4 && wanted >= begin &&
            wanted < end) {
            found = wanted - begin + offset;
            break;
        }
    must(found != 0, "maps");
    fclose(maps);
    return found;
}

[[gnu::noinline, gnu::used]] int probed(int value) {
    asm volatile("" : "+r"(value));
    return value + 1;
}

/// The PMU's number; -1 where there is none.
int type_of(const char* pmu) {
    FILE* file = fopen((std::string("/sys/bus/event_source/devices/") + pmu + "/type").c_str(), "r");
    int type = -1;
    if (file) {
        must(fscanf(file, "%d", &type) == 1, "type");
        fclose(file);
    }
    return type;
}

/// An event of this thread that counts a probe; -1 where the kernel can't put one there.
int open_probe(int type, bool is_return, uint64_t place, uint64_t offset) {
    perf_event_attr attributes = {};
    attributes.type = uint32_t(type);
    attributes.size = sizeof attributes;
    attributes.config = is_return;
    attributes.config1 = place;
    attributes.config2 = offset;
    return int(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

/// What `call` costs (a number of times) while what it comes to is probed by `event`; each must have been counted.
double with_probe(const char* name, int event, auto call) {
    must(event >= 0, name);
    uint64_t calls = 0, counted = 0;
    const double cost = least(1000, [&](int count) {
        calls += uint64_t(count);
        call(count);
    });
    must(read(event, &counted, sizeof counted) == sizeof counted && counted == calls, name);
    close(event);
    return cost;
}

void through_probes() {
    const int type = type_of("uprobe");
    if (type < 0) return;
    static char path[4096];
    const uint64_t offset = offset_of(reinterpret_cast<const void*>(probed), path);
    const auto call = [](int count) {
        for (int i = 0; i < count; i++) probed(i);
    };
    for (bool is_return : {false, true}) {
        const char* name = is_return ? "uretprobe" : "uprobe";
        const int event = open_probe(type, is_return, reinterpret_cast<uint64_t>(path), offset);
        report(name, with_probe(name, event, call));
    }
}

/// The address of the kernel's function for getpgid(2), of one kernel or another.
uint64_t kernel_function() {
    FILE* file = fopen("/proc/kallsyms", "r");
    char line[1024], name[900];
    unsigned long address;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%lx %*c %899s", &address, name) == 2)
            for (const char* wanted : {"linnet::syscalls::sys_getpgid", "__x64_sys_getpgid", "__arm64_sys_getpgid",
                                       "__riscv_sys_getpgid", "__se_sys_getpgid", "sys_getpgid"})
                if (strcmp(name, wanted) == 0) {
                    fclose(file);
                    return address;
                }
    must(false, "kallsyms");
    return 0;
}

constexpr uint64_t most_of_tracer = 32; // bytes at the beginning of a function

void through_kernel_probes() {
    const int type = type_of("kprobe");
    if (type < 0) return;
    const auto call = [](int count) {
        for (int i = 0; i < count; i++) syscall(SYS_getpgid, 0);
    };
    const double alone = least(1000, call);
    for (bool is_return : {false, true}) {
        const char* name = is_return ? "kretprobe" : "kprobe";
        const uint64_t function = kernel_function();
        int event = -1;
        // Linux on RISC-V takes no probe where its function tracer has its instructions.
        for (uint64_t behind = 0; event < 0 && behind <= most_of_tracer; behind += 4)
            event = open_probe(type, is_return, 0, function + behind);
        if (event >= 0) report(name, with_probe(name, event, call) - alone);
    }
}

// ---- tracing ----

/// What `<linux/ptrace.h>` calls ptrace_syscall_info; it cannot be included beside `<sys/ptrace.h>`.
constexpr int get_syscall_info = 0x420e;
constexpr size_t syscall_info_size = 88;

void to_next_call(pid_t child) {
    int status = 0;
    must(ptrace(PTRACE_SYSCALL, child, 0, 0) == 0, "PTRACE_SYSCALL");
    must(waitpid(child, &status, __WALL) == child && WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80),
         "a stop at a call");
}

void stops_at_calls() {
    static volatile long word = 7;
    const pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        for (;;) syscall(SYS_getppid);
    }
    int status = 0;
    must(waitpid(child, &status, __WALL) == child && WIFSTOPPED(status), "the first stop");
    must(ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0, "PTRACE_SETOPTIONS");
    measure("ptrace-call", 500, [child](int count) {
        for (int i = 0; i < count; i++) to_next_call(child);
    });
    measure("ptrace-info", 500, [child](int count) {
        char info[syscall_info_size];
        long copy = 0;
        iovec here{&copy, sizeof copy}, there{const_cast<long*>(&word), sizeof word};
        for (int i = 0; i < count; i++) {
            to_next_call(child);
            must(syscall(SYS_ptrace, get_syscall_info, child, sizeof info, info) > 0, "PTRACE_GET_SYSCALL_INFO");
            must(process_vm_readv(child, &here, 1, &there, 1, 0) == sizeof copy && copy == 7, "process_vm_readv");
        }
    });
    kill(child, SIGKILL);
    must(waitpid(child, &status, 0) == child, "waitpid");
}

void strace_of_files() {
    const char* strace = "/usr/bin/strace";
    if (access(strace, X_OK) != 0) return;
    const std::string folder = "/tmp/bench-strace/";
    std::vector<std::string> words = {strace, "-o", "/tmp/bench-strace.log", "/bin/cp"};
    mkdir(folder.c_str(), 0700), mkdir((folder + "to").c_str(), 0700);
    for (int i = 0; i < 200; i++) {
        const std::string name = folder + std::to_string(i);
        const int fd = open(name.c_str(), O_CREAT | O_WRONLY, 0600);
        must(fd >= 0 && write(fd, name.data(), name.size()) == ssize_t(name.size()), "a file");
        close(fd);
        words.push_back(name);
    }
    words.push_back(folder + "to");
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    double best = 1e18;
    for (int round = 0; round < 3; round++) {
        const uint64_t start = counter::now();
        const pid_t child = vfork();
        if (child == 0) {
            execv(strace, arguments.data());
            _exit(127);
        }
        int status = 0;
        must(waitpid(child, &status, 0) == child && status == 0, "strace");
        best = std::min(best, counter::units(counter::now() - start));
    }
    report("strace", best);
}

} // namespace

int main() {
    page = size_t(sysconf(_SC_PAGESIZE));
    measure("null", 2000, null_call);
    measure("install", 1000, install);
    measure("mask", 1000, mask_pair);
    sent_to_itself();
    repaired_by_mprotect();
    left_by_jump();
    through_signalfd();
    queue_of_64();
    through_probes();
    through_kernel_probes();
    stops_at_calls();
    strace_of_files();
}
