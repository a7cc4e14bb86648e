// EEVDF: the queue against a model that looks at every thread, and against the bounds of the paper (Stoica and
// Abdel-Wahab, 1995): lag is never more than a slice, lags sum up to nothing, and nobody starves.
#include "fair_queue.hpp"

#include <deque>
#include <gtest/gtest.h>
#include <map>
#include <random>

namespace {

using namespace linnet;
using namespace linnet::core;

struct FairQueueTest : testing::Test {
    FairQueue queue;
    std::deque<Thread> threads;
    std::vector<Thread*> waiting;

    ~FairQueueTest() override {
        for (Thread* thread : waiting) queue.remove(*thread); // the trees must not outlive what is in them
    }
    Thread& make(int nice = 0, u64 slice_ns = 0) {
        Thread& made = threads.emplace_back();
        new (&made.run_queue_node) TreeNode();
        made.scheduling.nice = static_cast<i8>(nice);
        made.scheduling.runtime_ns = slice_ns;
        return made;
    }
    void join(Thread& thread, FairQueue::Arrival arrival = FairQueue::Arrival::Back) {
        queue.join(thread, arrival);
        wait(thread);
    }
    void wait(Thread& thread) {
        queue.insert(thread);
        waiting.push_back(&thread);
    }
    void take(Thread& thread) {
        queue.remove(thread);
        std::erase(waiting, &thread);
    }
    /// Lets the first run for `ns`, or to the end of its slice if that comes before.
    Thread& run(u64 ns) {
        Thread& first = *queue.first();
        take(first);
        queue.charge(first, std::min(ns, FairQueue::slice_left_ns(first)));
        wait(first);
        return first;
    }
    /// What a thread is owed, in real nanoseconds.
    double lag(const Thread& thread) const {
        return static_cast<double>(queue.average() - thread.fair.time) * thread.fair.weight / 1024;
    }
    /// Whom EEVDF names: the earliest deadline of those that are not ahead of the average.
    std::vector<const Thread*> model_choice() const {
        std::vector<const Thread*> best;
        for (const Thread* thread : waiting) {
            __int128 ahead = 0; // of the average, times the sum of weights
            for (const Thread* other : waiting)
                ahead += static_cast<__int128>(thread->fair.time - other->fair.time) * other->fair.weight;
            if (ahead > 0) continue;
            if (!best.empty() && best[0]->fair.deadline < thread->fair.deadline) continue;
            if (!best.empty() && thread->fair.deadline < best[0]->fair.deadline) best.clear();
            best.push_back(thread);
        }
        return best;
    }
};

TEST_F(FairQueueTest, WeightsAreLinuxs) {
    EXPECT_EQ(nice_weight(0), 1024u);
    EXPECT_NEAR(nice_weight(-20), 88761, 100); // sched(7): each step is a factor of about 1.25
    EXPECT_NEAR(nice_weight(19), 15, 1);
    EXPECT_EQ(nice_weight(-100), nice_weight(-20));
    EXPECT_EQ(nice_weight(100), nice_weight(19));
    for (int nice = -20; nice < 19; ++nice) EXPECT_GT(nice_weight(nice), nice_weight(nice + 1));
}

TEST_F(FairQueueTest, SharesFollowWeights) {
    std::map<Thread*, double> got;
    for (int nice : {0, 0, -5, 5}) join(make(nice));
    for (int i = 0; i < 20000; ++i) {
        Thread& first = *queue.first();
        const auto before = first.fair.time;
        run(700'000);
        got[&first] += static_cast<double>(first.fair.time - before) * first.fair.weight / 1024;
    }
    const double unit = got[&threads[0]] / 1024;
    EXPECT_NEAR(got[&threads[1]] / unit, 1024, 10);
    EXPECT_NEAR(got[&threads[2]] / unit, nice_weight(-5), nice_weight(-5) * 0.01);
    EXPECT_NEAR(got[&threads[3]] / unit, nice_weight(5), nice_weight(5) * 0.01);
}

TEST_F(FairQueueTest, ChoosesAsTheModelUnderRandomLoads) {
    std::mt19937 random(11);
    std::vector<Thread*> asleep;
    for (int i = 0; i < 24; ++i)
        asleep.push_back(&make(static_cast<int>(random() % 40) - 20, 100'000 + random() % 20'000'000));
    for (int step = 0; step < 60000; ++step) {
        const unsigned choice = random() % 6;
        if (choice == 0 && !asleep.empty()) {
            std::swap(asleep[random() % asleep.size()], asleep.back());
            join(*asleep.back());
            asleep.pop_back();
        } else if (choice == 1 && waiting.size() > 1) {
            Thread& leaves = *waiting[random() % waiting.size()];
            take(leaves);
            queue.leave(leaves);
            asleep.push_back(&leaves);
        } else if (!waiting.empty()) {
            const Thread* first = queue.first();
            const auto expected = model_choice();
            ASSERT_TRUE(std::ranges::find(expected, first) != expected.end()) << "step " << step;
            run(random() % 5'000'000);
        }
        ASSERT_EQ(queue.is_empty(), waiting.empty());
    }
}

TEST_F(FairQueueTest, LagIsAtMostASliceAndSumsToNothing) {
    constexpr u64 longest = 10'000'000;
    std::mt19937 random(3);
    for (int i = 0; i < 20; ++i)
        join(make(static_cast<int>(random() % 40) - 20, 200'000 + random() % (longest - 200'000)));
    for (int step = 0; step < 50000; ++step) {
        run(random() % longest);
        double sum = 0;
        for (const Thread* thread : waiting) {
            // Virtual time counts whole nanoseconds: a nice -20 thread's are 87 real ones long.
            ASSERT_LE(std::abs(lag(*thread)), longest + 1000) << "step " << step;
            sum += lag(*thread);
        }
        ASSERT_LT(std::abs(sum), 200'000) << "step " << step; // rounding of the average, times the weights
    }
}

TEST_F(FairQueueTest, NobodyStarves) {
    // With fifty threads of one weight nobody waits for more than all others' slices, and their lag.
    for (int i = 0; i < 50; ++i) join(make());
    std::map<Thread*, u64> since;
    u64 now = 0;
    for (int step = 0; step < 20000; ++step) {
        Thread& ran = run(1'000'000);
        now += 1'000'000;
        since[&ran] = now;
        for (Thread* thread : waiting) ASSERT_LE(now - since[thread], 2 * 50 * FairQueue::default_slice_ns);
    }
}

TEST_F(FairQueueTest, ASleeperIsOwedWhatItWasWhenItLeft) {
    Thread &sleeper = make(), &other = make();
    join(sleeper);
    join(other);
    // The other one gets two milliseconds ahead.
    take(other);
    queue.charge(other, 2'000'000);
    wait(other);
    const double owed = lag(sleeper);
    EXPECT_NEAR(owed, 1'000'000, 1000);
    take(sleeper);
    queue.leave(sleeper);
    for (int i = 0; i < 100; ++i) run(1'000'000);
    join(sleeper);
    EXPECT_NEAR(lag(sleeper), owed, 1000);
    EXPECT_EQ(queue.first(), &sleeper);
}

TEST_F(FairQueueTest, WhatASleeperOwesIsForgivenWithTime) {
    Thread &sleeper = make(), &other = make();
    join(sleeper);
    join(other);
    take(sleeper);
    queue.charge(sleeper, 2'000'000);
    queue.leave(sleeper);
    // A nap is no way to get rid of it …
    join(sleeper);
    EXPECT_NEAR(lag(sleeper), -1'000'000, 1000);
    take(sleeper);
    queue.leave(sleeper);
    // … a sleep as long as the debt is.
    for (int i = 0; i < 3; ++i) run(1'000'000);
    join(sleeper);
    EXPECT_NEAR(lag(sleeper), 0, 1000);
}

TEST_F(FairQueueTest, ANewWeightKeepsRealLag) {
    Thread &changing = make(), &other = make();
    join(changing);
    join(other);
    take(other);
    queue.charge(other, 2'000'000);
    wait(other);
    const double owed = lag(changing);
    take(changing);
    queue.leave(changing);
    changing.scheduling.nice = -10;
    join(changing);
    EXPECT_NEAR(lag(changing), owed, 2000);
    EXPECT_EQ(changing.fair.weight, nice_weight(-10));
}

TEST_F(FairQueueTest, ShorterSlicesGoFirst) {
    Thread &patient = make(0, 20'000'000), &hasty = make(0, 500'000);
    join(patient);
    join(hasty);
    EXPECT_EQ(queue.first(), &hasty);
    // The running thread keeps the CPU against its equals, and not against a shorter slice.
    Thread &running = patient, &equal = make(0, 20'000'000);
    take(running);
    join(equal);
    EXPECT_FALSE(queue.should_preempt(equal, running));
    EXPECT_TRUE(queue.should_preempt(hasty, running));
    wait(running);
}

TEST_F(FairQueueTest, IdleAndBatchNeverPreempt) {
    Thread &running = make(), &batch = make(), &idle = make();
    batch.scheduling.policy = Policy::Batch;
    idle.scheduling.policy = Policy::Idle;
    queue.join(running, FairQueue::Arrival::Back);
    queue.charge(running, 50'000'000);
    join(batch);
    join(idle);
    EXPECT_EQ(idle.fair.weight, FairQueue::idle_policy_weight);
    EXPECT_FALSE(queue.should_preempt(batch, running));
    EXPECT_FALSE(queue.should_preempt(idle, running));
    take(idle);
    EXPECT_TRUE(queue.should_preempt(batch, idle));
    wait(idle);
}

TEST_F(FairQueueTest, AYieldingThreadLetsTheOthersGoFirst) {
    Thread &one = make(), &two = make();
    join(one);
    join(two);
    Thread& first = *queue.first();
    take(first);
    queue.yield(first);
    wait(first);
    EXPECT_NE(queue.first(), &first);
}

} // namespace
