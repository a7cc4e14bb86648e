// arch: riscv64
// What the machine's harts can do (riscv_hwprobe(2)), and code that is written while it runs (riscv_flush_icache(2)).
#include "check.hpp"
#include "proc_text.hpp"

#include <asm/hwprobe.h>
#include <atomic>
#include <cstdint>
#include <ctime>
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

// Newer than some headers are.
constexpr int64_t highest_address = 7, time_frequency = 8;
constexpr unsigned which_cpus = 1;
constexpr unsigned long local = 1; // SYS_RISCV_FLUSH_ICACHE_LOCAL

long probe(riscv_hwprobe* pairs, size_t count, size_t size = 0, void* cpus = nullptr, unsigned flags = 0) {
    return syscall(SYS_riscv_hwprobe, pairs, count, size, cpus, flags);
}

uint64_t value_of(int64_t key) {
    riscv_hwprobe pair = {key, 0x5555};
    CHECK_OK(probe(&pair, 1));
    CHECK_EQ(int64_t(pair.key), key);
    return pair.value;
}

uint64_t ticks() {
    uint64_t now;
    asm volatile("rdtime %0" : "=r"(now));
    return now;
}

uint64_t nanoseconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

void values() {
    const auto letter = [](char which) { return (getauxval(AT_HWCAP) >> (which - 'a') & 1) != 0; };
    CHECK_EQ(value_of(RISCV_HWPROBE_KEY_BASE_BEHAVIOR), uint64_t(RISCV_HWPROBE_BASE_BEHAVIOR_IMA));
    const uint64_t extensions = value_of(RISCV_HWPROBE_KEY_IMA_EXT_0);
    CHECK_EQ((extensions & RISCV_HWPROBE_IMA_FD) != 0, letter('f') && letter('d'));
    CHECK_EQ((extensions & RISCV_HWPROBE_IMA_C) != 0, letter('c'));
    const char* cpus = proc_text::read_file("/proc/cpuinfo");
    const auto listed = [&](const char* name) {
        const char* line = strstr(cpus, name);
        return line ? strtoull(strchr(line, ':') + 1, nullptr, 16) : ~0ull;
    };
    CHECK_EQ(value_of(RISCV_HWPROBE_KEY_MVENDORID), uint64_t(listed("mvendorid")));
    CHECK_EQ(value_of(RISCV_HWPROBE_KEY_MARCHID), uint64_t(listed("marchid")));
    CHECK_EQ(value_of(RISCV_HWPROBE_KEY_MIMPID), uint64_t(listed("mimpid")));
    CHECK(value_of(RISCV_HWPROBE_KEY_CPUPERF_0) <= 4);
    const uint64_t top = value_of(highest_address);
    CHECK(top > uint64_t(&top));
    const uint64_t frequency = value_of(time_frequency);
    const uint64_t tick_then = ticks(), then = nanoseconds();
    while (nanoseconds() - then < 200'000'000) sched_yield();
    const double seen = double(ticks() - tick_then) * 1e9 / double(nanoseconds() - then);
    CHECK(seen > 0.9 * double(frequency) && seen < 1.1 * double(frequency));
}

