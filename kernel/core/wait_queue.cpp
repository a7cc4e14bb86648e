// Wait queues and the sleep itself.
//
// Lock order: WaitQueue::lock_, then (by waking) Thread::scheduling_lock.
#include <core/sched.hpp>
#include <core/timer.hpp>
#include <core/wait_queue.hpp>
#include <core/wall_clock.hpp>

namespace linnet::core {
namespace {

struct SleepTimer : Timer {
    explicit SleepTimer(Thread& sleeper)
        : Timer([](Timer& timer) { wake_thread(*static_cast<SleepTimer&>(timer).thread); }), thread(&sleeper) {}
    Thread* thread;
};

/// Begins the sleep anew when the clock of its deadline is set.
struct WallClockSleeper : WallClockListener {
    explicit WallClockSleeper(Thread& sleeper)
        : WallClockListener(
              [](WallClockListener& listener) { wake_thread(*static_cast<WallClockSleeper&>(listener).thread); }),
          thread(&sleeper) {
        add_wall_clock_listener(*this);
    }
    ~WallClockSleeper() { remove_wall_clock_listener(*this); }
    Thread* thread;
};

ThreadState state_of(Sleep kind) {
    switch (kind) {
    case Sleep::Interruptible:
        return ThreadState::Sleeping;
    case Sleep::Killable:
        return ThreadState::SleepingKillable;
    case Sleep::Deep:
        return ThreadState::SleepingDeep;
    }
    __builtin_unreachable();
}

bool must_give_up(const Thread& thread, Sleep kind) {
    switch (kind) {
    case Sleep::Interruptible:
        return thread.interrupt_pending.load(std::memory_order_seq_cst);
    case Sleep::Killable:
        return thread.has_fatal_signal();
    case Sleep::Deep:
        return false;
    }
    __builtin_unreachable();
}

} // namespace

void WaitQueue::add(Waiter& waiter) {
    InterruptSpinGuard guard(lock_);
    count_.fetch_add(1, std::memory_order_seq_cst);
    // Observers and non-exclusive waiters first, so that one wake-up reaches all of them.
    if (waiter.exclusive)
        waiters_.push_back(waiter);
    else
        waiters_.push_front(waiter);
}

void WaitQueue::remove(Waiter& waiter) {
    InterruptSpinGuard guard(lock_);
    if (!waiter.node.is_linked()) return;
    waiters_.remove(waiter);
    count_.fetch_sub(1, std::memory_order_relaxed);
}

void WaitQueue::wake(u32 count, u32 events) {
    // Orders the caller's change of state before the look at the queue; pairs with add() and prepare_to_sleep().
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (is_empty()) return;
    InterruptSpinGuard guard(lock_);
    for (Waiter& waiter : waiters_) {
        if (!(waiter.events & events)) continue;
        if (waiter.callback) {
            waiter.callback(waiter, events);
            continue;
        }
        bool woken = wake_thread(*waiter.thread);
        if (waiter.exclusive && woken && --count == 0) return;
    }
}

void prepare_to_sleep(Sleep kind) {
    current_thread().state.store(state_of(kind), std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

void cancel_sleep() { current_thread().state.store(ThreadState::Running, std::memory_order_relaxed); }

namespace {

/// Whether the deadline has passed when the sleep is over.
bool sleep_with_timer(Thread& self, Deadline deadline) {
    const u64 due_ns = deadline.monotonic_ns();
    if (monotonic_ns() >= due_ns) return cancel_sleep(), true;
    SleepTimer timer(self);
    arm_timer(timer, due_ns);
    schedule();
    cancel_timer_sync(timer);
    return monotonic_ns() >= deadline.monotonic_ns();
}

} // namespace

WaitResult sleep_until(Sleep kind, Deadline deadline) {
    Thread& self = current_thread();
    if (must_give_up(self, kind)) return cancel_sleep(), WaitResult::Interrupted;
    bool is_over = false;
    if (deadline.is_never()) {
        schedule();
    } else if (deadline.clock == DeadlineClock::Monotonic) {
        is_over = sleep_with_timer(self, deadline);
    } else {
        // Listening begins before the deadline is computed, so that no setting of the clock is missed.
        WallClockSleeper listener(self);
        is_over = sleep_with_timer(self, deadline);
    }
    if (is_over) return WaitResult::TimedOut;
    return must_give_up(self, kind) ? WaitResult::Interrupted : WaitResult::Ready;
}

void sleep_for(u64 nanoseconds) {
    Deadline deadline = Deadline::after(nanoseconds);
    while (monotonic_ns() < deadline.ns) {
        prepare_to_sleep(Sleep::Deep);
        sleep_until(Sleep::Deep, deadline);
    }
}

} // namespace linnet::core
