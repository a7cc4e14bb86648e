// What the kernel's everyday operations cost, in instructions under -icount, else in nanoseconds. Prints a line
// "bench NAME VALUE" for each. Each is measured in several rounds and the least is taken, because a timer tick that
// falls into a round is not the operation's. Nothing here idles: on one processor there is always somebody to run.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "measure.hpp"

using namespace measuring;

namespace {

constexpr const char* path = "/etc/passwd";
const char* self;

void null_call(int count) {
    for (int i = 0; i < count; i++) syscall(SYS_getppid);
}

void open_close(int count) {
    for (int i = 0; i < count; i++) {
        int fd = open(path, O_RDONLY);
        must(fd >= 0, path);
        close(fd);
    }
}

void stat_path(int count) {
    struct stat info;
    for (int i = 0; i < count; i++) must(stat(path, &info) == 0, path);
}

void on_signal(int) {}

void signal_self(int count) {
    pid_t me = getpid();
    for (int i = 0; i < count; i++) kill(me, SIGUSR1);
}

void fork_wait(int count) {
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        must(child > 0 && waitpid(child, nullptr, 0) == child, "fork");
    }
}

void fork_exec_wait(int count) {
    char* const arguments[] = {const_cast<char*>(self), const_cast<char*>("--exit"), nullptr};
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            execv(self, arguments);
            _exit(1);
        }
        must(child > 0 && waitpid(child, nullptr, 0) == child, "fork");
    }
}

void vfork_exec_wait(int count) {
    char* const arguments[] = {const_cast<char*>(self), const_cast<char*>("--exit"), nullptr};
    for (int i = 0; i < count; i++) {
        pid_t child;
        must(posix_spawn(&child, self, nullptr, nullptr, arguments, environ) == 0, "posix_spawn");
        must(waitpid(child, nullptr, 0) == child, "waitpid");
    }
}

void* nothing(void*) { return nullptr; }

void thread_create_join(int count) {
    for (int i = 0; i < count; i++) {
        pthread_t thread;
        must(pthread_create(&thread, nullptr, nothing, nullptr) == 0, "pthread_create");
        pthread_join(thread, nullptr);
    }
}

char* map_pages(size_t size) {
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED, "mmap");
    return static_cast<char*>(memory);
}

void touch(char* memory, int pages, size_t page) {
    for (int i = 0; i < pages; i++) *static_cast<volatile char*>(memory + size_t(i) * page) = 1;
}

double anonymous_fault(int pages, size_t page) {
    double best = 1e18;
    for (int round = 0; round < rounds; round++) {
        char* memory = map_pages(size_t(pages) * page);
        uint64_t start = counter::now();
        touch(memory, pages, page);
        best = std::min(best, counter::units(counter::now() - start) / pages);
        munmap(memory, size_t(pages) * page);
    }
    return best;
}

// A child writes to every page that it shares with its parent, and tells what that took through a shared page.
double copy_on_write_fault(int pages, size_t page) {
    auto* result = static_cast<double*>(mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    must(result != MAP_FAILED, "mmap");
    char* memory = map_pages(size_t(pages) * page);
    touch(memory, pages, page);
    double best = 1e18;
    for (int round = 0; round < rounds; round++) {
        pid_t child = fork();
        if (child == 0) {
            uint64_t start = counter::now();
            touch(memory, pages, page);
            *result = counter::units(counter::now() - start) / pages;
            _exit(0);
        }
        must(child > 0 && waitpid(child, nullptr, 0) == child, "fork");
        best = std::min(best, *result);
    }
    munmap(memory, size_t(pages) * page);
    return best;
}

void map_touch_unmap(int count) {
    size_t page = size_t(sysconf(_SC_PAGESIZE));
    for (int i = 0; i < count; i++) {
        char* memory = map_pages(4 * page);
        touch(memory, 1, page);
        munmap(memory, 4 * page);
    }
}

// One process writes to a pipe and reads it back: no switch.
double pipe_alone(int count) {
    int ends[2];
    must(pipe(ends) == 0, "pipe");
    double cost = least(count, [&](int times) {
        char byte = 0;
        for (int i = 0; i < times; i++) {
            must(write(ends[1], &byte, 1) == 1, "write");
            must(read(ends[0], &byte, 1) == 1, "read");
        }
    });
    close(ends[0]);
    close(ends[1]);
    return cost;
}

double pipe_round_trip(int count) {
    int there[2], back[2];
    must(pipe(there) == 0 && pipe(back) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        close(there[1]);
        char byte;
        while (read(there[0], &byte, 1) == 1)
            if (write(back[1], &byte, 1) != 1) break;
        _exit(0);
    }
    close(there[0]);
    double cost = least(count, [&](int times) {
        char byte = 0;
        for (int i = 0; i < times; i++) {
            must(write(there[1], &byte, 1) == 1, "write");
            must(read(back[0], &byte, 1) == 1, "read");
        }
    });
    close(there[1]);
    waitpid(child, nullptr, 0);
    close(back[0]);
    close(back[1]);
    return cost;
}

// Two threads pass a turn to and fro.
alignas(64) int turn;

void futex_wait(int expected) { syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0); }
void futex_wake() { syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }

