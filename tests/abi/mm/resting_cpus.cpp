// A thread sleeps, and its CPU with it, while another changes what it has looked at: it must see the change when it
// goes on, although a CPU that rests needn't be told at once. Pages are exchanged, taken away and protected; whole page
// tables go too. Least Linux: 2.6.
#include "affinity.hpp"
#include "memory.hpp"
#include <asleep.hpp>
#include <csetjmp>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

using check::stay_on;
using memory::page;
using memory::span;

sem_t go_on, done;
std::atomic<pid_t> sleeper_tid{0};
volatile char* place;
int seen; // what the sleeper read, or -1 for a signal
sigjmp_buf back;

void on_fault(int, siginfo_t*, void*) { siglongjmp(back, 1); }

void* look(void*) {
    stay_on(1);
    sleeper_tid = pid_t(syscall(SYS_gettid));
    for (;;) {
        while (sem_wait(&go_on) != 0) {
        }
        volatile char* at = place;
        if (!at) return nullptr;
        seen = sigsetjmp(back, 1) == 0 ? *at : -1;
        sem_post(&done);
    }
}

int look_at(volatile char* at) {
    place = at;
    sem_post(&go_on);
    while (sem_wait(&done) != 0) {
    }
    return seen;
}

char* map_at(char* where, size_t size, char value) {
    void* got = mmap(where, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(got == where);
    *where = value;
    return where;
}

} // namespace

int main() {
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) check::skip("one CPU");
    stay_on(0);
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    CHECK_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
    CHECK(sem_init(&go_on, 0, 0) == 0 && sem_init(&done, 0, 0) == 0);
    pthread_t sleeper;
    CHECK_EQ(pthread_create(&sleeper, nullptr, look, nullptr), 0);
    CHECK(check::eventually([] { return sleeper_tid != 0; }));
    char* base =
        static_cast<char*>(mmap(nullptr, 4 * span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    CHECK(base != MAP_FAILED);
    base += span - reinterpret_cast<uintptr_t>(base) % span;
    char* other = base + 2 * span;
    for (int round = 0; round < 60 && check::result() == 0; round++) {
        const char value = char(1 + round % 100);
        map_at(base, page, value);
        CHECK_EQ(look_at(base), value);
        CHECK(check::wait_asleep(sleeper_tid));
        switch (round % 5) {
        case 0: // another page in its place
            map_at(base, page, char(value + 1));
            CHECK_EQ(look_at(base), value + 1);
            break;
        case 1:
            CHECK_EQ(madvise(base, page, MADV_DONTNEED), 0);
            CHECK_EQ(look_at(base), 0);
            break;
        case 2:
            CHECK_EQ(mprotect(base, page, PROT_NONE), 0);
            CHECK_EQ(look_at(base), -1);
            break;
        case 3: // and its page table
            CHECK_EQ(munmap(base, span), 0);
            CHECK_EQ(look_at(base), -1);
            break;
        default:
            map_at(other, page, 120);
            CHECK(mremap(other, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, base) == base);
            CHECK_EQ(look_at(base), 120);
            CHECK_EQ(look_at(other), -1);
        }
    }
    place = nullptr;
    sem_post(&go_on);
    pthread_join(sleeper, nullptr);
    return check::result();
}
