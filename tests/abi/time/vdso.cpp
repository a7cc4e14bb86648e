// The vDSO: its functions answer as the calls do, time never runs backwards from one processor to another, and its
// symbols are found as glibc finds them.
#include <cstdint>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "affinity.hpp"
#include "asleep.hpp"
#include "vdso_function.hpp"

using namespace check;

namespace {

using ClockGetTime = int (*)(clockid_t, timespec*);
using GetTimeOfDay = int (*)(timeval*, struct timezone*);
using GetCpu = int (*)(unsigned*, unsigned*, void*);

int64_t ns(const timespec& time) { return int64_t(time.tv_sec) * 1000000000 + time.tv_nsec; }

int64_t by_call(clockid_t clock) {
    timespec time;
    CHECK_OK(syscall(SYS_clock_gettime, clock, &time));
    return ns(time);
}

void agrees_with_the_call() {
    const auto get = reinterpret_cast<ClockGetTime>(vdso_function("clock_gettime"));
    const auto resolution = reinterpret_cast<ClockGetTime>(vdso_function("clock_getres"));
    REQUIRE(get != nullptr);
    for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_MONOTONIC_RAW,
                            CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_PROCESS_CPUTIME_ID}) {
        for (int i = 0; i < 100; ++i) {
            const int64_t before = by_call(clock);
            timespec time = {-1, -1};
            CHECK_EQ(get(clock, &time), 0);
            const int64_t after = by_call(clock);
            CHECK_LE(before, ns(time));
            CHECK_LE(ns(time), after);
            CHECK(time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
        }
        if (!resolution) continue;
        timespec one = {-1, -1}, other = {-1, -1};
        CHECK_EQ(resolution(clock, &one), 0);
        CHECK_OK(syscall(SYS_clock_getres, clock, &other));
        CHECK_EQ(ns(one), ns(other));
    }
    timespec time;
    CHECK_EQ(get(99, &time), -EINVAL);
    if (const auto day = reinterpret_cast<GetTimeOfDay>(vdso_function("gettimeofday"))) {
        const int64_t before = by_call(CLOCK_REALTIME);
        timeval value = {};
        CHECK_EQ(day(&value, nullptr), 0);
        const int64_t after = by_call(CLOCK_REALTIME);
        const int64_t between = int64_t(value.tv_sec) * 1000000000 + value.tv_usec * 1000;
        CHECK_LE(before / 1000, between / 1000);
        CHECK_LE(between, after);
    } else {
        CHECK(false); // every architecture's has it
    }
}

void tells_the_processor() {
    const auto get = reinterpret_cast<GetCpu>(vdso_function("getcpu"));
    on_each_cpu(
        [&](int cpu) {
            unsigned where = 99, node = 99;
            CHECK_OK(syscall(SYS_getcpu, &where, &node, nullptr));
            CHECK_EQ(where, unsigned(cpu));
            if (!get) return;
            where = 99;
            CHECK_EQ(get(&where, &node, nullptr), 0);
            CHECK_EQ(where, unsigned(cpu));
        },
        4);
}

std::atomic<int64_t> newest;
std::atomic<int> backwards;
std::atomic<bool> over;

/// Reads that follow one another on whatever processor never go back.
void* read_clock(void* argument) {
    stay_on(int(long(argument)));
    while (!over) {
        const int64_t seen = newest.load();
        timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        const int64_t now = ns(time);
        if (now < seen) backwards++;
        int64_t previous = newest.load();
        while (previous < now && !newest.compare_exchange_weak(previous, now)) {
        }
    }
    return nullptr;
}

void across_processors() {
    pthread_t threads[4];
    for (long i = 0; i < 4; ++i) pthread_create(&threads[i], nullptr, read_clock, (void*)i);
    for (int i = 0; i < 300; ++i) nap();
    over = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    CHECK_EQ(backwards.load(), 0);
    CHECK_GT(newest.load(), 0);
}

/// A bad pointer given to the vDSO is a fault of the program, given to the call EFAULT.
void bad_pointers() {
    CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 8), EFAULT);
    const int status = in_child([] {
        const auto get = reinterpret_cast<ClockGetTime>(vdso_function("clock_gettime"));
        handle(SIGSEGV, SIG_DFL);
        get(CLOCK_MONOTONIC, reinterpret_cast<timespec*>(8));
    });
    CHECK(died_of(status, SIGSEGV) || status == 0);
}

} // namespace

int main() {
    agrees_with_the_call();
    tells_the_processor();
    across_processors();
    bad_pointers();
    return result();
}
