// arch: riscv64
// The vDSO's riscv_hwprobe says what the call says, without a call, and leaves to the call what it does not know to do.
#include "check.hpp"
#include "tracee.hpp"
#include "vdso_function.hpp"

#include <cstdint>
#include <sched.h>

namespace {

struct Pair { // asm/hwprobe.h: struct riscv_hwprobe
    int64_t key;
    uint64_t value;
};
using Probe = int(Pair*, size_t, size_t, unsigned long*, unsigned);
constexpr long nr_riscv_hwprobe = 258;
constexpr unsigned which_cpus = 1;
Probe* probe;

void same_answers() {
    Pair by_call[24], by_function[24];
    for (int i = 0; i < 24; ++i) by_call[i] = by_function[i] = {i - 2, 0x5555};
    CHECK_EQ(syscall(nr_riscv_hwprobe, by_call, 24, 0, nullptr, 0), 0);
    CHECK_EQ(probe(by_function, 24, 0, nullptr, 0), 0);
    for (int i = 0; i < 24; ++i) {
        CHECK_EQ(by_function[i].key, by_call[i].key);
        CHECK_EQ(by_function[i].value, by_call[i].value);
    }
    CHECK_EQ(by_function[0].key, -1);
    CHECK_EQ(probe(nullptr, 0, 0, nullptr, 0), 0);
}

void what_the_call_does() {
    Pair pair = {4, 1 << 1}; // the extensions, C among them
    cpu_set_t online, cpus;
    CHECK_EQ(sched_getaffinity(0, sizeof online, &online), 0);
    CPU_ZERO(&cpus);
    CHECK_EQ(probe(&pair, 1, sizeof cpus, (unsigned long*)&cpus, which_cpus), 0);
    CHECK(CPU_EQUAL(&cpus, &online));
    CHECK_EQ(probe(&pair, 1, 0, nullptr, 2), -EINVAL);
    CHECK_EQ(probe(&pair, 1, 0, nullptr, which_cpus), -EINVAL);
}

/// Of two probes a tracer sees the second one's call only.
void no_call() {
    const pid_t child = tracee::start([] {
        Pair pair = {3, 0};
        syscall(SYS_getppid); // the mark that this is where the tracer is
        const int simple = probe(&pair, 1, 0, nullptr, 0);
        const int odd = probe(&pair, 1, 0, nullptr, 2);
        return simple == 0 && odd == -EINVAL ? 0 : 1;
    });
    CHECK_EQ(tracee::call(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD), 0);
    const auto next_call = [&] { // entry and exit
        tracee::resume(child, 0, PTRACE_SYSCALL);
        CHECK_EQ(tracee::wait_status(child), tracee::stopped(SIGTRAP | 0x80));
        const long number = long(tracee::registers_of(child).a7);
        tracee::resume(child, 0, PTRACE_SYSCALL);
        CHECK_EQ(tracee::wait_status(child), tracee::stopped(SIGTRAP | 0x80));
        return number;
    };
    long number;
    int looked = 0;
    // What follows the stop of the start may be the rest of raise(3).
    while ((number = next_call()) != SYS_getppid) REQUIRE(++looked < 8);
    CHECK_EQ(next_call(), nr_riscv_hwprobe);
    tracee::finish(child);
}

} // namespace

int main() {
    probe = reinterpret_cast<Probe*>(check::vdso_function("riscv_hwprobe"));
    REQUIRE(probe != nullptr);
    same_answers();
    what_the_call_does();
    no_call();
    return check::result();
}
