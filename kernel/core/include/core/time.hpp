// Kernel time: the clocks, deadlines on them and the conversion from counter ticks.
#pragma once

#include <arch/time.hpp>
#include <atomic>
#include <compare>
#include <lib/types.hpp>

namespace linnet::core {

struct ClockData;

inline constexpr u64 ns_per_second = 1'000'000'000;

/// Nanoseconds since boot on the monotonic clock, unless the name says otherwise.
struct Nanoseconds {
    u64 value = 0;
    constexpr auto operator<=>(const Nanoseconds&) const = default;
};

/// A clock of deadlines. The last two can be set: sleepers follow them (core/wall_clock.hpp).
enum class DeadlineClock : u8 { Monotonic, Realtime, Tai };

/// A point of time at which a wait gives up, of monotonic time unless `clock` says otherwise.
struct Deadline {
    u64 ns = ~u64{0};
    DeadlineClock clock = DeadlineClock::Monotonic;
    static constexpr Deadline never() { return {}; }
    static Deadline after(u64 nanoseconds);
    [[nodiscard]] constexpr bool is_never() const { return ns == ~u64{0}; }
    /// What CLOCK_MONOTONIC shows at the deadline, as the clocks are set now.
    [[nodiscard]] u64 monotonic_ns() const;
    constexpr auto operator<=>(const Deadline&) const = default;
};

/// CLOCK_MONOTONIC in nanoseconds.
u64 monotonic_ns();
/// The same at a value that the counter had a moment ago.
u64 monotonic_at(u64 counter);
/// CLOCK_MONOTONIC_RAW: at the counter's own rate.
u64 raw_ns();
u64 realtime_ns();
u64 tai_ns();
/// CLOCK_REALTIME and CLOCK_TAI = monotonic + these, in nanoseconds since 1970.
u64 realtime_offset_ns();
u64 clock_offset_ns(DeadlineClock clock);
/// When the counter shows `monotonic_ns`, as the clock runs now. Never before it does.
u64 counter_at(u64 monotonic_ns);

/// Lengths of time at the counter's own rate.
u64 ticks_to_ns(u64 ticks);
u64 ns_to_ticks(u64 ns);
/// The counter's value at boot.
u64 boot_counter();

/// Sets CLOCK_REALTIME to monotonic + `offset`; whoever waits for it is told. Not from a listener.
void set_realtime_offset_ns(u64 offset);
/// The same with CLOCK_TAI's offset to CLOCK_REALTIME, at one moment.
void step_clocks(i64 realtime_step_ns, i64 tai_offset_s);
[[nodiscard]] i64 tai_offset_s();
/// From now on a second of the counter's own time is this long on the clocks but the raw one: 2^-32 ns. Timers follow.
void set_clock_rate(u64 second_length);
/// Counts the changes of the rate.
u32 clock_rate_changes();

struct TimeZone {
    i32 minutes_west = 0;
    i32 dst_time = 0;
};
TimeZone time_zone();
void set_time_zone(TimeZone zone);

/// The CPU that sets the clocks at the moment, ~0: none. It can't read them meanwhile.
inline constinit std::atomic<u32> clock_setter{~0u};

/// Calibrates and starts the clock; boot CPU, once.
void initialise_time();
/// From now on `page` is kept like the kernel's own data; once, for the vDSO.
void mirror_clock_data(ClockData& page);

} // namespace linnet::core
