// The timer queues against a model, with random operations on several CPUs and from within callbacks; and used by
// several host threads at once: each arming ends once, by ringing or by being taken back.
#include "timer_machine.hpp"

#include <arch/hooks.hpp>
#include <core/sched.hpp>
#include <core/timer.hpp>
#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <random>

#include "threads.hpp"

namespace {

using namespace linnet;
using namespace linnet::core;
using test::timer_cpus;

constexpr unsigned timer_count = 40;

/// A timer and what it does when it rings.
struct Bell : Timer {
    explicit Bell(unsigned index);
    unsigned number;
};

/// What the queues must do, in the simplest words: one ordered map a CPU; equal deadlines ring in the order of arming.
struct Model {
    using Place = std::pair<u64, u64>; // deadline, sequence
    std::map<Place, unsigned> queues[timer_cpus];
    struct {
        u32 cpu;
        Place place;
        bool armed = false;
    } timers[timer_count];
    u64 sequence = 0;

    void arm(unsigned timer, u32 cpu, u64 deadline) {
        cancel(timer);
        timers[timer] = {cpu, {deadline, sequence++}, true};
        queues[cpu][timers[timer].place] = timer;
    }
    bool cancel(unsigned timer) {
        if (!timers[timer].armed) return false;
        queues[timers[timer].cpu].erase(timers[timer].place);
        timers[timer].armed = false;
        return true;
    }
    u64 first(u32 cpu) const { return queues[cpu].empty() ? ~u64{0} : queues[cpu].begin()->first.first; }
};

struct World {
    World() {
        test::prepare_timers();
        for (unsigned i = 0; i < timer_count; ++i) bells.push_back(std::make_unique<Bell>(i));
    }
    ~World() {
        for (auto& bell : bells) cancel_timer(*bell);
    }
    void on(u32 number) { test::run_as_cpu(cpu = number); }
    u64 some_deadline() {
        // Past, now, near, equal to others, far.
        switch (random() % 5) {
        case 0:
            return test::clock_now - std::min<u64>(test::clock_now, random() % 100);
        case 1:
            return test::clock_now + random() % 3;
        case 2:
            return test::clock_now + 1 + random() % 50 * 10;
        case 3:
            return test::clock_now + random() % 100000;
        default:
            return random() % 50 == 0 ? ~u64{0} - random() % 5 : test::clock_now + random() % 1000;
        }
    }
    void arm(unsigned timer) {
        const u64 deadline = some_deadline();
        model.arm(timer, cpu, deadline);
        arm_timer(*bells[timer], deadline);
    }
    void cancel(unsigned timer) {
        const bool expected = model.cancel(timer);
        EXPECT_EQ(random() % 2 ? cancel_timer(*bells[timer]) : cancel_timer_sync(*bells[timer]), expected);
    }
    void rings(Bell& bell) {
        ++rung;
        ASSERT_FALSE(model.queues[cpu].empty());
        const auto first = model.queues[cpu].begin();
        EXPECT_EQ(first->second, bell.number);
        EXPECT_LE(first->first.first, test::clock_now);
        EXPECT_TRUE(bell.running);
        model.cancel(bell.number);
        // What callbacks do: begin anew, arm and take back others. Not for ever within one interrupt.
        if (random() % 4 == 0 && in_interrupt++ < 50) arm(bell.number);
        if (random() % 4 == 0 && in_interrupt++ < 50) arm(random() % timer_count);
        if (const unsigned other = random() % timer_count; random() % 4 == 0 && other != bell.number) cancel(other);
    }
    void interrupt() {
        in_interrupt = 0;
        test::programmed[cpu] = ~u64{0};
        hooks::timer_interrupt();
        EXPECT_GT(model.first(cpu), test::clock_now);
    }
    /// Whatever happened, each CPU is woken no later than its first timer is due.
    void check() {
        for (u32 i = 0; i < timer_cpus; ++i) EXPECT_LE(test::programmed[i], model.first(i));
        for (unsigned i = 0; i < timer_count; ++i)
            EXPECT_EQ(bells[i]->queued_on, model.timers[i].armed ? model.timers[i].cpu : ~0u);
    }

