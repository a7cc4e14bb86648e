// The counters of each CPU, and which events have them now.
//
// An event of hardware counts only while it has a counter of the CPU that its thread runs on. Groups get counters all
// together or not at all: those that must always count (PERF_ATTR_PINNED) first, the others in turn, which begins one
// further each time that not all had room (a timer, every few milliseconds). So an event's time running falls behind
// its time enabled.
//
// What is here belongs to its CPU alone, which looks at it with interrupts off. An event's counter is read, moved and
// given back on its CPU only; who changes an event elsewhere sends that CPU an interrupt (PerfContext::refresh_locked).
#pragma once

#include <arch/hardware_counters.hpp>
#include <core/timer.hpp>

#include "perf_event.hpp"

namespace linnet::trace {

/// perf_event_attr::type of the unit's own events, where that is not PERF_TYPE_RAW.
inline constexpr u32 hardware_unit_type = 8;
inline constexpr u64 rotation_ns = 4'000'000;

class CpuCounters {
public:
    /// This CPU's. Only where there are counters.
    static CpuCounters& here();
    /// Boot: for each CPU. ENOMEM.
    static Result<void> make_all();

    /// Takes a counter for the event; nothing: none is free that can count it.
    std::optional<unsigned> take(PerfEvent& event);
    void give_back(unsigned counter);
    [[nodiscard]] bool is_all_free() const { return taken_ == 0; }
    void set_exclusive(bool on) { is_exclusive_ = on; }
    [[nodiscard]] bool is_exclusive() const { return is_exclusive_; }
    /// Somebody waits for the next turn.
    void note_waiting() { has_waiting_ = true; }
    /// Which 4 ms these are, by number; samples are limited in each.
    u64 window(u64 now);
    /// Whether samples took more of it than they may.
    [[nodiscard]] bool is_used_up() const { return spent_ns_ > most_spent_ns; }

    /// Gives all counters of this CPU anew, to its own events and those of `of_thread`, who runs here or will in a
    /// moment (may be null). No context is locked.
    void distribute(PerfContext* of_thread);
    /// Calls the timer for the next turn if somebody waits for it.
    void arm();
    /// Some counters have overflown.
    void handle_overflow(u64 counters);

private:
    static constexpr u64 most_spent_ns = rotation_ns / 4;
    struct Turns : core::Timer {
        explicit Turns(CpuCounters& of)
            : Timer([](core::Timer& timer) { static_cast<Turns&>(timer).counters.on_turn(); }), counters(of) {}
        CpuCounters& counters;
    };
    void on_turn();

    PerfEvent* owners_[64] = {};
    u64 taken_ = 0;
    bool is_exclusive_ = false;
    bool has_waiting_ = false;
    bool is_threads_turn_ = false; // before the CPU's own events
    u64 window_ = 0, window_began_ = 0, spent_ns_ = 0;
    Turns turns_{*this};
};

/// What an event of PERF_TYPE_HARDWARE, HW_CACHE, RAW or the unit's own type is to the hardware. ENOENT: it is none, or
/// can't be counted here; EINVAL, EOPNOTSUPP: not as it is asked for.
Result<arch::CountedEvent> find_hardware_event(const abi::perf_event_attr& attributes);

} // namespace linnet::trace
