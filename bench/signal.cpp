// What signals cost, in instructions under -icount, else in nanoseconds. Prints a line "bench NAME VALUE" for each.
// Nothing here idles: a process sends to itself.
//
// null: a call that does (nearly) nothing. install: rt_sigaction. mask: blocked and let in again, two calls. kill: sent
// to the process, its handler and the return from it; tgkill: the same to the thread; altstack: the same on the
// alternate stack. segv-mprotect: a write to a page without rights, a handler that gives them (and takes those of the
// page before), the write again. segv-jump: a read of no memory, left by siglongjmp, its saved mask put back. signalfd:
// sent while blocked and read. uprobe: a function with a probe on its first instruction, counted; uretprobe: with one
// on its return. Without the PMU there are no such lines. rt-queue: sixty-four real-time signals queued with values,
// then all handled, each.
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

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

void through_probe(const char* name, int type, bool is_return) {
    static char path[4096];
    perf_event_attr attributes = {};
    attributes.type = uint32_t(type);
    attributes.size = sizeof attributes;
    attributes.config = is_return;
    attributes.config2 = offset_of(reinterpret_cast<const void*>(probed), path);
    attributes.config1 = reinterpret_cast<uint64_t>(path);
    const int event = int(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
    must(event >= 0, name);
    uint64_t calls = 0, counted = 0;
    measure(name, 1000, [&](int count) {
        calls += uint64_t(count);
        for (int i = 0; i < count; i++) probed(i);
    });
    must(read(event, &counted, sizeof counted) == sizeof counted && counted == calls, name);
    close(event);
}

void through_probes() {
    FILE* file = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
    if (!file) return;
    int type = -1;
    must(fscanf(file, "%d", &type) == 1, "type");
    fclose(file);
    through_probe("uprobe", type, false);
    through_probe("uretprobe", type, true);
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
}
