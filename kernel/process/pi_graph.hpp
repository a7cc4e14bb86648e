// Who waits for whom with priority inheritance: locks, their owners and those who wait for them, and the urgency that
// goes along. Nothing here knows of words in memory, of sleeping or of locking: futex_pi.cpp does, and holds one
// spinlock over every call. The host tests run the same code against a model.
#pragma once

#include <algorithm>
#include <core/scheduling.hpp>
#include <lib/intrusive_tree.hpp>
#include <process/pi_state.hpp>

namespace linnet::process {

/// Chains longer than this count as deadlocks, as on Linux.
inline constexpr u32 longest_pi_chain = 1024;

template <typename Task>
struct PiLockOf;

/// A task that waits for a lock.
template <typename Task>
struct PiWaiterOf {
    explicit PiWaiterOf(Task& waiting) : thread(waiting) {}
    TreeNode node;
    Task& thread;
    core::Urgency urgency; // as it is sorted
    PiLockOf<Task>* lock = nullptr;

    struct UrgencyOf {
        using type = core::Urgency;
        const core::Urgency& operator()(const PiWaiterOf& waiter) const { return waiter.urgency; }
    };
};

/// A lock that somebody waits for.
template <typename Task>
struct PiLockOf : HeldPiLock {
    using Waiter = PiWaiterOf<Task>;
    Task* owner = nullptr;
    IntrusiveMultiTree<Waiter, &Waiter::node, typename Waiter::UrgencyOf> waiters;
};

/// `Task` has `pi`, a PiStateOf<Task>, and `urgency`, the one it runs with; and there is set_inherited_urgency(Task&,
/// Urgency), which makes that the higher of the task's own and the given one.
template <typename Task>
struct PiGraph {
    using Lock = PiLockOf<Task>;
    using Waiter = PiWaiterOf<Task>;

    /// Gives the owner of a lock the urgency of all that wait for it, and so on along the chain.
    static void inherit_along(Task* owner) {
        for (u32 length = 0; owner && length < longest_pi_chain; ++length) {
            core::Urgency highest;
            for (HeldPiLock& held : owner->pi.held) {
                auto& waiters = static_cast<Lock&>(held).waiters;
                if (!waiters.empty()) highest = std::min(highest, waiters.begin()->urgency);
            }
            set_inherited_urgency(*owner, highest);
            Waiter* waiter = owner->pi.waiting;
            if (!waiter || waiter->urgency == owner->urgency) return;
            Lock& lock = *waiter->lock;
            lock.waiters.erase(lock.waiters.iterator_to(*waiter));
            waiter->urgency = owner->urgency;
            lock.waiters.insert(*waiter);
            owner = lock.owner;
        }
    }

    /// Whether the lock's owner waits, through however many others, for `task`.
    static bool would_deadlock(const Lock& lock, const Task& task) {
        const Lock* at = &lock;
        for (u32 length = 0; length < longest_pi_chain; ++length) {
            if (at->owner == &task) return true;
            const Waiter* waiter = at->owner->pi.waiting;
            if (!waiter) return false;
            at = waiter->lock;
        }
        return true;
    }

    static void set_owner(Lock& lock, Task& owner) {
        lock.held_node.unlink();
        lock.owner = &owner;
        owner.pi.held.push_back(lock);
    }

    /// False, and nothing has changed, where that would be a deadlock.
    static bool add_waiter(Lock& lock, Waiter& waiter) {
        if (would_deadlock(lock, waiter.thread)) return false;
        waiter.lock = &lock;
        waiter.urgency = waiter.thread.urgency;
        waiter.thread.pi.waiting = &waiter;
        lock.waiters.insert(waiter);
        inherit_along(lock.owner);
        return true;
    }

    /// It waits no longer; the owner keeps what it has inherited until inherit_along().
    static void take_out(Waiter& waiter) {
        waiter.lock->waiters.erase(waiter.lock->waiters.iterator_to(waiter));
        waiter.thread.pi.waiting = nullptr;
    }

    /// It has given up.
    static void remove_waiter(Waiter& waiter) {
        take_out(waiter);
        inherit_along(waiter.lock->owner);
    }

    /// The most urgent waiter, of whom there is one, becomes the owner.
    static Waiter& hand_over(Lock& lock) {
        Waiter& next = *lock.waiters.begin();
        Task& before = *lock.owner;
        take_out(next);
        set_owner(lock, next.thread);
        inherit_along(&next.thread);
        inherit_along(&before);
        return next;
    }
};

} // namespace linnet::process
