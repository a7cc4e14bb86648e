// EventSource: what a file is ready for and who wants to know. Pipes, terminals, sockets, eventfds own one;
// blocking calls, poll, select and epoll observe it.
//
// The rule: whoever changes the state that File::poll() reads, notifies afterwards, with the bits that may
// have become true (abi::POLLIN …). Nobody calls notify() to say that something is no longer ready. Notifying
// with a lock held is allowed; observers only mark and wake.
//
// Blocking is "try, then wait": an operation is written so that it never blocks and gives EAGAIN when it
// can't go on. try_then_wait() makes the blocking form of it, and it alone decides about O_NONBLOCK, signals
// and time-outs.
#pragma once

#include <abi/linux/poll.hpp>
#include <core/sched.hpp>
#include <core/wait_queue.hpp>
#include <lib/result.hpp>

namespace linnet::vfs {

/// Always reported, whether asked for or not (poll(2)).
inline constexpr u32 events_always_reported = abi::POLLERR | abi::POLLHUP;

class EventSource {
public:
    constexpr EventSource() = default;
    EventSource(const EventSource&) = delete;
    EventSource& operator=(const EventSource&) = delete;

    /// Tells the observers that these events may have come. Any context.
    void notify(u32 events) { queue_.wake_all(events); }

    /// Whether anybody would hear of it.
    [[nodiscard]] bool is_observed() const { return !queue_.is_empty(); }

    /// Raw observers (epoll): `waiter.callback` is called with the queue's lock held, in the context of
    /// notify().
    void add(core::WaitQueue::Waiter& waiter) { queue_.add(waiter); }
    /// After it no callback runs any more.
    void remove(core::WaitQueue::Waiter& waiter) { queue_.remove(waiter); }

private:
    core::WaitQueue queue_;
};

/// One thread that waits for the first notification of one or many sources.
class EventWait {
public:
    EventWait() : thread_(core::current_thread()) {}
    EventWait(const EventWait&) = delete;
    EventWait& operator=(const EventWait&) = delete;

    /// Call before looking whether the condition holds: a notification between reset() and sleep() ends the
    /// sleep at once.
    void reset() { triggered_.store(false, std::memory_order_seq_cst); }
    /// Ready: something was notified since reset().
    [[nodiscard]] core::WaitResult sleep(core::Sleep kind, core::Deadline deadline);
    void trigger() {
        triggered_.store(true, std::memory_order_seq_cst);
        core::wake_thread(thread_);
    }

private:
    core::Thread& thread_;
    std::atomic<bool> triggered_{false};
};

/// Observes one source on behalf of an EventWait, as long as it lives. Both outlive it.
class EventObserver {
public:
    EventObserver(EventSource& source, u32 events, EventWait& wait) : source_(source), waiter_(wait) {
        waiter_.exclusive = false;
        waiter_.events = events | events_always_reported;
        waiter_.callback = [](core::WaitQueue::Waiter& waiter, u32) { static_cast<Waiter&>(waiter).wait.trigger(); };
        source_.add(waiter_);
    }
    ~EventObserver() { source_.remove(waiter_); }
    EventObserver(const EventObserver&) = delete;
    EventObserver& operator=(const EventObserver&) = delete;

private:
    struct Waiter : core::WaitQueue::Waiter {
        explicit Waiter(EventWait& event_wait) : wait(event_wait) {}
        EventWait& wait;
    };
    EventSource& source_;
    Waiter waiter_;
};

/// O_NONBLOCK or not.
enum class Blocking : u8 { Wait, Refuse };

/// Calls `operation` (which returns a Result and never blocks) until it gives something else than EAGAIN; in
/// between sleeps until `source` is notified of one of `events`. EAGAIN when `blocking` refuses or the
/// deadline passes; RestartIfRequested when a signal ends the sleep.
template <typename Operation>
auto try_then_wait(EventSource& source, u32 events, Blocking blocking, core::Deadline deadline, Operation operation)
    -> decltype(operation()) {
    auto result = operation();
    if (result.has_value() || result.error() != Errno::EAGAIN || blocking == Blocking::Refuse) return result;
    EventWait wait;
    EventObserver observer(source, events, wait);
    for (;;) {
        wait.reset();
        result = operation();
        if (result.has_value() || result.error() != Errno::EAGAIN) return result;
        switch (wait.sleep(core::Sleep::Interruptible, deadline)) {
        case core::WaitResult::Ready:
            break;
        case core::WaitResult::Interrupted:
            return error(Errno::RestartIfRequested);
        case core::WaitResult::TimedOut:
            return result;
        }
    }
}
template <typename Operation>
auto try_then_wait(EventSource& source, u32 events, Blocking blocking, Operation operation) {
    return try_then_wait(source, events, blocking, core::Deadline::never(), std::move(operation));
}

} // namespace linnet::vfs