void pass_turn(int mine, int next) {
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != mine) {
        int now = __atomic_load_n(&turn, __ATOMIC_ACQUIRE);
        if (now == 2) return;
        if (now != mine) futex_wait(now);
    }
    __atomic_store_n(&turn, next, __ATOMIC_RELEASE);
    futex_wake();
}

void* other_side(void*) {
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != 2) pass_turn(1, 0);
    return nullptr;
}

double futex_round_trip(int count) {
    pthread_t thread;
    turn = 0;
    must(pthread_create(&thread, nullptr, other_side, nullptr) == 0, "pthread_create");
    double cost = least(count, [](int times) {
        for (int i = 0; i < times; i++) pass_turn(0, 1);
    });
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != 0) futex_wait(1);
    __atomic_store_n(&turn, 2, __ATOMIC_RELEASE);
    futex_wake();
    pthread_join(thread, nullptr);
    return cost;
}

void clock_read(int count) {
    timespec now;
    for (int i = 0; i < count; i++) clock_gettime(CLOCK_MONOTONIC, &now);
}

void file_read(int count) {
    static char block[4096];
    int fd = open(self, O_RDONLY);
    must(fd >= 0, self);
    for (int i = 0; i < count; i++) must(pread(fd, block, sizeof block, 4096) == sizeof block, "pread");
    close(fd);
}

void file_write(int count) {
    static char block[4096];
    int fd = open("/tmp/bench-file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    must(fd >= 0, "/tmp/bench-file");
    for (int i = 0; i < count; i++) must(pwrite(fd, block, sizeof block, 0) == sizeof block, "pwrite");
    close(fd);
    unlink("/tmp/bench-file");
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1 && strcmp(arguments[1], "--exit") == 0) _exit(0);
    self = arguments[0];
    // Huge pages would make a fault mean something else.
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    signal(SIGUSR1, on_signal);
    size_t page = size_t(sysconf(_SC_PAGESIZE));

    measure("null", 2000, null_call);
    measure("open+close", 500, open_close);
    measure("stat", 500, stat_path);
    measure("signal", 500, signal_self);
    measure("fork+wait", 20, fork_wait);
    measure("fork+exec+wait", 10, fork_exec_wait);
    measure("vfork+exec+wait", 10, vfork_exec_wait);
    measure("thread", 50, thread_create_join);
    report("anon-fault", anonymous_fault(512, page));
    report("cow-fault", copy_on_write_fault(512, page));
    measure("mmap+munmap", 200, map_touch_unmap);
    double alone = pipe_alone(500);
    double round_trip = pipe_round_trip(500);
    report("pipe", round_trip);
    // A round trip is twice a write, a read and a switch.
    report("switch", round_trip / 2 - alone);
    report("futex", futex_round_trip(500));
    measure("clock", 2000, clock_read);
    measure("read-4k", 200, file_read);
    measure("write-4k", 200, file_write);
}