void arguments() {
    riscv_hwprobe pairs[3] = {{RISCV_HWPROBE_KEY_BASE_BEHAVIOR, 0}, {100'000, 7}, {-3, 7}};
    CHECK_OK(probe(pairs, 3));
    CHECK_EQ(pairs[0].value, uint64_t(RISCV_HWPROBE_BASE_BEHAVIOR_IMA));
    for (int unknown : {1, 2}) {
        CHECK_EQ(int64_t(pairs[unknown].key), -1);
        CHECK_EQ(pairs[unknown].value, 0u);
    }
    CHECK_OK(probe(nullptr, 0));
    CHECK_ERRNO(probe(nullptr, 1), EFAULT);
    CHECK_ERRNO(probe(pairs, 1, 0, nullptr, 2), EINVAL);
    CHECK_ERRNO(probe(pairs, 1, 0, nullptr, which_cpus), EINVAL);
    unsigned long cpus = 1;
    CHECK_OK(probe(pairs, 1, sizeof cpus, &cpus));
    cpus = 0;
    CHECK_ERRNO(probe(pairs, 1, sizeof cpus, &cpus), EINVAL);
    cpus = 1ul << 63;
    CHECK_ERRNO(probe(pairs, 1, sizeof cpus, &cpus), EINVAL);
    CHECK_ERRNO(probe(pairs, 1, sizeof cpus, nullptr), EFAULT);
    CHECK_ERRNO(probe(pairs, 1, sizeof cpus, reinterpret_cast<void*>(8)), EFAULT);
}

/// Which harts have all of what is asked for.
void asked_the_other_way_round() {
    cpu_set_t online;
    CHECK_EQ(sched_getaffinity(0, sizeof online, &online), 0);
    riscv_hwprobe pair = {RISCV_HWPROBE_KEY_IMA_EXT_0, RISCV_HWPROBE_IMA_C};
    cpu_set_t cpus;
    CPU_ZERO(&cpus); // all
    CHECK_OK(probe(&pair, 1, sizeof cpus, &cpus, which_cpus));
    CHECK(CPU_EQUAL(&cpus, &online));
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    CHECK_OK(probe(&pair, 1, sizeof cpus, &cpus, which_cpus));
    CHECK_EQ(CPU_COUNT(&cpus), 1);
    pair = {RISCV_HWPROBE_KEY_IMA_EXT_0, 1ull << 62};
    CHECK_OK(probe(&pair, 1, sizeof cpus, &cpus, which_cpus));
    CHECK_EQ(CPU_COUNT(&cpus), 0);
    pair = {RISCV_HWPROBE_KEY_MVENDORID, 0x1234567};
    CHECK_OK(probe(&pair, 1, sizeof cpus, &cpus, which_cpus));
    CHECK_EQ(CPU_COUNT(&cpus), 0);
    pair = {100'000, 0};
    CHECK_OK(probe(&pair, 1, sizeof cpus, &cpus, which_cpus));
    CHECK_EQ(CPU_COUNT(&cpus), 0);
    CHECK_EQ(int64_t(pair.key), -1);
    CHECK_ERRNO(probe(&pair, 1, 0, &cpus, which_cpus), EINVAL);
    CHECK_ERRNO(probe(&pair, 1, sizeof cpus, nullptr, which_cpus), EINVAL);
}

// li a0, number; ret
void write_function(uint32_t* place, uint32_t number) {
    place[0] = number << 20 | 10 << 7 | 0x13;
    place[1] = 0x00008067;
}

/// Another thread runs what this one writes anew each time: it never sees an old version once it has been told.
void code_written_while_it_runs() {
    static uint32_t* code;
    static std::atomic<uint32_t> version, answer;
    code = static_cast<uint32_t*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    pthread_t runner;
    const auto run = [](void*) -> void* {
        for (uint32_t had = 0; had < 2000;) {
            const uint32_t now = version.load(std::memory_order_acquire);
            if (now == had) continue;
            had = now;
            answer.store(reinterpret_cast<uint32_t (*)()>(code)(), std::memory_order_release);
        }
        return nullptr;
    };
    CHECK_EQ(pthread_create(&runner, nullptr, run, nullptr), 0);
    for (uint32_t i = 1; i <= 2000; i++) {
        write_function(code, i);
        CHECK_OK(syscall(SYS_riscv_flush_icache, code, code + 2, i % 2 ? 0 : local));
        version.store(i, std::memory_order_release);
        while (answer.load(std::memory_order_acquire) != i) {
        }
    }
    pthread_join(runner, nullptr);
    CHECK_ERRNO(syscall(SYS_riscv_flush_icache, code, code + 2, 2), EINVAL);
    CHECK_ERRNO(syscall(SYS_riscv_flush_icache, code, code + 2, ~0ul), EINVAL);
    CHECK_OK(syscall(SYS_riscv_flush_icache, nullptr, nullptr, 0)); // the range says nothing
}

} // namespace

int main() {
    values();
    arguments();
    asked_the_other_way_round();
    code_written_while_it_runs();
    return check::result();
}
