// No clock steps back from one processor to another, by call or by vDSO, while adjtimex changes the rate: four threads
// read, each on its own processor, and compare with the latest that anybody has read before. Three seconds, or with
// --long five minutes.
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/timex.h>

#include "affinity.hpp"
#include "asleep.hpp"
#include "memory.hpp"

using namespace check;

namespace {

constexpr clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,       CLOCK_MONOTONIC_COARSE,
                                CLOCK_REALTIME,  CLOCK_TAI,           CLOCK_REALTIME_COARSE};
constexpr int count = sizeof clocks / sizeof *clocks;

std::atomic<int64_t> newest[count][2]; // by call, by vDSO
std::atomic<long> backwards[count][2], readings;
std::atomic<bool> over;
bool left_out[count];

int64_t read_clock(clockid_t clock, int by) {
    timespec time;
    if (by == 0)
        syscall(SYS_clock_gettime, clock, &time);
    else
        clock_gettime(clock, &time);
    return int64_t(time.tv_sec) * 1000000000 + time.tv_nsec;
}

void look(int clock, int by) {
    std::atomic<int64_t>& latest = newest[clock][by];
    const int64_t seen = latest.load();
    const int64_t now = read_clock(clocks[clock], by);
    if (now < seen) backwards[clock][by]++;
    int64_t previous = latest.load();
    while (previous < now && !latest.compare_exchange_weak(previous, now)) {
    }
}

void* read_all(void* argument) {
    stay_on(int(long(argument)));
    while (!over) {
        for (int clock = 0; clock < count; ++clock) {
            if (left_out[clock]) continue;
            for (int i = 0; i < 8; ++i) look(clock, i & 1);
        }
        readings++;
    }
    return nullptr;
}

/// Tick and frequency over their whole range: 9 % slower, 11 % faster …
void change_rate(int step) {
    timex values = {};
    values.modes = ADJ_TICK | ADJ_FREQUENCY;
    values.tick = step % 2 ? 9000 + step * 7 % 500 : 11000 - step * 13 % 500;
    values.freq = (step % 1000 - 500) * 65536L;
    CHECK_OK(syscall(SYS_adjtimex, &values));
}

} // namespace

int main() {
    // Until Linux 6.15 the clocks that only follow its ticks stepped back when the rate changed.
    for (int clock = 0; clock < count; ++clock) {
        timespec resolution;
        CHECK_OK(clock_getres(clocks[clock], &resolution));
        left_out[clock] = resolution.tv_nsec > 1000;
    }
    pthread_t threads[4];
    for (long i = 0; i < 4; ++i) pthread_create(&threads[i], nullptr, read_all, reinterpret_cast<void*>(i));
    const int64_t end = read_clock(CLOCK_MONOTONIC_RAW, 0) + (memory::long_run() ? 300 : 3) * int64_t(1000000000);
    for (int step = 0; read_clock(CLOCK_MONOTONIC_RAW, 0) < end; ++step) {
        change_rate(step);
        nap();
    }
    over = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    timex values = {};
    values.modes = ADJ_TICK | ADJ_FREQUENCY;
    values.tick = 10000;
    CHECK_OK(syscall(SYS_adjtimex, &values));
    for (int clock = 0; clock < count; ++clock)
        for (int by = 0; by < 2; ++by)
            if (!CHECK_EQ(backwards[clock][by].load(), 0))
                printf("clock %d by %s\n", clocks[clock], by ? "vDSO" : "call");
    CHECK_GT(readings.load(), 10);
    return result();
}
