// Kernel time: nanoseconds since boot, deadlines and the conversion from counter ticks.
#pragma once

#include <arch/time.hpp>
#include <compare>
#include <lib/types.hpp>

namespace linnet::core {

inline constexpr u64 ns_per_second = 1'000'000'000;

/// Nanoseconds since boot on the monotonic clock, unless the name says otherwise.
struct Nanoseconds {
    u64 value = 0;
    constexpr auto operator<=>(const Nanoseconds&) const = default;
};

/// A point of monotonic time at which a wait gives up.
struct Deadline {
    u64 ns = ~u64{0};
    static constexpr Deadline never() { return {}; }
    static Deadline after(u64 nanoseconds);
    [[nodiscard]] constexpr bool is_never() const { return ns == ~u64{0}; }
    constexpr auto operator<=>(const Deadline&) const = default;
};

/// Fixed-point conversion of counter ticks; the same numbers go into the vDSO's data page.
struct ClockScale {
    u64 base_counter = 0; // counter value at boot (time 0)
    u32 mult = 0;         // ns = (ticks * mult) >> shift
    u32 shift = 0;
};
const ClockScale& clock_scale();

/// CLOCK_MONOTONIC in nanoseconds.
u64 monotonic_ns();
/// CLOCK_REALTIME = monotonic + this offset, in nanoseconds since 1970.
u64 realtime_offset_ns();
void set_realtime_offset_ns(u64 offset);
/// Told of every new offset (the vDSO's data page). Set once at boot.
void observe_realtime_offset(void (*observer)(u64 offset));
inline u64 realtime_ns() { return monotonic_ns() + realtime_offset_ns(); }
u64 ticks_to_ns(u64 ticks);
u64 ns_to_ticks(u64 ns);

/// Calibrates and starts the clock; boot CPU, once.
void initialise_time();

} // namespace linnet::core