    std::mt19937_64 random{4711};
    std::vector<std::unique_ptr<Bell>> bells;
    Model model;
    u32 cpu = 0;
    unsigned in_interrupt = 0;
    u64 rung = 0;
};
World* world;

Bell::Bell(unsigned index) : Timer([](Timer& timer) { world->rings(static_cast<Bell&>(timer)); }), number(index) {
    new (&node) TreeNode();
}

TEST(TimerQueue, AgreesWithTheModel) {
    World here;
    world = &here;
    for (u32 i = 0; i < timer_cpus; ++i) test::programmed[i] = ~u64{0};
    for (unsigned step = 0; step < 200'000 && !testing::Test::HasFailure(); ++step) {
        here.on(here.random() % timer_cpus);
        switch (here.random() % 6) {
        case 0:
        case 1:
            here.arm(here.random() % timer_count);
            break;
        case 2:
            here.cancel(here.random() % timer_count);
            break;
        case 3: // as the hardware does it: when the programmed time has come
            if (const u64 due = test::programmed[here.cpu]; due < ~u64{0} - 10) {
                test::clock_now = std::max<u64>(test::clock_now, due);
                here.interrupt();
            }
            break;
        case 4:
            test::clock_now += here.random() % 200;
            here.interrupt();
            break;
        default:
            test::clock_now += here.random() % 20;
            break;
        }
        here.check();
    }
    EXPECT_GT(here.rung, 10'000u);
    test::run_as_cpu(0);
}

TEST(TimerQueue, RingsThoseOfOneDeadlineInTheOrderOfArming) {
    World here;
    world = &here;
    here.on(2);
    const u64 deadline = test::clock_now + 5;
    for (unsigned i = 0; i < timer_count; ++i) {
        here.model.arm(timer_count - 1 - i, 2, deadline);
        arm_timer(*here.bells[timer_count - 1 - i], deadline);
    }
    test::clock_now += 5;
    here.interrupt();
    EXPECT_GE(here.rung, timer_count / 2);
    test::run_as_cpu(0);
}

/// Each arming has one end; a timer that cancel_timer_sync() has taken back does not ring behind it.
TEST(TimerQueue, NoArmingIsLostBetweenProcessors) {
    test::prepare_timers();
    struct Shared : Timer {
        Shared() : Timer([](Timer& timer) { static_cast<Shared&>(timer).ring(); }) { new (&node) TreeNode(); }
        void ring() {
            ++rung;
            EXPECT_FALSE(is_quiet.load());
        }
        std::mutex owner; // calls for one timer must not overlap
        std::atomic<u64> armed{0}, rung{0}, cancelled{0};
        std::atomic<bool> is_quiet{true};
    };
    static Shared timers[8];
    test::on_threads([](unsigned self) {
        test::run_as_cpu(self);
        std::mt19937 random(self);
        for (unsigned step = 0; step < 20'000; ++step) {
            Shared& timer = timers[random() % std::size(timers)];
            if (std::unique_lock guard(timer.owner, std::try_to_lock); guard) {
                timer.cancelled += cancel_timer_sync(timer);
                timer.is_quiet = true;
                EXPECT_EQ(timer.armed.load(), timer.rung.load() + timer.cancelled.load());
                if (random() % 4 != 0) {
                    timer.is_quiet = false;
                    ++timer.armed;
                    arm_timer(timer, test::clock_now + random() % 20);
                }
            }
            test::clock_now += random() % 5;
            if (random() % 3 == 0) hooks::timer_interrupt();
        }
    });
    for (Shared& timer : timers) {
        timer.cancelled += cancel_timer_sync(timer);
        EXPECT_EQ(timer.armed.load(), timer.rung.load() + timer.cancelled.load());
        EXPECT_GT(timer.rung.load(), 0u);
    }
}

} // namespace
