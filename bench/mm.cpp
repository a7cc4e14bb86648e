// What memory costs, in instructions under -icount, else in nanoseconds: forks of processes of several sizes, each kind
// of fault beside its floor, the calls that change mappings; KiB that a thousand idle processes take; how many TLB
// flushes it all needs. Prints a line "bench NAME VALUE" for each. Each is measured in several rounds and the least is
// taken, because a timer tick that falls into a round is not the operation's. With "--wall" what several CPUs do to one
// another, by the clock.
#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vector>

#include "counter.hpp"

namespace {

constexpr int rounds = 5;
constexpr size_t mib = size_t(1) << 20;
const size_t page = size_t(sysconf(_SC_PAGESIZE));
// What one last-level page table maps.
const size_t span = page / 8 * page;

void must(bool holds, const char* what) {
    if (holds) return;
    perror(what);
    exit(1);
}

void report(const char* name, double value) {
    printf("bench %s %.1f\n", name, value);
    fflush(stdout);
}

/// Units that `body` takes.
double cost(auto body) {
    uint64_t start = counter::now();
    body();
    return counter::units(counter::now() - start);
}

/// The least that `body` takes, a `count`th part of it; `prepare` runs before each round and is not counted.
double least(size_t count, auto prepare, auto body, int times = rounds) {
    double best = 1e18;
    for (int round = 0; round < times; round++) {
        prepare();
        best = std::min(best, cost(body) / double(count));
    }
    return best;
}

void nothing() {}

char* map(size_t size, int flags = MAP_PRIVATE | MAP_ANONYMOUS, int fd = -1, int prot = PROT_READ | PROT_WRITE) {
    void* memory = mmap(nullptr, size, prot, flags, fd, 0);
    must(memory != MAP_FAILED, "mmap");
    return static_cast<char*>(memory);
}

/// Address space that begins with a last-level page table, for MAP_FIXED.
char* reserve(size_t size) {
    char* place = map(size + span, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, PROT_NONE);
    return place + (span - reinterpret_cast<uintptr_t>(place) % span) % span;
}

void write_pages(char* memory, size_t size) {
    for (size_t at = 0; at < size; at += page) *static_cast<volatile char*>(memory + at) = 1;
}

void read_pages(const char* memory, size_t size) {
    for (size_t at = 0; at < size; at += page) (void)*static_cast<const volatile char*>(memory + at);
}

void fork_and_wait() {
    pid_t child = fork();
    if (child == 0) _exit(0);
    must(child > 0 && waitpid(child, nullptr, 0) == child, "fork");
}

// -- fork
// --------------------------------------------------------------------------------------------------------------

void forks() {
    report("fork-small", least(10, nothing, [] {
               for (int i = 0; i < 10; i++) fork_and_wait();
           }));
    struct {
        const char* name;
        const char* again;
        size_t size;
        int times;
    } sizes[] = {{"fork-1m", "fork-1m-again", mib, 5},
                 {"fork-64m", "fork-64m-again", 64 * mib, 5},
                 {"fork-1g", "fork-1g-again", 1024 * mib, 3}};
    for (auto& one : sizes) {
        char* memory = map(one.size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
        // Written to anew before each fork, so that nothing is left of what the fork before has done.
        report(one.name, least(1, [&] { write_pages(memory, one.size); }, fork_and_wait, one.times));
        report(one.again, least(1, nothing, fork_and_wait, one.times));
        munmap(memory, one.size);
    }
}

// -- faults, per page
// --------------------------------------------------------------------------------------------------

constexpr size_t fault_pages = 512;

/// What nobody can do without: a page cleared or copied by plain loads and stores of one register each.
void floors() {
    char* from = map(page);
    char* to = map(page);
    write_pages(from, page), write_pages(to, page);
    auto* source = reinterpret_cast<volatile uint64_t*>(from);
    auto* target = reinterpret_cast<volatile uint64_t*>(to);
    report("floor-clear", least(1, nothing, [&] {
#pragma clang loop unroll_count(32)
               for (size_t i = 0; i < page / 8; i++) target[i] = 0;
           }));
    report("floor-copy", least(1, nothing, [&] {
#pragma clang loop unroll_count(32)
               for (size_t i = 0; i < page / 8; i++) target[i] = source[i];
           }));
    munmap(from, page), munmap(to, page);
}

void anonymous_faults() {
    const size_t size = fault_pages * page;
    char* memory = map(size);
    auto drop = [&] { madvise(memory, size, MADV_DONTNEED); };
    report("fault-anon", least(fault_pages, drop, [&] { write_pages(memory, size); }));
    report("fault-zero", least(fault_pages, drop, [&] { read_pages(memory, size); }));
    // Written to where only read before.
    auto read_first = [&] {
        drop();
        read_pages(memory, size);
    };
    report("fault-zero-write", least(fault_pages, read_first, [&] { write_pages(memory, size); }));
    munmap(memory, size);
}

/// In a child that a parent shares its pages with; and in the parent when its child is gone.
void copy_on_write_faults() {
    const size_t size = fault_pages * page;
    auto* result = reinterpret_cast<double*>(map(page, MAP_SHARED | MAP_ANONYMOUS));
    char* memory = map(size);
    write_pages(memory, size);
    double copied = 1e18, reused = 1e18;
    for (int round = 0; round < rounds; round++) {
        pid_t child = fork();
        if (child == 0) {
            *result = cost([&] { write_pages(memory, size); }) / fault_pages;
            _exit(0);
        }
        must(child > 0 && waitpid(child, nullptr, 0) == child, "fork");
        copied = std::min(copied, *result);
        reused = std::min(reused, cost([&] { write_pages(memory, size); }) / fault_pages);
    }
    report("fault-cow", copied);
    report("fault-cow-alone", reused);
    munmap(memory, size);
    munmap(result, page);
}

void file_faults() {
    const size_t size = fault_pages * page;
    int fd = memfd_create("bench", 0);
    must(fd >= 0 && ftruncate(fd, off_t(size)) == 0, "memfd_create");
    for (size_t at = 0; at < size; at += page) must(pwrite(fd, "x", 1, off_t(at)) == 1, "pwrite");
    char* memory = nullptr;
    auto anew = [&](int flags) {
        if (memory) munmap(memory, size);
        memory = map(size, flags, fd);
    };
    report("fault-file-read", least(fault_pages, [&] { anew(MAP_PRIVATE); }, [&] { read_pages(memory, size); }));
    report("fault-file-private", least(fault_pages, [&] { anew(MAP_PRIVATE); }, [&] { write_pages(memory, size); }));
    report("fault-file-shared", least(fault_pages, [&] { anew(MAP_SHARED); }, [&] { write_pages(memory, size); }));
    munmap(memory, size);
    close(fd);
}

/// Pages of the stack that are there for the first time, in a child whose stack is small.
__attribute__((noinline)) void grow_stack(size_t pages) {
    char* here = static_cast<char*>(__builtin_frame_address(0));
    for (size_t i = 1; i <= pages; i++) *static_cast<volatile char*>(here - i * page) = 1;
}

void stack_growth() {
    auto* result = reinterpret_cast<double*>(map(page, MAP_SHARED | MAP_ANONYMOUS));
    double best = 1e18;
    constexpr size_t pages = 256;
    for (int round = 0; round < rounds; round++) {
        pid_t child = fork();
        if (child == 0) {
            grow_stack(40); // libc's own use is behind us, and the copies of what the parent had
            *result = (cost([] { grow_stack(40 + pages); }) - cost([] { grow_stack(40); })) / pages;
            _exit(0);
        }
        must(child > 0 && waitpid(child, nullptr, 0) == child, "fork");
        best = std::min(best, *result);
    }
    report("stack-growth", best);
    munmap(result, page);
}

// -- calls
// -------------------------------------------------------------------------------------------------------------

void calls() {
    constexpr size_t count = 200;
    report("mmap+munmap", least(count, nothing, [] {
               for (size_t i = 0; i < count; i++) munmap(map(page), page);
           }));
    report("mmap+touch+munmap", least(count, nothing, [] {
               for (size_t i = 0; i < count; i++) {
                   char* memory = map(page);
                   write_pages(memory, page);
                   munmap(memory, page);
               }
           }));
    char* memory = map(3 * page);
    write_pages(memory, 3 * page);
    report("mprotect", least(2 * count, nothing, [&] {
               for (size_t i = 0; i < count; i++) {
                   mprotect(memory, 3 * page, PROT_READ);
                   mprotect(memory, 3 * page, PROT_READ | PROT_WRITE);
               }
           }));
    // In the middle: the mapping is split in three, and one again.
    report("mprotect-split", least(2 * count, nothing, [&] {
               for (size_t i = 0; i < count; i++) {
                   mprotect(memory + page, page, PROT_READ);
                   mprotect(memory + page, page, PROT_READ | PROT_WRITE);
               }
           }));
    double dropped = 1e18;
    for (int round = 0; round < rounds; round++) {
        double sum = 0;
        for (size_t i = 0; i < count; i++) {
            write_pages(memory, page);
            sum += cost([&] { madvise(memory, page, MADV_DONTNEED); });
        }
        dropped = std::min(dropped, sum / count);
    }
    report("dontneed", dropped);
    munmap(memory, 3 * page);
    auto base = static_cast<uintptr_t>(syscall(SYS_brk, 0));
    base = (base + page - 1) / page * page;
    syscall(SYS_brk, base);
    report("brk", least(2 * count, nothing, [&] {
               for (size_t i = 0; i < count; i++) {
                   syscall(SYS_brk, base + page);
                   syscall(SYS_brk, base);
               }
           }));
}

void moves() {
    const size_t size = 64 * mib;
    for (size_t shift : {size_t(0), 3 * page}) {
        char* here = reserve(size + span);
        char* there = reserve(size + span) + shift;
        must(mmap(here, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == here, "mmap");
        write_pages(here, size);
        report(shift ? "mremap-64m-shifted" : "mremap-64m", least(2, nothing, [&] {
                   must(mremap(here, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, there) == there, "mremap");
                   must(mremap(there, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, here) == here, "mremap");
               }));
        munmap(here, size);
    }
}

// -- memory for idle processes
// -----------------------------------------------------------------------------------------

/// The value of a line in /proc/meminfo, KiB, or of one in /proc/vmstat; 0 if there is none.
double value_of(const char* file, const char* name) {
    FILE* stream = fopen(file, "r");
    must(stream, file);
    char line[200];
    double value = 0;
    const size_t length = strlen(name);
    while (fgets(line, sizeof line, stream))
        if (strncmp(line, name, length) == 0 && strchr(": ", line[length])) value = strtod(line + length + 1, nullptr);
    fclose(stream);
    return value;
}

constexpr const char* parts[][2] = {{"MemFree", "idle-memory"},
                                    {"PageTables", "idle-page-tables"},
                                    {"Slab", "idle-slab"},
                                    {"KernelStack", "idle-stacks"},
                                    {"AnonPages", nullptr}};
using PartValues = std::array<double, std::size(parts)>;

PartValues part_values() {
    PartValues values{};
    for (size_t i = 0; i < values.size(); i++) values[i] = value_of("/proc/meminfo", parts[i][0]);
    return values;
}

/// What /proc/meminfo says while `count` children sleep.
PartValues with_sleeping_children(int count) {
    int ready[2];
    must(pipe(ready) == 0, "pipe");
    std::vector<pid_t> children(count);
    for (pid_t& child : children) {
        child = fork();
        if (child == 0) {
            (void)!write(ready[1], "r", 1);
            for (;;) pause();
        }
        char byte;
        must(child > 0 && read(ready[0], &byte, 1) == 1, "fork");
    }
    PartValues values = part_values();
    for (pid_t child : children) kill(child, SIGKILL);
    for (pid_t child : children) waitpid(child, nullptr, 0);
    close(ready[0]), close(ready[1]);
    return values;
}

/// Total: what is not free any more, but for the pages which the children have written. Comes first, because whatever
/// has run before leaves the kernel's caches filled and hides what is taken.
void idle_processes() {
    constexpr int count = 1000;
    fork_and_wait();
    const PartValues before = part_values(), during = with_sleeping_children(count);
    const double written = during.back() - before.back();
    for (size_t i = 0; parts[i][1]; i++) {
        double difference = during[i] - before[i];
        report(parts[i][1], i == 0 ? -difference - written : difference);
    }
}

// -- several CPUs
// ------------------------------------------------------------------------------------------------------

double seconds_now() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

/// Nanoseconds until `count` threads have all run `body(number)`; the least of some rounds.
template <typename Body>
double in_parallel(unsigned count, Body body, int times = rounds) {
    struct Job {
        Body* body;
        unsigned number;
        pthread_t thread;
        pthread_barrier_t* barrier;
    };
    auto run = [](void* argument) -> void* {
        auto* job = static_cast<Job*>(argument);
        pthread_barrier_wait(job->barrier);
        (*job->body)(job->number);
        return nullptr;
    };
    double best = 1e18;
    for (int round = 0; round < times; round++) {
        Job jobs[8];
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, nullptr, count + 1);
        for (unsigned i = 0; i < count; i++) {
            jobs[i] = {&body, i, {}, &barrier};
            must(pthread_create(&jobs[i].thread, nullptr, run, &jobs[i]) == 0, "pthread_create");
        }
        double start = seconds_now();
        pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < count; i++) pthread_join(jobs[i].thread, nullptr);
        best = std::min(best, (seconds_now() - start) * 1e9);
        pthread_barrier_destroy(&barrier);
    }
    return best;
}

void several_cpus() {
    constexpr size_t size = 16 * mib;
    char* memory[4];
    for (char*& one : memory) one = map(size);
    auto fault = [&](unsigned number) {
        madvise(memory[number], size, MADV_DONTNEED);
        write_pages(memory[number], size);
    };
    for (unsigned count : {1u, 2u, 4u}) {
        char name[40];
        snprintf(name, sizeof name, "wall-faults-%u", count);
        report(name, in_parallel(count, fault));
        snprintf(name, sizeof name, "wall-mmap-%u", count);
        report(name, in_parallel(count, [](unsigned) {
                   for (int i = 0; i < 500; i++) {
                       char* place = map(4 * page);
                       write_pages(place, 4 * page);
                       munmap(place, 4 * page);
                   }
               }));
    }
    // Forks while three threads write to what is copied.
    std::atomic<bool> stop{false};
    auto write_or_fork = [&](unsigned number) {
        if (number > 0) {
            while (!stop) write_pages(memory[number], mib);
            return;
        }
        for (int i = 0; i < 20; i++) fork_and_wait();
        stop = true;
    };
    double best = 1e18;
    for (int round = 0; round < rounds; round++) {
        stop = false;
        best = std::min(best, in_parallel(4, write_or_fork, 1));
    }
    report("wall-fork-busy", best / 20);
    for (char* one : memory) munmap(one, size);
}

// -- events that instructions don't charge for
// -------------------------------------------------------------------------

/// Linux counts flushes only in debug builds, but traces them: the buffers' own statistics tell how many there were.
double traced_flushes() {
    double sum = 0;
    for (int cpu = 0; cpu < 8; cpu++) {
        char name[100];
        snprintf(name, sizeof name, "/sys/kernel/tracing/per_cpu/cpu%d/stats", cpu);
        if (access(name, R_OK) == 0) sum += value_of(name, "entries") + value_of(name, "overrun");
    }
    return sum;
}

bool put(const char* path, const char* text) {
    int fd = open(path, O_WRONLY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == ssize_t(strlen(text));
    close(fd);
    return done;
}

double flushes() {
    static const bool traced = [] {
        mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, nullptr);
        return put("/sys/kernel/tracing/events/tlb/tlb_flush/enable", "1");
    }();
    if (traced) return traced_flushes();
    double sum = 0;
    for (const char* name : {"nr_tlb_local_flush_all", "nr_tlb_local_flush_one", "nr_tlb_remote_flush"})
        sum += value_of("/proc/vmstat", name);
    return sum;
}

/// Flushes per operation, of a hundred.
void count_flushes(const char* name, auto body) {
    flushes();
    double before = flushes(), idle = flushes() - before;
    before = flushes();
    for (int i = 0; i < 100; i++) body();
    report(name, (flushes() - before - idle) / 100);
}

void events() {
    char* memory = map(64 * page);
    flushes();
    count_flushes("flushes-fork", [&] {
        write_pages(memory, 64 * page);
        fork_and_wait();
    });
    count_flushes("flushes-mmap+munmap", [] {
        char* place = map(page);
        write_pages(place, page);
        munmap(place, page);
    });
    count_flushes("flushes-mprotect", [&] {
        write_pages(memory, page);
        mprotect(memory, page, PROT_READ);
        mprotect(memory, page, PROT_READ | PROT_WRITE);
    });
    count_flushes("flushes-dontneed", [&] {
        write_pages(memory, 64 * page);
        madvise(memory, 64 * page, MADV_DONTNEED);
    });
    munmap(memory, 64 * page);
    put("/sys/kernel/tracing/events/tlb/tlb_flush/enable", "0");
}

} // namespace

int main(int count, char** arguments) {
    // Huge pages would make a fault mean something else.
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    if (count > 1 && strcmp(arguments[1], "--wall") == 0) {
        several_cpus();
        return 0;
    }
    idle_processes();
    forks();
    floors();
    anonymous_faults();
    copy_on_write_faults();
    file_faults();
    stack_growth();
    calls();
    moves();
    events();
}
