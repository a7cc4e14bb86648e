// Another process writes into ours while we fork and break copy-on-write in the same pages: what process_vm_writev and
// /proc/PID/mem have written is there afterwards, and no child sees what is written after its birth. Least Linux: 5.12
// (before it, a page under such a write could be given to the child).
//
// needs-linux: 5.12
#include "memory.hpp"
#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

namespace {

using memory::page;
using memory::span;

constexpr size_t pages = 8;
char* base; // fills whole tables, so that they may be shared over fork

struct Shared {
    std::atomic<bool> stop;
    std::atomic<uint32_t> written[pages]; // what the outside has written, at least
    std::atomic<int> lost;
};
Shared* shared;

volatile uint32_t* theirs(size_t i) { return reinterpret_cast<uint32_t*>(base + i * (span / 4) + 64); }
volatile uint32_t* ours(size_t i) { return reinterpret_cast<uint32_t*>(base + i * (span / 4) + 128); }

/// In the outside process: counts each page's word up, and looks whether it stays.
[[noreturn]] void write_from_outside(pid_t target) {
    char name[40];
    snprintf(name, sizeof name, "/proc/%d/mem", int(target));
    int fd = open(name, O_RDWR);
    for (uint32_t n = 1; !shared->stop; n++)
        for (size_t i = 0; i < pages; i++) {
            uint32_t value = n;
            iovec here{&value, 4}, there{const_cast<uint32_t*>(theirs(i)), 4};
            bool done = n % 2 ? process_vm_writev(target, &here, 1, &there, 1, 0) == 4
                              : pwrite(fd, &value, 4, off_t(reinterpret_cast<uintptr_t>(theirs(i)))) == 4;
            shared->written[i] = n;
            uint32_t seen = 0;
            here.iov_base = &seen;
            if (!done || process_vm_readv(target, &here, 1, &there, 1, 0) != 4 || seen != n) {
                shared->lost++;
                printf("page %zu: wrote %u, then there was %u\n", i, n, seen);
                fflush(stdout);
                shared->stop = true;
            }
        }
    _exit(0);
}

/// Our own stores make copies of pages that children share.
void* store(void*) {
    for (uint32_t n = 1; !shared->stop; n++)
        for (size_t i = 0; i < pages; i++) *ours(i) = n;
    return nullptr;
}

/// In a child: the words stand still, and what had been written before it was born is there.
int look_on(const uint32_t (&before)[pages]) {
    uint32_t first[pages];
    for (size_t i = 0; i < pages; i++) {
        first[i] = *theirs(i);
        if (first[i] < before[i]) return 1;
    }
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < pages; i++)
            if (*theirs(i) != first[i]) return 2;
        sched_yield();
    }
    return 0;
}

} // namespace

int main() {
    prctl(PR_SET_DUMPABLE, 1);
    shared = reinterpret_cast<Shared*>(memory::map(sizeof(Shared), MAP_SHARED));
    base = memory::map_at(memory::reserve_aligned(2 * span), 2 * span);
    pid_t target = getpid();
    pid_t outside = fork();
    if (outside == 0) write_from_outside(target);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, nullptr, store, nullptr), 0);
    double end = memory::now() + memory::seconds(6, 120);
    int forks = 0;
    for (; memory::now() < end && !shared->stop; forks++) {
        uint32_t before[pages];
        for (size_t i = 0; i < pages; i++) before[i] = shared->written[i];
        pid_t child = fork();
        if (child == 0) _exit(look_on(before));
        int status = -1;
        CHECK_EQ(waitpid(child, &status, 0), child);
        if (!CHECK_EQ(status, 0)) break;
    }
    shared->stop = true;
    pthread_join(thread, nullptr);
    int status = -1;
    CHECK_EQ(waitpid(outside, &status, 0), outside);
    CHECK_EQ(shared->lost.load(), 0);
    printf("%d forks, %u writes\n", forks, shared->written[0].load());
    return check::result();
}
