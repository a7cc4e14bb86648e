// A CPU's run queue: the order of the classes, the real-time share, turns and reservations, and its counts.
#include "run_queue.hpp"

#include <core/time.hpp>
#include <deque>
#include <gtest/gtest.h>
#include <map>
#include <random>

namespace {

using namespace linnet;
using namespace linnet::core;

constexpr u64 ms = 1'000'000;

struct RunQueueTest : testing::Test {
    RunQueue queue{3};
    Cpu owner;
    std::deque<Thread> threads;
    u64 now = 1;

    RunQueueTest() { owner.number = 3; }
    ~RunQueueTest() override {
        // The trees must not outlive what is in them.
        if (queue.running()) queue.deactivate(*queue.running(), now);
        while (Thread* next = queue.take_next(now)) queue.deactivate(*next, now);
        for (Thread& thread : threads) delete std::exchange(thread.reservation, nullptr);
    }
    Thread& make(const SchedulingAttributes& attributes = {}) {
        Thread& made = threads.emplace_back();
        new (&made.run_queue_node) TreeNode();
        made.scheduling = attributes;
        if (class_of(attributes.policy) == SchedulingClass::Realtime)
            made.urgency = Urgency::realtime(attributes.realtime_priority);
        return made;
    }
    Thread& ready(const SchedulingAttributes& attributes = {}) {
        Thread& made = make(attributes);
        wake(made);
        return made;
    }
    void wake(Thread& thread) {
        thread.goes_last = true;
        queue.activate(thread, owner, FairQueue::Arrival::Back, now);
    }
    static SchedulingAttributes fifo(u8 priority) { return {.policy = Policy::Fifo, .realtime_priority = priority}; }
    static SchedulingAttributes rr(u8 priority) {
        return {.policy = Policy::RoundRobin, .realtime_priority = priority};
    }
    /// A thread with a reservation that begins now.
    Thread& reserved(u64 runtime_ns, u64 period_ns) {
        Thread& made = make(
            {.policy = Policy::Deadline, .runtime_ns = runtime_ns, .deadline_ns = period_ns, .period_ns = period_ns});
        made.reservation = new Reservation(made, [](Timer&) {});
        made.reservation->begin(now);
        made.urgency = {.level = Urgency::deadline_level, .deadline_ns = made.reservation->deadline_ns};
        wake(made);
        return made;
    }
    /// What the owner's timer and switch do: time passes, and who has to make room does.
    Thread* run_for(u64 ns) {
        for (const u64 end = now + ns; now < end;) {
            const u64 step = std::min(end - now, queue.event_ns() > now ? queue.event_ns() - now : 1);
            now += step;
            queue.account(now);
            if (queue.should_switch(now)) switch_thread();
            queue.plan_event(now);
        }
        return queue.running();
    }
    Thread* switch_thread() {
        if (Thread* running = queue.running()) {
            queue.account(now);
            if (RunQueue::is_used_up(*running))
                queue.throttle(*running, owner, now);
            else
                queue.put_back(*running, now);
        }
        Thread* next = queue.take_next(now);
        queue.plan_event(now);
        return next;
    }
};

TEST_F(RunQueueTest, CountsAndPlaces) {
    EXPECT_EQ(queue.take_next(now), nullptr);
    EXPECT_EQ(queue.running_level(), Urgency::idle_level);
    Thread &a = ready(), &b = ready();
    EXPECT_EQ(queue.runnable(), 2u);
    EXPECT_EQ(queue.waiting(), 2u);
    EXPECT_EQ(a.cpu, &owner);
    EXPECT_EQ(a.last_cpu, 3u);
    Thread* first = switch_thread();
    EXPECT_EQ(first->place, Place::Running);
    EXPECT_EQ(queue.waiting(), 1u);
    EXPECT_EQ(queue.runnable(), 2u);
    now += ms;
    queue.account(now);
    queue.deactivate(*first, now);
    EXPECT_EQ(first->place, Place::Away);
    EXPECT_EQ(queue.runnable(), 1u);
    EXPECT_EQ(queue.take_next(now), first == &a ? &b : &a);
    EXPECT_EQ((first == &a ? b : a).waited_ticks.load(), ms);
}

TEST_F(RunQueueTest, ClassesInOrder) {
    Thread &fair = ready(), &low = ready(fifo(1)), &high = ready(fifo(99)), &late = reserved(10 * ms, 900 * ms),
           &early = reserved(10 * ms, 100 * ms);
    EXPECT_EQ(queue.waiting_level(), Urgency::deadline_level);
    EXPECT_TRUE(RunQueue::cpus_with_urgent_waiting() & (1u << 3));
    for (Thread* expected : {&early, &late, &high, &low, &fair}) {
        Thread* next = queue.take_next(now);
        EXPECT_EQ(next, expected);
        queue.deactivate(*next, now);
    }
    EXPECT_EQ(queue.take_next(now), nullptr);
    EXPECT_FALSE(RunQueue::cpus_with_urgent_waiting() & (1u << 3));
}

TEST_F(RunQueueTest, FifoRunsOnAndIsPreemptedInPlace) {
    Thread &first = ready(fifo(5)), &second = ready(fifo(5));
    EXPECT_EQ(switch_thread(), &first);
    EXPECT_EQ(run_for(500 * ms), &first);
    Thread& urgent = ready(fifo(6));
    EXPECT_TRUE(queue.should_preempt(urgent, now));
    EXPECT_EQ(switch_thread(), &urgent);
    queue.deactivate(urgent, now);
    EXPECT_EQ(queue.take_next(now), &first); // preempted, it stays the first of its list
    queue.yield(now);
    EXPECT_EQ(switch_thread(), &second);
    Thread& equal = ready(fifo(5));
    EXPECT_FALSE(queue.should_preempt(equal, now));
}

TEST_F(RunQueueTest, RoundRobinTakesTurns) {
    ready(rr(5)), ready(rr(5)), ready(rr(5));
    switch_thread();
    std::map<Thread*, u64> got;
    for (int i = 0; i < 90; ++i) got[run_for(10 * ms)] += 1;
    // One period's share for all of them: 950 ms; nobody else waits, so they have it all.
    for (Thread& thread : threads) EXPECT_NEAR(static_cast<double>(got[&thread]), 30, 1);
}

TEST_F(RunQueueTest, RealtimeThreadsLeaveAShareToFairOnes) {
    Thread &greedy = ready(fifo(50)), &fair = ready();
    switch_thread();
    std::map<Thread*, u64> got;
    for (int i = 0; i < 4000; ++i) got[run_for(ms)] += 1;
    EXPECT_NEAR(static_cast<double>(got[&fair]), 200, 8); // 5 % of four seconds
    EXPECT_NEAR(static_cast<double>(got[&greedy]), 3800, 8);
}

TEST_F(RunQueueTest, AnAlarmRingsOnceAfterSoMuchRealtime) {
    Thread& thread = ready(fifo(5));
    thread.realtime_alarm_ns = 30 * ms;
    switch_thread();
    run_for(29 * ms);
    EXPECT_EQ(thread.pending_work.load(), 0u);
    run_for(2 * ms);
    EXPECT_EQ(thread.pending_work.exchange(0), work_notify);
    EXPECT_EQ(thread.realtime_alarm_ns, ~u64{0});
}

TEST_F(RunQueueTest, AReservationIsNeverExceeded) {
    Thread &server = reserved(3 * ms, 10 * ms), &fair = ready();
    switch_thread();
    u64 got = 0;
    for (int i = 0; i < 10000; ++i) {
        if (server.place == Place::Throttled && server.reservation->Timer::deadline_ns <= now) {
            server.place = Place::Away;
            server.reservation->replenish(now);
            server.urgency.deadline_ns = server.reservation->deadline_ns;
            wake(server);
            EXPECT_TRUE(queue.should_preempt(server, now));
            switch_thread();
        }
        if (run_for(ms / 10) == &server) ++got;
    }
    EXPECT_NEAR(static_cast<double>(got) / 10000, 0.3, 0.02);
    EXPECT_EQ(fair.place == Place::Running, server.place != Place::Running);
}

TEST_F(RunQueueTest, WhatIsOverIsPlannedForNow) {
    // Another CPU that queues a thread charges the running one, and plans anew, at the moment when its timer is due.
    Thread& server = reserved(3 * ms, 10 * ms);
    ASSERT_EQ(switch_thread(), &server);
    now += 4 * ms;
    queue.account(now);
    ASSERT_TRUE(RunQueue::is_used_up(server));
    queue.plan_event(now);
    EXPECT_LE(queue.event_ns(), now);
    // Who runs with inherited urgency goes on: nothing is to be done at any time.
    server.inherited = server.urgency = Urgency::realtime(5);
    queue.plan_event(now);
    EXPECT_EQ(queue.event_ns(), RunQueue::no_event);
    queue.deactivate(server, now);

    Thread &turn = ready(rr(5)), &next = ready(rr(5));
    ASSERT_EQ(switch_thread(), &turn);
    now += 100 * ms;
    queue.account(now);
    ASSERT_TRUE(queue.should_switch(now));
    queue.plan_event(now);
    EXPECT_LE(queue.event_ns(), now);
    EXPECT_EQ(switch_thread(), &next);
}

TEST(Reservation, ASleeperGetsNoMoreThanItsShare) {
    // Wakes and sleeps at random: in the long run no more than runtime / period.
    std::mt19937 random(7);
    Thread thread;
    thread.scheduling = {
        .policy = Policy::Deadline, .runtime_ns = 2 * ms, .deadline_ns = 10 * ms, .period_ns = 10 * ms};
    Reservation reservation(thread, [](Timer&) {});
    u64 now = 1, got = 0;
    reservation.begin(now);
    for (int i = 0; i < 100000; ++i) {
        reservation.wake(now);
        if (reservation.is_used_up()) {
            now = std::max(now, reservation.next_period_ns());
            reservation.replenish(now);
        }
        ASSERT_GT(reservation.left_ns, 0);
        ASSERT_LE(reservation.left_ns, static_cast<i64>(2 * ms));
        ASSERT_GT(reservation.deadline_ns, now);
        const u64 ran = random() % (2 * ms);
        now += ran, got += std::min(ran, static_cast<u64>(reservation.left_ns));
        reservation.left_ns -= static_cast<i64>(ran);
        now += random() % (ms / 2);
    }
    EXPECT_LE(static_cast<double>(got) / static_cast<double>(now), 0.21);
}

TEST(Reservation, ReclaimsWhatOthersDoNotUse) {
    Thread thread, other;
    thread.scheduling = {.policy = Policy::Deadline,
                         .reclaims = true,
                         .runtime_ns = 1 * ms,
                         .deadline_ns = 10 * ms,
                         .period_ns = 10 * ms};
    Reservation reservation(thread, [](Timer&) {}), others(other, [](Timer&) {});
    constexpr u64 one = Reservation::one_cpu, usable = one * 19 / 20;
    reservation.bandwidth = one / 10, others.bandwidth = one * 3;
    const auto pace = [&](u64 cpus) { return static_cast<double>(reservation.pace(cpus, usable)) / one; };
    reservation.set_active(true);
    EXPECT_NEAR(pace(4), 0.1 / 0.95, 0.001); // never slower: it would get more than may be reserved
    others.set_active(true);
    others.set_active(true); // counts once
    EXPECT_NEAR(pace(4), 3.1 / 4 / 0.95, 0.001);
    EXPECT_EQ(pace(1), 1); // never faster than time goes by
    others.set_active(false);
    EXPECT_NEAR(pace(1), 0.1 / 0.95, 0.001);
    thread.scheduling.reclaims = false;
    EXPECT_EQ(pace(1), 1);
    reservation.set_active(false);
    EXPECT_EQ(Reservation::active, 0U);
}

TEST(Reservation, KeepsItsBandwidthUntilItHasNoLag) {
    Thread thread;
    thread.scheduling = {.policy = Policy::Deadline, .runtime_ns = 2 * ms, .deadline_ns = 5 * ms, .period_ns = 10 * ms};
    Reservation reservation(thread, [](Timer&) {});
    reservation.begin(100 * ms);
    EXPECT_EQ(reservation.zero_lag_ns(), 95 * ms);
    reservation.left_ns = 0;
    EXPECT_EQ(reservation.zero_lag_ns(), 105 * ms);
    reservation.left_ns = -static_cast<i64>(ms); // owed to the next period
    EXPECT_EQ(reservation.zero_lag_ns(), 110 * ms);
    reservation.left_ns = 50 * ms; // more than time has gone by
    EXPECT_EQ(reservation.zero_lag_ns(), 0U);
}

TEST(Reservation, OneThatYieldedWaitsForItsPeriod) {
    Thread thread;
    thread.scheduling = {.policy = Policy::Deadline, .runtime_ns = 2 * ms, .deadline_ns = 5 * ms, .period_ns = 10 * ms};
    Reservation reservation(thread, [](Timer&) {});
    reservation.begin(1000);
    reservation.must_wait = true;
    EXPECT_TRUE(reservation.is_used_up());
    EXPECT_EQ(reservation.next_period_ns(), 1000 + 10 * ms);
    reservation.replenish(reservation.next_period_ns());
    EXPECT_EQ(reservation.left_ns, static_cast<i64>(2 * ms));
    EXPECT_EQ(reservation.deadline_ns, 1000 + 15 * ms);
    // Its deadline over, the period not: it waits.
    reservation.wake(1000 + 16 * ms);
    EXPECT_TRUE(reservation.is_used_up());
}

TEST_F(RunQueueTest, WaitersForOtherCpus) {
    Thread &bound = ready(), &free = ready(), &urgent = ready(fifo(3));
    bound.affinity = urgent.affinity = CpuMask(1u << 3);
    EXPECT_EQ(queue.fair_waiter_for(0), &free);
    queue.deactivate(free, now);
    EXPECT_EQ(queue.fair_waiter_for(0), nullptr);
    EXPECT_EQ(queue.fair_waiter_for(3), &bound);
    EXPECT_EQ(queue.urgent_waiter_for(0), nullptr);
    EXPECT_EQ(queue.urgent_waiter_for(3), &urgent);
}

TEST_F(RunQueueTest, RandomWorkKeepsCounts) {
    std::mt19937 random(5);
    std::vector<Thread*> asleep;
    for (int i = 0; i < 60; ++i) {
        const unsigned kind = random() % 4;
        asleep.push_back(&make(kind == 0   ? fifo(static_cast<u8>(1 + random() % 99))
                               : kind == 1 ? rr(static_cast<u8>(1 + random() % 99))
                                           : SchedulingAttributes{.nice = static_cast<i8>(random() % 40 - 20)}));
    }
    usize active = 0;
    for (int step = 0; step < 100000; ++step) {
        now += random() % (2 * ms);
        queue.account(now);
        const unsigned choice = random() % 4;
        if (choice == 0 && !asleep.empty()) {
            std::swap(asleep[random() % asleep.size()], asleep.back());
            wake(*asleep.back());
            if (queue.should_preempt(*asleep.back(), now)) switch_thread();
            asleep.pop_back();
            ++active;
        } else if (choice == 1 && queue.running()) {
            Thread* running = queue.running();
            queue.deactivate(*running, now);
            asleep.push_back(running);
            queue.take_next(now);
            --active;
        } else if (choice == 2 && queue.waiting() > 0) {
            Thread* stolen = queue.fair_waiter_for(7);
            if (!stolen) stolen = queue.urgent_waiter_for(7);
            ASSERT_TRUE(stolen);
            queue.deactivate(*stolen, now);
            asleep.push_back(stolen);
            --active;
        } else if (queue.should_switch(now)) {
            switch_thread();
        }
        ASSERT_EQ(queue.runnable(), active);
        ASSERT_EQ(queue.waiting(), active - (queue.running() ? 1 : 0));
    }
}

} // namespace
