// Several threads move others about at once by sched_setaffinity(2), while these compute, make calls, yield and sleep:
// each is still executed by one CPU at a time, and ends up where it may be.
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <check.hpp>
#include <random>
#include <thread>
#include <vector>

namespace {

constexpr int moved_count = 4, mover_count = 4;
std::atomic<bool> stop{false};

cpu_set_t all;
std::vector<int> cpus;

struct Moved {
    std::atomic<pid_t> tid{0};
    std::atomic<int> inside{0}; // how often it is executed at this moment
    std::atomic<long> rounds{0}, wrong{0};
};
Moved moved[moved_count];

void run(Moved& self, int kind) {
    self.tid = gettid();
    volatile long private_count = 0;
    long rounds = 0;
    for (; !stop; ++rounds) {
        if (self.inside.fetch_add(1) != 0) ++self.wrong;
        for (int i = 0; i < 200; ++i) private_count = private_count + 1;
        if (self.inside.fetch_sub(1) != 1) ++self.wrong;
        // Moved while it computes, in a call, while it waits for its turn, and asleep.
        if (kind == 1) getppid();
        if (kind == 2) sched_yield();
        if (timespec brief = {0, 20'000}; kind == 3) nanosleep(&brief, nullptr);
    }
    if (private_count != rounds * 200) ++self.wrong;
    self.rounds = rounds;
}

void move_about(unsigned seed, int rounds) {
    std::minstd_rand random(seed);
    for (int i = 0; i < rounds; ++i) {
        Moved& who = moved[random() % moved_count];
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpus[random() % cpus.size()], &one);
        if (random() % 4 == 0) CPU_SET(cpus[random() % cpus.size()], &one);
        if (pid_t tid = who.tid) CHECK_EQ(sched_setaffinity(tid, sizeof one, &one), 0);
    }
}

} // namespace

int main() {
    CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &all)) cpus.push_back(cpu);
    std::vector<std::thread> targets, movers;
    for (int i = 0; i < moved_count; ++i) targets.emplace_back(run, std::ref(moved[i]), i);
    const int rounds = getenv("LINNET_LONG") ? 200'000 : 5'000;
    for (unsigned i = 0; i < mover_count; ++i) movers.emplace_back(move_about, i + 1, rounds);
    for (std::thread& mover : movers) mover.join();
    // Whoever was moved last decides.
    for (Moved& who : moved) {
        cpu_set_t one, now;
        CPU_ZERO(&one);
        CPU_SET(cpus.back(), &one);
        CHECK_EQ(sched_setaffinity(who.tid, sizeof one, &one), 0);
        CHECK_EQ(sched_getaffinity(who.tid, sizeof now, &now), 0);
        CHECK(CPU_EQUAL(&one, &now));
    }
    stop = true;
    for (std::thread& target : targets) target.join();
    for (const Moved& who : moved) {
        CHECK_EQ(who.wrong.load(), 0);
        CHECK_GT(who.rounds.load(), 0);
    }
    return check::result();
}
