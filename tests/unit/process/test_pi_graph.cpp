// Chains of priority inheritance against a model that knows only who holds what and who waits for what: after every
// step it computes all urgencies from nothing, and says which attempt is a deadlock.
#include "pi_graph.hpp"

#include <gtest/gtest.h>
#include <list>
#include <memory>
#include <random>
#include <vector>

namespace {

using namespace linnet;
using namespace linnet::process;
using core::Urgency;

struct Task {
    PiStateOf<Task> pi;
    Urgency own;
    Urgency urgency; // own, or inherited
};
void set_inherited_urgency(Task& task, Urgency inherited) { task.urgency = std::min(task.own, inherited); }

using Graph = PiGraph<Task>;

/// Locks and tasks by number. A lock enters the graph when somebody waits for it, as in the kernel.
class World {
public:
    World(usize tasks, usize locks) : tasks_(tasks), waiters_(tasks), locks_(locks), holder_(locks, nobody) {}
    ~World() {
        for (usize task = 0; task < tasks_.size(); ++task)
            if (is_waiting(task)) give_up(task);
    }
    static constexpr usize nobody = ~usize{0};

    [[nodiscard]] bool is_waiting(usize task) const { return waiters_[task] != nullptr; }
    [[nodiscard]] usize holder(usize lock) const { return holder_[lock]; }
    [[nodiscard]] Urgency urgency(usize task) const { return tasks_[task].urgency; }

    /// Takes the lock or waits for it; false for a deadlock.
    bool lock(usize task, usize lock) {
        if (holder_[lock] == nobody) {
            holder_[lock] = task;
            return true;
        }
        const bool expects_deadlock = leads_to(holder_[lock], task);
        if (holder_[lock] == task) return !expects_deadlock; // the word says so: the graph isn't asked
        if (locks_[lock].waiters.empty()) Graph::set_owner(locks_[lock], tasks_[holder_[lock]]);
        auto waiter = std::make_unique<Graph::Waiter>(tasks_[task]);
        const bool waits = Graph::add_waiter(locks_[lock], *waiter);
        EXPECT_EQ(waits, !expects_deadlock);
        if (waits)
            waiters_[task] = std::move(waiter);
        else
            retire_if_idle(lock);
        return waits;
    }
    void unlock(usize lock) {
        if (locks_[lock].waiters.empty())
            holder_[lock] = nobody;
        else
            hand_over(lock);
    }
    /// A time-out or a signal.
    void give_up(usize task) {
        const usize lock = number_of(waiters_[task]->lock);
        Graph::remove_waiter(*waiters_[task]);
        waiters_[task].reset();
        retire_if_idle(lock);
    }
    void set_own(usize task, Urgency own) {
        tasks_[task].own = own;
        Graph::inherit_along(&tasks_[task]);
    }
    /// All it holds goes to others; it begins anew.
    void die(usize task) {
        if (is_waiting(task)) give_up(task);
        while (HeldPiLock* held = tasks_[task].pi.held.first()) hand_over(number_of(static_cast<Graph::Lock*>(held)));
        for (usize& holder : holder_)
            if (holder == task) holder = nobody;
        set_own(task, {});
    }

    /// Every urgency, owner and list as they follow from who holds and waits.
    void check() const {
        for (usize task = 0; task < tasks_.size(); ++task) {
            ASSERT_EQ(tasks_[task].urgency, expected_urgency(task)) << "task " << task;
            ASSERT_EQ(tasks_[task].pi.waiting, waiters_[task].get());
            if (waiters_[task]) {
                ASSERT_EQ(waiters_[task]->urgency, tasks_[task].urgency) << "sorted by another urgency";
            }
        }
        for (usize lock = 0; lock < locks_.size(); ++lock) {
            if (locks_[lock].waiters.empty()) continue;
            ASSERT_EQ(locks_[lock].owner, &tasks_[holder_[lock]]);
        }
    }
    [[nodiscard]] usize longest_chain() const {
        usize longest = 0;
        for (usize task = 0; task < tasks_.size(); ++task) {
            usize length = 0;
            for (usize at = task; is_waiting(at); at = holder_[number_of(waiters_[at]->lock)]) ++length;
            longest = std::max(longest, length);
        }
        return longest;
    }

private:
    [[nodiscard]] usize number_of(const Graph::Lock* lock) const { return static_cast<usize>(lock - locks_.data()); }
    [[nodiscard]] usize number_of(const Task& task) const { return static_cast<usize>(&task - tasks_.data()); }

    void retire_if_idle(usize lock) {
        if (locks_[lock].waiters.empty()) locks_[lock].held_node.unlink();
    }
    void hand_over(usize lock) {
        Urgency most_urgent{.level = Urgency::idle_level, .deadline_ns = ~u64{0}};
        for (const auto& waiter : waiters_)
            if (waiter && waiter->lock == &locks_[lock])
                most_urgent = std::min(most_urgent, expected_urgency(number_of(waiter->thread)));
        Graph::Waiter& next = Graph::hand_over(locks_[lock]);
        const usize task = number_of(next.thread);
        EXPECT_EQ(next.urgency, most_urgent);
        EXPECT_EQ(locks_[lock].owner, &tasks_[task]);
        holder_[lock] = task;
        waiters_[task].reset();
        retire_if_idle(lock);
    }
    /// Whether `from` is `task` or waits for it, however indirectly.
    [[nodiscard]] bool leads_to(usize from, usize task) const {
        for (usize at = from;; at = holder_[number_of(waiters_[at]->lock)]) {
            if (at == task) return true;
            if (!is_waiting(at)) return false;
        }
    }
    /// The highest of its own and of all that wait for it.
    [[nodiscard]] Urgency expected_urgency(usize task) const {
        Urgency highest = tasks_[task].own;
        for (usize other = 0; other < tasks_.size(); ++other)
            if (leads_to(other, task)) highest = std::min(highest, tasks_[other].own);
        return highest;
    }

