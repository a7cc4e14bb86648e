// Run queues used by several CPUs at once, with the locks that run_queue.hpp asks for: no thread is lost or runs twice.
#include "run_queue.hpp"
#include "threads.hpp"

#include <gtest/gtest.h>
#include <random>

namespace {

using namespace linnet;
using namespace linnet::core;

TEST(ConcurrentRunQueues, ThreadsAreStolenAndWokenButNeverLost) {
    constexpr unsigned threads_each = 12;
    static RunQueue queues[test::thread_count];
    static Cpu owners[test::thread_count];
    std::vector<std::unique_ptr<Thread>> threads;
    for (unsigned i = 0; i < test::thread_count; ++i) {
        owners[i].number = i;
        for (unsigned k = 0; k < threads_each; ++k) {
            threads.push_back(std::make_unique<Thread>());
            new (&threads.back()->run_queue_node) TreeNode();
            InterruptSpinGuard guard(queues[i].lock);
            queues[i].activate(*threads.back(), owners[i], FairQueue::Arrival::Fresh, 0);
        }
    }
    test::on_threads([](unsigned self) {
        std::mt19937 random(self);
        RunQueue& mine = queues[self];
        for (u64 now = 1; now < 20000; ++now) {
            Thread* next = nullptr;
            {
                InterruptSpinGuard guard(mine.lock);
                next = mine.take_next(now);
            }
            if (!next) {
                const unsigned whose = random() % test::thread_count;
                if (whose == self) continue;
                InterruptSpinGuard low(queues[std::min(self, whose)].lock);
                InterruptSpinGuard high(queues[std::max(self, whose)].lock);
                if (Thread* stolen = queues[whose].fair_waiter_for(self)) {
                    queues[whose].deactivate(*stolen, now);
                    mine.activate(*stolen, owners[self], FairQueue::Arrival::Back, now);
                }
                continue;
            }
            ASSERT_FALSE(next->on_cpu.exchange(true)); // it runs nowhere else
            next->on_cpu.store(false);
            InterruptSpinGuard guard(mine.lock);
            mine.account(now + random() % 1000);
            if (random() % 16) {
                mine.put_back(*next, now);
                continue;
            }
            mine.deactivate(*next, now);
            guard.unlock();
            // Somebody else wakes it up.
            unsigned target = random() % test::thread_count;
            InterruptSpinGuard other(queues[target].lock);
            queues[target].activate(*next, owners[target], FairQueue::Arrival::Back, now);
        }
    });
    usize found = 0;
    for (auto& queue : queues) {
        EXPECT_EQ(queue.runnable(), queue.waiting());
        while (Thread* next = queue.take_next(0)) queue.deactivate(*next, 0), ++found;
    }
    EXPECT_EQ(found, threads.size());
}

} // namespace
