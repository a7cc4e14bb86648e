// A handler that overwrites every floating-point and vector register leaves no trace in the code that it interrupted,
// at any depth of nesting, with another thread on the same processor doing the same.
#include <cfenv>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "affinity.hpp"
#include "asleep.hpp"
#include "machine.hpp"

using namespace check;

namespace {

struct alignas(32) Registers {
    uint64_t words[machine::vector_bytes / 8];
    void fill(uint64_t seed) {
        for (uint64_t& word : words) word = seed = seed * 6364136223846793005u + 1442695040888963407u;
    }
};

volatile int released;
thread_local volatile int depth;

void clobber(int signal) {
    Registers rubbish;
    rubbish.fill(uint64_t(signal) * 77);
    machine::load_vectors(&rubbish);
    fesetround(FE_UPWARD);
    if (depth < 5) {
        depth = depth + 1;
        raise(signal);
        depth = depth - 1;
    }
    machine::load_vectors(&rubbish);
}

void release(int) {
    clobber(SIGUSR1);
    released = 1;
}

/// Registers loaded, a signal from another thread, registers stored: the same.
void interrupted_code() {
    handle(SIGUSR1, clobber, SA_NODEFER);
    handle(SIGUSR2, release);
    static pid_t target;
    target = gettid();
    for (int round = 0; round < 20; ++round) {
        Registers before, after = {};
        before.fill(uint64_t(round));
        released = 0;
        fesetround(FE_TOWARDZERO);
        pthread_t thread;
        pthread_create(
            &thread, nullptr,
            [](void*) -> void* {
                for (int i = 0; i < 3; ++i) {
                    nap();
                    syscall(SYS_tgkill, getpid(), target, SIGUSR1);
                }
                syscall(SYS_tgkill, getpid(), target, SIGUSR2);
                return nullptr;
            },
            nullptr);
        machine::hold_vectors(&before, &after, &released);
        CHECK_EQ(memcmp(&before, &after, sizeof before), 0);
        CHECK_EQ(fegetround(), FE_TOWARDZERO);
        pthread_join(thread, nullptr);
    }
    fesetround(FE_TONEAREST);
}

std::atomic<int> wrong;
std::atomic<bool> over;

void* compute(void* seed) {
    while (!over) {
        Registers before, after = {};
        before.fill(uint64_t(seed));
        static const volatile int go = 1;
        machine::hold_vectors(&before, &after, &go);
        if (memcmp(&before, &after, sizeof before) != 0) wrong++;
        sched_yield();
    }
    return nullptr;
}

/// The same on one processor that several threads share, with signals to each of them.
void switched_code() {
    stay_on(0);
    pthread_t threads[3];
    for (long i = 0; i < 3; ++i) pthread_create(&threads[i], nullptr, compute, (void*)(i + 1));
    for (int i = 0; i < 200; ++i) {
        pthread_kill(threads[i % 3], SIGUSR1);
        sched_yield();
    }
    over = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    CHECK_EQ(wrong.load(), 0);
}

/// On x86_64 a handler begins with FP control as a program does; elsewhere with what it interrupted.
volatile int round_inside;
void look_at_rounding(int) { round_inside = fegetround(); }

void rounding() {
#ifdef __x86_64__
    constexpr int expected = FE_TONEAREST;
#else
    constexpr int expected = FE_DOWNWARD;
#endif
    handle(SIGUSR1, look_at_rounding);
    fesetround(FE_DOWNWARD);
    raise(SIGUSR1);
    CHECK_EQ(int(round_inside), expected);
    CHECK_EQ(fegetround(), FE_DOWNWARD);
    fesetround(FE_TONEAREST);
}

} // namespace

int main() {
    interrupted_code();
    switched_code();
    rounding();
    return result();
}
