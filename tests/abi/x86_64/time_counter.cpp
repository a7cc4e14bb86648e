// arch: x86_64
//
// prctl(PR_SET_TSC): a thread may forbid itself to read the time-stamp counter.
#include <csetjmp>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <x86intrin.h>

#include "asleep.hpp"

using namespace check;

namespace {

sigjmp_buf back;
siginfo_t seen;

void caught(int, siginfo_t* info, void*) {
    seen = *info;
    siglongjmp(back, 1);
}

/// Whether it can be read, with or without the processor's number.
bool can_read() {
    if (sigsetjmp(back, 1)) return false;
    (void)__rdtsc();
    return true;
}
bool can_read_both() {
    unsigned processor;
    if (sigsetjmp(back, 1)) return false;
    (void)__rdtscp(&processor);
    return true;
}

int state() {
    int value = -1;
    CHECK_EQ(prctl(PR_GET_TSC, &value), 0);
    return value;
}

const char* program;
int after_exec() {
    return code_of(in_child([] {
        execl(program, program, "tell", nullptr);
        return 99;
    }));
}

void arguments() {
    CHECK_EQ(state(), PR_TSC_ENABLE);
    CHECK_ERRNO(prctl(PR_GET_TSC, 8), EFAULT);
    CHECK_ERRNO(prctl(PR_SET_TSC, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_SET_TSC, 3), EINVAL);
    CHECK_EQ(prctl(PR_SET_TSC, PR_TSC_ENABLE), 0);
    CHECK(can_read());
}

void forbidden() {
    CHECK_EQ(prctl(PR_SET_TSC, PR_TSC_SIGSEGV), 0);
    CHECK_EQ(state(), PR_TSC_SIGSEGV);
    CHECK(!can_read());
    CHECK_EQ(seen.si_signo, SIGSEGV);
    CHECK_EQ(seen.si_code, SI_KERNEL);
    CHECK_EQ(seen.si_addr, nullptr);
    CHECK(!can_read_both());
    // Children and threads inherit it; a new program does too.
    CHECK_EQ(code_of(in_child([] { return int(can_read()); })), 0);
    pthread_t thread;
    void* could = nullptr;
    CHECK_EQ(pthread_create(
                 &thread, nullptr,
                 [](void*) -> void* {
                     const int before = state();
                     CHECK_EQ(prctl(PR_SET_TSC, PR_TSC_ENABLE), 0);
                     CHECK(can_read());
                     return reinterpret_cast<void*>(long(before));
                 },
                 nullptr),
             0);
    pthread_join(thread, &could);
    CHECK_EQ(long(could), long(PR_TSC_SIGSEGV));
    CHECK_EQ(state(), PR_TSC_SIGSEGV);
    CHECK(!can_read());
    CHECK_EQ(after_exec(), PR_TSC_SIGSEGV);
    // It goes with the thread to other processors, and others there aren't concerned.
    for (int round = 0; round < 20; ++round) {
        cpu_set_t where;
        CPU_ZERO(&where);
        CPU_SET(unsigned(round) % 4, &where);
        sched_setaffinity(0, sizeof where, &where);
        CHECK(!can_read());
        CHECK_EQ(code_of(in_child([] {
                     prctl(PR_SET_TSC, PR_TSC_ENABLE);
                     for (int i = 0; i < 10; ++i) {
                         if (!can_read()) return 1;
                         sched_yield();
                     }
                     return 0;
                 })),
                 0);
        CHECK(!can_read());
    }
    CHECK_EQ(prctl(PR_SET_TSC, PR_TSC_ENABLE), 0);
    CHECK(can_read());
    CHECK(can_read_both());
}

} // namespace

int main(int count, char** arguments_given) {
    if (count > 1 && !strcmp(arguments_given[1], "tell")) return state();
    char self[256] = {};
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    program = self;
    handle(SIGSEGV, caught);
    arguments();
    run_in_child(forbidden);
    return result();
}