    std::vector<Task> tasks_;
    std::vector<std::unique_ptr<Graph::Waiter>> waiters_; // by task; null: doesn't wait
    std::vector<Graph::Lock> locks_;
    std::vector<usize> holder_;
};

Urgency random_urgency(std::mt19937& random) {
    switch (random() % 4) {
    case 0:
        return {};
    case 1:
        return {.level = Urgency::deadline_level, .deadline_ns = 1 + random() % 5};
    default:
        return Urgency::realtime(static_cast<u8>(1 + random() % 10));
    }
}

/// How often each thing happened, so that a run that tests nothing is seen.
struct Counts {
    unsigned waits = 0, deadlocks = 0, hand_overs = 0, time_outs = 0, deaths = 0;
    usize longest_chain = 0;
};

void step(World& world, usize tasks, usize locks, std::mt19937& random, Counts& counts) {
    const usize task = random() % tasks, lock = random() % locks;
    switch (random() % 16) {
    case 0:
        if (!world.is_waiting(task)) return;
        world.give_up(task);
        ++counts.time_outs;
        return;
    case 1:
    case 2:
    case 3:
        return world.set_own(task, random_urgency(random));
    case 4:
        if (random() % 8) return;
        world.die(task);
        ++counts.deaths;
        return;
    case 5:
    case 6:
    case 7:
        if (world.holder(lock) == World::nobody || world.is_waiting(world.holder(lock))) return;
        world.unlock(lock);
        if (world.holder(lock) != World::nobody) ++counts.hand_overs;
        return;
    default:
        if (world.is_waiting(task)) return;
        if (!world.lock(task, lock))
            ++counts.deadlocks;
        else if (world.is_waiting(task))
            ++counts.waits;
    }
}

void run(usize tasks, usize locks, unsigned steps, unsigned seed, Counts& counts) {
    SCOPED_TRACE(testing::Message() << tasks << " tasks, " << locks << " locks, seed " << seed);
    std::mt19937 random(seed);
    World world(tasks, locks);
    for (unsigned i = 0; i < steps; ++i) {
        step(world, tasks, locks, random, counts);
        world.check();
        if (testing::Test::HasFailure()) FAIL() << "at step " << i;
        counts.longest_chain = std::max(counts.longest_chain, world.longest_chain());
    }
}

TEST(PiGraph, AgreesWithTheModel) {
    Counts counts;
    for (unsigned seed = 1; seed <= 40; ++seed) {
        run(3, 2, 1500, seed, counts);
        run(6, 4, 1500, seed, counts);
        run(12, 12, 1500, seed, counts);
        run(20, 3, 1000, seed, counts);
        run(30, 40, 1500, seed, counts);
        if (HasFailure()) return;
    }
    EXPECT_GT(counts.waits, 10000u);
    EXPECT_GT(counts.deadlocks, 1000u);
    EXPECT_GT(counts.hand_overs, 1000u);
    EXPECT_GT(counts.time_outs, 1000u);
    EXPECT_GT(counts.deaths, 100u);
    EXPECT_GE(counts.longest_chain, 8u);
}

/// Task n holds lock n and waits for lock n + 1: the last one's urgency reaches the first owner, and leaves it again.
TEST(PiGraph, LongChains) {
    constexpr usize length = 100;
    World world(length + 1, length + 1);
    for (usize i = 0; i <= length; ++i) ASSERT_TRUE(world.lock(i, i));
    for (usize i = 0; i < length; ++i) ASSERT_TRUE(world.lock(i, i + 1));
    EXPECT_FALSE(world.lock(length, 0)); // closes the circle
    world.set_own(0, Urgency::realtime(50));
    EXPECT_EQ(world.urgency(length), Urgency::realtime(50));
    world.check();
    world.set_own(length / 2, {.level = Urgency::deadline_level, .deadline_ns = 7});
    EXPECT_EQ(world.urgency(length / 2 - 1), Urgency::realtime(50));
    EXPECT_EQ(world.urgency(length).deadline_ns, 7u);
    world.give_up(length / 2); // cuts it
    EXPECT_EQ(world.urgency(length), Urgency{});
    world.check();
    world.set_own(0, {});
    world.check();
}

/// Longer ones than the kernel follows are refused as deadlocks, as on Linux.
TEST(PiGraph, ChainsHaveAnEnd) {
    constexpr usize length = longest_pi_chain;
    std::vector<Task> tasks(length + 2);
    std::vector<Graph::Lock> locks(length + 2);
    std::list<Graph::Waiter> waiters;
    for (usize i = 0; i < tasks.size(); ++i) Graph::set_owner(locks[i], tasks[i]);
    // From the end on, so that every new waiter has the whole chain before it.
    usize added = 0;
    for (usize i = length; i + 1 > 0; --i) {
        if (!Graph::add_waiter(locks[i + 1], waiters.emplace_back(tasks[i]))) {
            waiters.pop_back();
            break;
        }
        ++added;
    }
    EXPECT_EQ(added, length);
    for (Graph::Waiter& waiter : waiters) Graph::remove_waiter(waiter);
}

} // namespace
