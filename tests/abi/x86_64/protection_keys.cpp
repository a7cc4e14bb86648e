// arch: x86_64
// The protection-key register is a thread's own: another thread's or process's copies to and from user memory don't see
// it, and a thread that shuts itself out harms nobody else (pkeys(7)).
#include <cstdint>
#include <sched.h>
#include <sys/syscall.h>

#include "affinity.hpp"
#include "asleep.hpp"

using namespace check;

namespace {

uint32_t read_keys() {
    uint32_t value, zero;
    asm volatile("rdpkru" : "=a"(value), "=d"(zero) : "c"(0));
    return value;
}
void write_keys(uint32_t value) { asm volatile("wrpkru" ::"a"(value), "c"(0), "d"(0) : "memory"); }

bool has_keys() {
    uint32_t a = 7, b, c = 0, d;
    asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return c >> 4 & 1; // OSPKE
}

/// A child that denies itself all its memory, spinning in registers, while its parent uses calls that copy.
void shut_out() {
    stay_on(0);
    const pid_t child = fork();
    if (child == 0) {
        asm volatile("wrpkru; 1: movl $24, %%eax; syscall; xorl %%ecx, %%ecx; jmp 1b" // sched_yield for ever
                     ::"a"(-1),
                     "c"(0), "d"(0));
        __builtin_unreachable();
    }
    for (int i = 0; i < 2000; ++i) {
        timespec time;
        CHECK_OK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &time));
        sched_yield();
        CHECK_OK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &time));
    }
    kill(child, SIGKILL);
    CHECK_EQ(waitpid(child, nullptr, 0), child);
}

/// It survives switches and calls, is inherited by a child, and starts anew with exec.
void kept() {
    const uint32_t before = read_keys();
    CHECK_EQ(before, 0x55555554u);
    write_keys(0x55555550);
    for (int i = 0; i < 100; ++i) sched_yield();
    nap();
    CHECK_EQ(read_keys(), 0x55555550u);
    const int status = in_child([] { CHECK_EQ(read_keys(), 0x55555550u); });
    CHECK_EQ(status, 0);
    write_keys(before);
}

volatile uint32_t inside;

/// A handler has the initial rights; what it interrupted gets its own back.
void in_handlers() {
    handle(SIGUSR1, [](int) { inside = read_keys(); });
    write_keys(0x55555550);
    raise(SIGUSR1);
    CHECK_EQ(uint32_t(inside), 0x55555554u);
    CHECK_EQ(read_keys(), 0x55555550u);
    write_keys(0x55555554);
}

} // namespace

int main() {
    if (!has_keys()) skip("the CPU has no protection keys");
    kept();
    in_handlers();
    shut_out();
    return result();
}
