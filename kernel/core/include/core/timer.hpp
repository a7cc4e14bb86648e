// One-shot kernel timers with nanosecond deadlines, on per-CPU queues driven by the one-shot hardware timer.
#pragma once

#include <core/thread.hpp>
#include <core/time.hpp>

namespace linnet::core {

/// Embedded in whatever needs to run something later. `callback` runs in interrupt context on the CPU where the timer
/// was armed; it may re-arm the timer.
struct Timer {
    using Callback = void (*)(Timer&);
    explicit constexpr Timer(Callback function) : callback(function) {}
    ~Timer() {}
    Callback callback;
    union { // not initialised, so that a Timer can be constinit
        char no_node_ = 0;
        TreeNode node;
    };
    u64 deadline_ns = 0;
    std::atomic<u32> queued_on{~0u}; // CPU number, ~0 when idle
    std::atomic<bool> running{false};

    struct DeadlineOf {
        using type = u64;
        const u64& operator()(const Timer& timer) const { return timer.deadline_ns; }
    };
};

/// Makes the timer queues; once, before interrupts are enabled.
void initialise_timers();
/// Programs this CPU's hardware timer for its earliest deadline: of the queue and of the running slice.
void program_hardware_timer();
/// The clock's rate has changed: every CPU programs its timer anew. Any context.
void reprogram_all_timers();

/// Periods that programs ask for are served at most this often: expirations between are counted, not interrupted for,
/// so that no period is short enough to keep a CPU from its work.
inline constexpr u64 shortest_period_ns = 50'000;

/// Arms (or re-arms) the timer for `deadline_ns` on the monotonic clock. Any context; calls for one timer must not
/// overlap.
void arm_timer(Timer& timer, u64 deadline_ns);
/// Takes the timer out; true when it was armed and has not run. Does not wait for a running callback.
bool cancel_timer(Timer& timer);
/// The same, and waits until a callback that runs on another CPU has returned, and undoes what it has armed. Nobody
/// else may arm the timer meanwhile. Not from the callback itself.
bool cancel_timer_sync(Timer& timer);

} // namespace linnet::core
