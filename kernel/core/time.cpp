// The kernel's clocks: CLOCK_MONOTONIC runs on from one (counter, time) pair at a rate that adjtimex(2) may change;
// CLOCK_REALTIME and CLOCK_TAI are beyond it by offsets; CLOCK_MONOTONIC_RAW keeps the counter's own rate.
//
// Locks: listeners_lock (outside of what listeners take); clock_lock, a leaf that only changes take: readers use the
// sequence of ClockData.
#include <arch/smp.hpp>
#include <atomic>
#include <core/clock_data.hpp>
#include <core/time.hpp>
#include <core/timer.hpp>
#include <core/wall_clock.hpp>

namespace linnet::core {
namespace {

constexpr u32 fraction_bits = ClockData::fraction_bits;
constexpr u32 inverse_bits = 32;

constinit LockClass clock_class{"clock"};
constinit LockClass listeners_class{"wall clock listeners"};
constinit InterruptSpinLock clock_lock{clock_class};
constinit InterruptSpinLock listeners_lock{listeners_class};
constinit IntrusiveList<WallClockListener, &WallClockListener::node> listeners;

constinit ClockData clocks{};
constinit ClockData* mirror = nullptr;      // guarded by clock_lock
constinit std::atomic<u64> inverse_rate{0}; // ticks a nanosecond, 2^-32; changes with the rate, under the sequence
constinit std::atomic<u32> rate_changes{0};
constinit u64 frequency = 0;
constinit u64 nominal_rate = 0; // 2^-48 ns a tick

void copy_values(const ClockData& from, ClockData& to) {
    constexpr auto relaxed = std::memory_order_relaxed;
    to.minutes_west.store(from.minutes_west.load(relaxed), relaxed);
    to.dst_time.store(from.dst_time.load(relaxed), relaxed);
    to.base_counter.store(from.base_counter.load(relaxed), relaxed);
    to.rate.store(from.rate.load(relaxed), relaxed);
    to.base_low.store(from.base_low.load(relaxed), relaxed);
    to.base_high.store(from.base_high.load(relaxed), relaxed);
    to.realtime_offset_ns.store(from.realtime_offset_ns.load(relaxed), relaxed);
    to.tai_offset_ns.store(from.tai_offset_ns.load(relaxed), relaxed);
    to.boot_counter.store(from.boot_counter.load(relaxed), relaxed);
    to.raw_rate.store(from.raw_rate.load(relaxed), relaxed);
}

/// The pair that the clock counts from becomes the present one, at full width.
void rebase() {
    constexpr auto relaxed = std::memory_order_relaxed;
    const u64 counter = arch::read_counter();
    const u64 ticks = counter - clocks.base_counter.load(relaxed);
    auto time = (static_cast<unsigned __int128>(clocks.base_high.load(relaxed)) << 64) | clocks.base_low.load(relaxed);
    time += static_cast<unsigned __int128>(ticks) * clocks.rate.load(relaxed);
    clocks.base_counter.store(counter, relaxed);
    clocks.base_low.store(static_cast<u64>(time), relaxed);
    clocks.base_high.store(static_cast<u64>(time >> 64), relaxed);
}

/// Changes the data in one step for all readers, here and in user space.
template <typename Change>
void change_clocks(Change change) {
    InterruptSpinGuard guard(clock_lock);
    clock_setter.store(this_cpu().number, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    clocks.sequence.fetch_add(1, std::memory_order_relaxed);
    if (mirror) mirror->sequence.fetch_add(1, std::memory_order_relaxed);
    // Readers see the odd sequence before the counter is read: the head of clock_data.hpp says why.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    change();
    if (mirror) {
        copy_values(clocks, *mirror);
        mirror->sequence.fetch_add(1, std::memory_order_release);
    }
    clocks.sequence.fetch_add(1, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    clock_setter.store(~0u, std::memory_order_relaxed);
}

void store_rate(u64 rate) {
    clocks.rate.store(rate, std::memory_order_relaxed);
    // Rounded up: a timer is rather late, by less than a hundred-millionth of the time until then, than early.
    inverse_rate.store(static_cast<u64>((static_cast<unsigned __int128>(1) << (fraction_bits + inverse_bits)) / rate) +
                           1,
                       std::memory_order_relaxed);
}

} // namespace

void initialise_time() {
    arch::calibrate_counter();
    frequency = arch::counter_frequency();
    nominal_rate = static_cast<u64>((static_cast<unsigned __int128>(ns_per_second) << fraction_bits) / frequency);
    change_clocks([] {
        const u64 now = arch::read_counter();
        clocks.base_counter.store(now, std::memory_order_relaxed);
        clocks.boot_counter.store(now, std::memory_order_relaxed);
        clocks.raw_rate.store(nominal_rate, std::memory_order_relaxed);
        store_rate(nominal_rate);
    });
}

void mirror_clock_data(ClockData& page) {
    InterruptSpinGuard guard(clock_lock);
    copy_values(clocks, page);
    mirror = &page;
}

u64 boot_counter() { return clocks.boot_counter.load(std::memory_order_relaxed); }
u32 clock_rate_changes() { return rate_changes.load(std::memory_order_relaxed); }

u64 ticks_to_ns(u64 ticks) {
    return static_cast<u64>((static_cast<unsigned __int128>(ticks) * nominal_rate) >> fraction_bits);
}

u64 ns_to_ticks(u64 ns) { return static_cast<u64>(static_cast<unsigned __int128>(ns) * frequency / ns_per_second); }

u64 monotonic_ns() {
    return clocks.read([](const ClockData& data) { return data.monotonic_at(arch::read_counter()); });
}

u64 monotonic_at(u64 counter) {
    return clocks.read([counter](const ClockData& data) { return data.monotonic_at(counter); });
}

u64 raw_ns() { return clocks.raw_at(arch::read_counter()); }

u64 realtime_ns() {
    return clocks.read([](const ClockData& data) {
        return data.monotonic_at(arch::read_counter()) + data.realtime_offset_ns.load(std::memory_order_relaxed);
    });
}

u64 tai_ns() {
    return clocks.read([](const ClockData& data) {
        return data.monotonic_at(arch::read_counter()) + data.realtime_offset_ns.load(std::memory_order_relaxed) +
               data.tai_offset_ns.load(std::memory_order_relaxed);
    });
}

u64 realtime_offset_ns() { return clocks.realtime_offset_ns.load(std::memory_order_relaxed); }
i64 tai_offset_s() {
    return static_cast<i64>(clocks.tai_offset_ns.load(std::memory_order_relaxed)) / static_cast<i64>(ns_per_second);
}

u64 clock_offset_ns(DeadlineClock clock) {
    switch (clock) {
    case DeadlineClock::Monotonic:
        return 0;
    case DeadlineClock::Realtime:
        return realtime_offset_ns();
    case DeadlineClock::Tai:
        return clocks.read([](const ClockData& data) {
            return data.realtime_offset_ns.load(std::memory_order_relaxed) +
                   data.tai_offset_ns.load(std::memory_order_relaxed);
        });
    }
    __builtin_unreachable();
}

u64 counter_at(u64 monotonic_ns) {
    struct Base {
        u64 counter, ns, inverse;
    };
    const Base base = clocks.read([](const ClockData& data) {
        const u64 counter = arch::read_counter(); // from now on, so that the rounding doesn't grow with the uptime
        return Base{counter, data.monotonic_at(counter), inverse_rate.load(std::memory_order_relaxed)};
    });
    if (monotonic_ns <= base.ns) return base.counter;
    const auto ticks = (static_cast<unsigned __int128>(monotonic_ns - base.ns) * base.inverse) >> inverse_bits;
    const auto most = ~base.counter;
    return ticks >= most ? ~u64{0} : base.counter + static_cast<u64>(ticks) + 1;
}

void set_clock_rate(u64 second_length) {
    const auto nominal_length = static_cast<unsigned __int128>(ns_per_second) << 32;
    const auto rate = static_cast<u64>(static_cast<unsigned __int128>(nominal_rate) * second_length / nominal_length);
    if (rate == clocks.rate.load(std::memory_order_relaxed)) return;
    change_clocks([rate] {
        rebase();
        store_rate(rate);
    });
    rate_changes.fetch_add(1, std::memory_order_release);
    reprogram_all_timers();
}

void set_realtime_offset_ns(u64 offset) {
    change_clocks([offset] { clocks.realtime_offset_ns.store(offset, std::memory_order_relaxed); });
    tell_wall_clock_listeners();
}

void step_clocks(i64 realtime_step_ns, i64 tai_offset_s) {
    change_clocks([=] {
        clocks.realtime_offset_ns.fetch_add(static_cast<u64>(realtime_step_ns), std::memory_order_relaxed);
        clocks.tai_offset_ns.store(static_cast<u64>(tai_offset_s) * ns_per_second, std::memory_order_relaxed);
    });
}

TimeZone time_zone() {
    return {clocks.minutes_west.load(std::memory_order_relaxed), clocks.dst_time.load(std::memory_order_relaxed)};
}

void set_time_zone(TimeZone zone) {
    change_clocks([zone] {
        clocks.minutes_west.store(zone.minutes_west, std::memory_order_relaxed);
        clocks.dst_time.store(zone.dst_time, std::memory_order_relaxed);
    });
}

// ---- deadlines ----

Deadline Deadline::after(u64 nanoseconds) {
    u64 now = core::monotonic_ns();
    return {now > ~u64{0} - 1 - nanoseconds ? ~u64{0} : now + nanoseconds};
}

u64 Deadline::monotonic_ns() const {
    if (clock == DeadlineClock::Monotonic || is_never()) return ns;
    const u64 offset = clock_offset_ns(clock);
    return ns > offset ? ns - offset : 0;
}

// ---- who waits for the wall clock ----

void add_wall_clock_listener(WallClockListener& listener) {
    InterruptSpinGuard guard(listeners_lock);
    listeners.push_back(listener);
}

void remove_wall_clock_listener(WallClockListener& listener) {
    InterruptSpinGuard guard(listeners_lock);
    if (listener.node.is_linked()) listeners.remove(listener);
}

void tell_wall_clock_listeners() {
    InterruptSpinGuard guard(listeners_lock);
    for (WallClockListener& listener : listeners) listener.clock_was_set(listener);
}

} // namespace linnet::core
