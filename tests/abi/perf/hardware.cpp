// perf_event_open(2): what the processor counts, for threads and CPUs: switched, grouped, inherited, across programs
// and processors, more events than counters; and what there is on processors without counters. needs-linux: 6.1
#include <atomic>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "affinity.hpp"
#include "child.hpp"
#include "perf_hardware.hpp"

using namespace check;
using namespace perf;

namespace {

int open_as(perf_event_attr attributes, int cpu = -1, int group = -1) {
    return open_event(&attributes, cpu >= 0 ? -1 : 0, cpu, group);
}

/// Opens and closes: 0 or the error.
int error_of(const perf_event_attr& attributes) {
    const int fd = open_as(attributes);
    if (fd < 0) return errno;
    close(fd);
    return 0;
}

// ---- what there is ----

void without_counters() {
    for (uint64_t config = 0; config < 12; ++config) CHECK_EQ(error_of(hardware(config)), ENOENT);
    CHECK_EQ(error_of(hardware(0x10002, PERF_TYPE_HW_CACHE)), ENOENT);
    CHECK_EQ(error_of(hardware(0xff, PERF_TYPE_HW_CACHE)), ENOENT);
    CHECK_EQ(error_of(hardware(0x11, PERF_TYPE_RAW)), ENOENT);
}

void events() {
    CHECK_EQ(error_of(hardware(PERF_COUNT_HW_CPU_CYCLES)), 0);
    CHECK_EQ(error_of(hardware(PERF_COUNT_HW_REF_CPU_CYCLES)), ENOENT);
    CHECK_EQ(error_of(hardware(PERF_COUNT_HW_REF_CPU_CYCLES + 1)), EINVAL);
    CHECK_EQ(error_of(hardware(0xffff'ffff)), EINVAL);
    // What cache, what is done to it, how that ends.
    CHECK_EQ(error_of(hardware(PERF_COUNT_HW_CACHE_NODE, PERF_TYPE_HW_CACHE)), ENOENT);
    CHECK_EQ(error_of(hardware(PERF_COUNT_HW_CACHE_MAX, PERF_TYPE_HW_CACHE)), EINVAL);
    CHECK_EQ(error_of(hardware(PERF_COUNT_HW_CACHE_OP_MAX << 8, PERF_TYPE_HW_CACHE)), EINVAL);
    CHECK_EQ(error_of(hardware(PERF_COUNT_HW_CACHE_RESULT_MAX << 16, PERF_TYPE_HW_CACHE)), EINVAL);
    // Above an event's number stands whose it is.
    CHECK_EQ(error_of(hardware(uint64_t(PERF_TYPE_SOFTWARE) << 32)), ENOENT);
    CHECK_EQ(error_of(hardware(uint64_t(PERF_TYPE_RAW) << 32)), 0);
    // Raw numbers that mean nothing count nothing.
    for (uint64_t config : {uint64_t(0xffff), uint64_t(0x8000'0000'0000)}) {
        perf_event_attr attributes = hardware(config, PERF_TYPE_RAW);
        const int fd = opened(open_as(attributes));
        work(1);
        CHECK_EQ(reading(fd).value, 0u);
        close(fd);
    }
}

void modes() {
    perf_event_attr user = hardware(PERF_COUNT_HW_CPU_CYCLES), kernel = user, neither = user, idle = user;
    user.exclude_kernel = kernel.exclude_user = idle.exclude_idle = 1;
    neither.exclude_kernel = neither.exclude_user = 1;
    if (!has_interrupts) {
        for (const perf_event_attr& each : {user, kernel, neither, idle}) CHECK_EQ(error_of(each), EINVAL);
        return;
    }
    CHECK_EQ(error_of(idle), EOPNOTSUPP);
    const int in_user = opened(open_as(user)), in_kernel = opened(open_as(kernel)), nowhere = opened(open_as(neither));
    work(20);
    const uint64_t there = reading(in_kernel).value;
    CHECK_GT(there, 0u);
    CHECK_GT(reading(in_user).value, there);
    CHECK_EQ(reading(nowhere).value, 0u);
    for (int fd : {in_user, in_kernel, nowhere}) close(fd);
}

/// What programs find in /sys.
uint64_t number_in(const char* path) {
    char text[64] = {};
    FILE* const file = fopen(path, "r");
    CHECK(file);
    if (!file) return 0;
    CHECK(fgets(text, sizeof text, file));
    fclose(file);
    const char* const equals = strchr(text, '=');
    return strtoull(equals ? equals + 1 : text, nullptr, 0);
}

void unit() {
#if defined(__aarch64__)
    constexpr char type[] = "/sys/bus/event_source/devices/armv8_pmuv3/type";
    const uint64_t config = number_in("/sys/bus/event_source/devices/armv8_pmuv3/events/cpu_cycles");
    uint64_t identity;
    asm("mrs %0, midr_el1" : "=r"(identity));
    CHECK_EQ(number_in("/sys/devices/system/cpu/cpu1/regs/identification/midr_el1"), identity);
#else
    constexpr char type[] = "/sys/bus/event_source/devices/cpu/type";
    const uint64_t config = uint64_t(2) << 62 | 5; // how often the firmware has set a timer
#endif
    CHECK_EQ(error_of(hardware(config, uint32_t(number_in(type)))), 0);
}

// ---- counting ----

void switching() {
    perf_event_attr attributes = hardware(PERF_COUNT_HW_CPU_CYCLES);
    attributes.disabled = 1;
    const int fd = opened(open_as(attributes));
    work();
    CHECK_EQ(reading(fd).value, 0u);
    CHECK_EQ(reading(fd).enabled, 0u);
    CHECK_OK(ioctl(fd, PERF_EVENT_IOC_ENABLE, 0));
    work();
    const Reading first = reading(fd);
    CHECK_GT(first.value, least_cycles);
    CHECK_GE(first.enabled, 4'000'000u);
    CHECK_EQ(first.enabled, first.running); // there are enough counters for one
    work();
    const Reading second = reading(fd);
    CHECK_GT(second.value, first.value + least_cycles);
    CHECK_OK(ioctl(fd, PERF_EVENT_IOC_DISABLE, 0));
    const Reading stopped = reading(fd);
    CHECK_GE(stopped.value, second.value);
    work();
    CHECK_EQ(reading(fd).value, stopped.value);
    CHECK_EQ(reading(fd).enabled, stopped.enabled);
    CHECK_OK(ioctl(fd, PERF_EVENT_IOC_RESET, 0));
    CHECK_EQ(reading(fd).value, 0u);
    CHECK_EQ(reading(fd).enabled, stopped.enabled);
    close(fd);
}

/// One that sleeps uses no cycles.
void asleep() {
    const int fd = cycles();
    work();
    const Reading before = reading(fd);
    usleep(30'000);
    const Reading after = reading(fd);
    CHECK_LT(after.enabled - before.enabled, 25'000'000u);
    close(fd);
}

void page() {
    const int fd = cycles();
    Ring ring(fd, 0);
    // Linux lets programs read the counters of RISC-V themselves; where that is not offered, no counter is named.
    if (has_interrupts) CHECK_EQ(ring.control->cap_user_rdpmc, 0u);
    if (!ring.control->cap_user_rdpmc) CHECK_EQ(ring.control->index, 0u);
    close(fd);
}

/// Programs do not read the counters themselves unless they are allowed to.
void instructions() {
#if defined(__riscv)
    uint64_t now;
    CHECK(died_of(in_child([&] { asm volatile("rdcycle %0" : "=r"(now)); }), SIGILL));
    CHECK(died_of(in_child([&] { asm volatile("rdinstret %0" : "=r"(now)); }), SIGILL));
    asm volatile("rdtime %0" : "=r"(now));
#elif defined(__aarch64__)
    uint64_t now;
    CHECK(died_of(in_child([&] { asm volatile("mrs %0, pmccntr_el0" : "=r"(now)); }), SIGILL));
#endif
}

// ---- groups ----

void groups() {
    perf_event_attr clock = software(PERF_COUNT_SW_TASK_CLOCK), counted = hardware(PERF_COUNT_HW_CPU_CYCLES);
    clock.read_format = counted.read_format | PERF_FORMAT_GROUP;
    clock.disabled = 1;
    const int leader = opened(open_as(clock)), member = opened(open_as(counted, -1, leader));
    work();
    CHECK_EQ(reading(member).value, 0u); // its leader is off
    CHECK_OK(ioctl(leader, PERF_EVENT_IOC_ENABLE, 0));
    work();
    CHECK_OK(ioctl(leader, PERF_EVENT_IOC_DISABLE, 0));
    struct {
        uint64_t count, enabled, running, clock, cycles;
    } all = {};
    CHECK_EQ(read(leader, &all, sizeof all), ssize_t(sizeof all));
    CHECK_EQ(all.count, 2u);
    CHECK_EQ(all.enabled, all.running);
    CHECK_GE(all.clock, 4'000'000u);
    CHECK_GT(all.cycles, least_cycles);
    CHECK_EQ(reading(member).value, all.cycles);
    close(leader);
    close(member);
}

void group_of_hardware() {
    perf_event_attr counted = hardware(PERF_COUNT_HW_CPU_CYCLES), faults = software(PERF_COUNT_SW_CPU_MIGRATIONS);
    counted.disabled = 1;
    faults.read_format = counted.read_format;
    const int leader = opened(open_as(counted)), member = opened(open_as(faults, -1, leader));
    work();
    CHECK_EQ(reading(member).enabled, 0u);
    CHECK_OK(ioctl(leader, PERF_EVENT_IOC_ENABLE, 0));
    work();
    CHECK_GE(reading(member).running, 4'000'000u);
    // More of them than there are counters can never count at once, where Linux knows how many.
    if (has_interrupts) {
        counted.disabled = 0;
        int fds[many], used = 0;
        while (used < many && (fds[used] = open_as(counted, -1, leader)) >= 0) ++used;
        const int why = errno;
        CHECK_LT(used, many);
        CHECK_EQ(why, EINVAL);
        work();
        for (int i = 0; i < used; ++i) {
            CHECK_GT(reading(fds[i]).value, least_cycles);
            close(fds[i]);
        }
    }
    CHECK_GT(reading(leader).value, least_cycles);
    close(leader);
    close(member);
}

void turns() {
    int fds[too_many];
    for (int& fd : fds) fd = cycles();
    const auto had_turn = [](int fd) {
        const Reading now = reading(fd);
        return now.value > least_cycles && now.running > 0 && now.running < now.enabled;
    };
    // On a busy host few of an emulated processor's timers fire in its milliseconds.
    bool had_all = false;
    for (int tries = 0; !had_all && tries < 50; ++tries) {
        work(40);
        had_all = true;
        for (int fd : fds) had_all &= had_turn(fd);
    }
    CHECK(had_all);
    for (int fd : fds) close(fd);
}

/// They count always or not at all: what finds no counter reads as the end of a file, until it is tried again.
void pinned() {
    perf_event_attr attributes = hardware(PERF_COUNT_HW_CPU_CYCLES);
    attributes.pinned = 1;
    int fds[many];
    for (int& fd : fds) fd = opened(open_as(attributes));
    const int other = cycles();
    work(10);
    Reading now = {};
    CHECK_EQ(read(fds[0], &now, sizeof now), ssize_t(sizeof now));
    CHECK_GT(now.value, least_cycles);
    CHECK_EQ(now.enabled, now.running);
    CHECK_EQ(read(fds[many - 1], &now, sizeof now), 0);
    for (int i = 0; i < many - 1; ++i) close(fds[i]);
    CHECK_OK(ioctl(fds[many - 1], PERF_EVENT_IOC_ENABLE, 0));
    work();
    CHECK_EQ(read(fds[many - 1], &now, sizeof now), ssize_t(sizeof now));
    CHECK_GT(now.value, least_cycles);
    close(fds[many - 1]);
    close(other);
}

// ---- where and whose ----

void processors() {
    stay_on(0);
    perf_event_attr attributes = hardware(PERF_COUNT_HW_CPU_CYCLES);
    const int here = opened(open_as(attributes, 0));
    const int mine_there = cycles(0, 1);
    work();
    CHECK_GT(reading(here).value, least_cycles);
    const Reading away = reading(mine_there);
    CHECK_EQ(away.value, 0u);
    CHECK_EQ(away.running, 0u);
    CHECK_GT(away.enabled, 0u);
    stay_on(1);
    work();
    CHECK_GT(reading(mine_there).value, least_cycles);
    close(here);
    close(mine_there);
}

void migration() {
    const int fd = cycles();
    uint64_t before = 0;
    for (int turn = 0; turn < 8; ++turn) {
        stay_on(turn % 4);
        work(2);
        const Reading now = reading(fd);
        CHECK_GT(now.value, before + least_cycles);
        CHECK_EQ(now.enabled, now.running);
        before = now.value;
    }
    close(fd);
}

void inheritance() {
    perf_event_attr attributes = hardware(PERF_COUNT_HW_CPU_CYCLES);
    attributes.inherit = 1;
    const int fd = opened(open_as(attributes)), mine = cycles();
    CHECK_EQ(in_child([] {
                 work(20);
                 run_in_child([] { work(20); });
             }),
             0);
    const Reading all = reading(fd), own = reading(mine);
    CHECK_GT(all.value, own.value);
    CHECK_GT(all.enabled, own.enabled + 30'000'000);
    close(fd);
    close(mine);
}

/// Of a program, from its beginning to its end.
void execution() {
    int go[2];
    CHECK_OK(pipe(go));
    const pid_t child = fork();
    if (child == 0) {
        char byte;
        if (read(go[0], &byte, 1) == 1) execl("/proc/self/exe", "hardware", "work", nullptr);
        _exit(1);
    }
    perf_event_attr attributes = hardware(PERF_COUNT_HW_CPU_CYCLES);
    attributes.disabled = attributes.enable_on_exec = 1;
    const int fd = opened(open_event(&attributes, child));
    CHECK_EQ(reading(fd).enabled, 0u);
    CHECK_EQ(write(go[1], "x", 1), 1);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    const Reading now = reading(fd);
    CHECK_GT(now.value, least_cycles);
    CHECK_GE(now.running, 4'000'000u);
    close(fd);
    close(go[0]);
    close(go[1]);
}

// ---- from elsewhere, all at once ----

constexpr int rounds = 8;

struct Worker {
    pthread_t thread;
    std::atomic<pid_t> tid{0};
    std::atomic<bool> stop{false};
    static void* run(void* self) {
        auto& worker = *static_cast<Worker*>(self);
        worker.tid = gettid();
        while (!worker.stop) work(1);
        return nullptr;
    }
};

void* watch_others(void* workers) {
    auto* const others = static_cast<Worker*>(workers);
    uint64_t turns = 0;
    for (int turn = 0; turn < rounds; ++turn) {
        const int fd = cycles(others[turn % 4].tid), second = cycles(others[turn % 4].tid, turn % 4);
        const int of_cpu = cycles(-1, turn % 4);
        uint64_t before = 0;
        for (int i = 0; i < 10; ++i) {
            const Reading now = reading(fd);
            CHECK_GE(now.value, before);
            before = now.value;
            if (i == 5) CHECK_OK(ioctl(second, PERF_EVENT_IOC_RESET, 0));
            (void)reading(second);
            (void)reading(of_cpu);
            ++turns;
        }
        CHECK_OK(ioctl(fd, PERF_EVENT_IOC_DISABLE, 0));
        const uint64_t last = reading(fd).value;
        CHECK_GE(last, before);
        CHECK_EQ(reading(fd).value, last);
        for (int each : {second, fd, of_cpu}) close(each);
    }
    return reinterpret_cast<void*>(turns);
}

void from_elsewhere() {
    Worker workers[4];
    pthread_t watchers[4];
    for (Worker& worker : workers) {
        CHECK_EQ(pthread_create(&worker.thread, nullptr, Worker::run, &worker), 0);
        while (worker.tid == 0) sched_yield();
    }
    for (pthread_t& watcher : watchers) CHECK_EQ(pthread_create(&watcher, nullptr, watch_others, workers), 0);
    for (pthread_t watcher : watchers) {
        void* turns = nullptr;
        CHECK_EQ(pthread_join(watcher, &turns), 0);
        CHECK_EQ(reinterpret_cast<uintptr_t>(turns), rounds * 10u);
    }
    for (Worker& worker : workers) {
        worker.stop = true;
        CHECK_EQ(pthread_join(worker.thread, nullptr), 0);
    }
}

} // namespace

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "work") == 0) return work(), 0;
    if (!has_counters) {
        without_counters();
        return result();
    }
    events();
    modes();
    unit();
    switching();
    asleep();
    page();
    instructions();
    groups();
    group_of_hardware();
    turns();
    pinned();
    inheritance();
    execution();
    from_elsewhere();
    run_in_child(processors);
    run_in_child(migration);
    return result();
}
