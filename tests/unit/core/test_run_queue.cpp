// The scheduler's run queue: the order in which threads run, their shares by nice value, what a sleeper gets back, and
// stealing. Time is a number that the test moves (test_concurrent.cpp defines the clock).
#include "run_queue.hpp"

#include <core/time.hpp>
#include <gtest/gtest.h>

namespace {

using namespace linnet;
using namespace linnet::core;

struct RunQueueTest : testing::Test {
    RunQueue queue;
    Cpu owner;
    std::deque<Thread> threads;
    u64 now = 0;

    RunQueueTest() { owner.number = 3; }
    ~RunQueueTest() override {
        while (queue.take_next()) {
        } // the tree must not outlive what is in it
    }
    Thread& thread(int nice = 0) {
        Thread& made = threads.emplace_back();
        made.nice = static_cast<i8>(nice);
        new (&made.run_queue_node) TreeNode();
        return made;
    }
    Thread& ready(int nice = 0) {
        Thread& made = thread(nice);
        queue.activate(made, owner);
        return made;
    }
    /// Lets the next thread run for `ns` and puts it back.
    Thread& run(u64 ns) {
        Thread& next = *queue.take_next();
        next.run_clock.start(now);
        now += ns;
        queue.charge(next, now);
        queue.put_back(next);
        return next;
    }
};

TEST_F(RunQueueTest, WeightsAreLinuxs) {
    EXPECT_EQ(nice_weight(0), 1024u);
    EXPECT_NEAR(nice_weight(-20), 88761, 100); // sched(7): each step is a factor of about 1.25
    EXPECT_NEAR(nice_weight(19), 15, 1);
    EXPECT_EQ(nice_weight(-100), nice_weight(-20));
    EXPECT_EQ(nice_weight(100), nice_weight(19));
    for (int nice = -20; nice < 19; ++nice) EXPECT_GT(nice_weight(nice), nice_weight(nice + 1));
}

TEST_F(RunQueueTest, CountsAndOrder) {
    EXPECT_EQ(queue.take_next(), nullptr);
    Thread &a = ready(), &b = ready();
    EXPECT_EQ(queue.runnable(), 2u);
    EXPECT_EQ(queue.waiting(), 2u);
    EXPECT_EQ(a.cpu, &owner);
    EXPECT_EQ(a.last_cpu, 3u);
    Thread* first = queue.take_next();
    EXPECT_EQ(queue.waiting(), 1u);
    EXPECT_EQ(queue.runnable(), 2u);
    first->run_clock.start(0);
    queue.charge(*first, 1000);
    queue.put_back(*first);
    Thread* second = queue.take_next();
    EXPECT_NE(first, second); // the one that has run waits behind the other
    queue.deactivate(*second);
    EXPECT_FALSE(second->is_active);
    EXPECT_EQ(queue.runnable(), 1u);
    EXPECT_EQ(queue.take_next(), first);
    EXPECT_TRUE((first == &a && second == &b) || (first == &b && second == &a));
}

TEST_F(RunQueueTest, SharesFollowWeights) {
    Thread &normal = ready(0), &other = ready(0), &favoured = ready(-5), &modest = ready(5);
    std::map<Thread*, u64> got;
    for (int i = 0; i < 20000; ++i) got[&run(100'000)] += 100'000;
    double unit = static_cast<double>(got[&normal]) / 1024;
    EXPECT_NEAR(static_cast<double>(got[&other]) / unit, 1024, 20);
    EXPECT_NEAR(static_cast<double>(got[&favoured]) / unit, nice_weight(-5), nice_weight(-5) * 0.05);
    EXPECT_NEAR(static_cast<double>(got[&modest]) / unit, nice_weight(5), nice_weight(5) * 0.05);
}

TEST_F(RunQueueTest, ASleeperGetsHalfASliceAndNoMore) {
    Thread& sleeper = thread();
    ready();
    for (int i = 0; i < 1000; ++i) run(1'000'000);
    u64 others = queue.take_next()->virtual_runtime;
    queue.activate(sleeper, owner);
    EXPECT_LE(sleeper.virtual_runtime, others);
    EXPECT_GE(sleeper.virtual_runtime + RunQueue::slice_ns, others);
    // Nor does one that comes from a queue whose time is far ahead wait for ever.
    Thread& stranger = thread();
    stranger.virtual_runtime = ~u64{0} / 2;
    queue.activate(stranger, owner);
    EXPECT_LE(stranger.virtual_runtime, others + 11 * RunQueue::slice_ns);
}

TEST_F(RunQueueTest, Preemption) {
    Thread &current = thread(), &woken = thread();
    current.virtual_runtime = woken.virtual_runtime = 10'000'000;
    current.run_clock.start(0);
    EXPECT_FALSE(queue.should_preempt(woken, current, 100'000));
    EXPECT_TRUE(queue.should_preempt(woken, current, RunQueue::slice_ns));
    woken.virtual_runtime = 0;
    EXPECT_TRUE(queue.should_preempt(woken, current, 0));
}

TEST_F(RunQueueTest, SlicesEndOnlyWhenSomebodyWaits) {
    queue.start_slice(100);
    EXPECT_EQ(queue.slice_deadline_ns(), ~u64{0});
    ready();
    queue.start_slice(100);
    EXPECT_EQ(queue.slice_deadline_ns(), 100 + RunQueue::slice_ns);
    current_thread().pending_work.store(0);
    queue.tick(99 + RunQueue::slice_ns);
    EXPECT_EQ(current_thread().pending_work.load(), 0u);
    queue.tick(100 + RunQueue::slice_ns);
    EXPECT_EQ(current_thread().pending_work.exchange(0), work_reschedule);
}

TEST_F(RunQueueTest, StealingTakesWhoMay) {
    Thread &bound = ready(), &free = ready();
    bound.affinity = CpuMask(1u << 3);
    EXPECT_EQ(queue.steal_for(0), &free);
    EXPECT_FALSE(free.is_active);
    EXPECT_EQ(queue.runnable(), 1u);
    EXPECT_EQ(queue.steal_for(0), nullptr);
    EXPECT_EQ(queue.steal_for(3), &bound);
    EXPECT_EQ(queue.waiting(), 0u);
}

TEST_F(RunQueueTest, RandomWorkKeepsCountsAndStarvesNobody) {
    std::mt19937 random(5);
    std::vector<Thread*> sleeping, waiting;
    for (int i = 0; i < 50; ++i) sleeping.push_back(&thread(static_cast<int>(random() % 40) - 20));
    std::map<Thread*, int> passed_over;
    for (int step = 0; step < 50000; ++step) {
        unsigned choice = random() % 8;
        if (choice == 0 && !sleeping.empty()) {
            std::swap(sleeping[random() % sleeping.size()], sleeping.back());
            queue.activate(*sleeping.back(), owner);
            waiting.push_back(sleeping.back());
            sleeping.pop_back();
        } else if (choice == 1 && !waiting.empty()) {
            Thread* stolen = queue.steal_for(random() % 64);
            ASSERT_TRUE(stolen);
            std::erase(waiting, stolen);
            sleeping.push_back(stolen);
        } else if (!waiting.empty()) {
            Thread& ran = run(random() % 5'000'000);
            for (Thread* other : waiting) ++passed_over[other];
            passed_over[&ran] = 0;
            if (random() % 8 == 0) {
                Thread* next = queue.take_next();
                queue.deactivate(*next);
                std::erase(waiting, next);
                sleeping.push_back(next);
            }
        }
        ASSERT_EQ(queue.waiting(), waiting.size());
        ASSERT_EQ(queue.runnable(), waiting.size());
    }
    while (Thread* next = queue.take_next()) std::erase(waiting, next);
    EXPECT_TRUE(waiting.empty());
    // Nice 19 beside nice -20 is one in six thousand.
    for (auto& [thread, times] : passed_over) EXPECT_LT(times, 50000) << static_cast<int>(thread->nice);
}

} // namespace
