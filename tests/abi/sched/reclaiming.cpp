// SCHED_FLAG_RECLAIM of sched_setattr(2): a reservation that may use what nobody else needs gets nearly all of a CPU,
// but not what other reservations are using; one without the flag never gets more than it has reserved.
#include <cstdint>
#include <pthread.h>
#include <sys/syscall.h>

#include "asleep.hpp"
#include "child.hpp"
#include "scheduling_attributes.hpp"

using namespace check;

namespace {

using Attributes = check::SchedulingAttributes;

constexpr uint64_t ms = 1000000, flag_reclaim = 2;
constexpr int others = 4;

void reserve(uint64_t runtime, uint64_t period, uint64_t flags) {
    Attributes asked = {.policy = 6, .flags = flags, .runtime = runtime, .deadline = period, .period = period};
    CHECK_OK(syscall(SYS_sched_setattr, 0, &asked, 0));
    Attributes got;
    CHECK_OK(syscall(SYS_sched_getattr, 0, &got, 48, 0));
    CHECK_EQ(got.flags, flags);
}

double seconds(clockid_t clock) {
    timespec now = {};
    clock_gettime(clock, &now);
    return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

/// What part of a CPU this thread gets when it wants all of one.
double share_of_spinning() {
    const double begin = seconds(CLOCK_MONOTONIC), had = seconds(CLOCK_THREAD_CPUTIME_ID);
    while (seconds(CLOCK_MONOTONIC) - begin < 1.5) {
    }
    return (seconds(CLOCK_THREAD_CPUTIME_ID) - had) / (seconds(CLOCK_MONOTONIC) - begin);
}

void alone() {
    run_in_child([] {
        reserve(5 * ms, 50 * ms, 0);
        CHECK_LE(share_of_spinning(), 0.2);
        reserve(5 * ms, 50 * ms, flag_reclaim);
        CHECK_GE(share_of_spinning(), 0.5);
        reserve(5 * ms, 50 * ms, 0);
        CHECK_LE(share_of_spinning(), 0.2);
    });
}

std::atomic<int> reserved;
std::atomic<bool> over;

void* spin(void*) {
    reserve(40 * ms, 50 * ms, 0);
    reserved++;
    while (!over) {
    }
    return nullptr;
}

void beside_others() {
    run_in_child([] {
        pthread_t threads[others];
        for (pthread_t& thread : threads) CHECK_EQ(pthread_create(&thread, nullptr, spin, nullptr), 0);
        while (reserved < others) nap();
        reserve(5 * ms, 50 * ms, flag_reclaim);
        CHECK_LE(share_of_spinning(), 0.35);
        over = true;
        for (pthread_t thread : threads) pthread_join(thread, nullptr);
        // What those had is free.
        CHECK_GE(share_of_spinning(), 0.5);
    });
}

} // namespace

int main() {
    alone();
    beside_others();
    return check::result();
}
