// What the clocks are computed from: kept by core/time.cpp, and by it also in the page that every process maps for the
// vDSO. So this header has no code of the kernel in it.
#pragma once

#include <atomic>
#include <lib/types.hpp>

namespace linnet::core {

/// Times are 2^-48 ns wide, as 128 bits, so that a change of the rate loses nothing by rounding. Whoever reads
/// retries while `sequence` is odd or has changed; the counter is read between the two looks at it. A writer makes
/// the sequence odd before it reads the counter: who has read by the old rate has read an earlier counter than the
/// one from which the new rate counts, and so no clock steps back anywhere.
struct ClockData {
    static constexpr u32 fraction_bits = 48;

    std::atomic<u32> sequence;
    std::atomic<i32> minutes_west; // the kernel's time zone, which only programs use (settimeofday(2))
    std::atomic<i32> dst_time;
    u32 reserved;
    std::atomic<u64> base_counter;
    std::atomic<u64> rate;     // 2^-48 ns a tick, as adjtimex(2) has it run
    std::atomic<u64> base_low; // CLOCK_MONOTONIC at base_counter
    std::atomic<u64> base_high;
    std::atomic<u64> realtime_offset_ns; // CLOCK_REALTIME beyond CLOCK_MONOTONIC
    std::atomic<u64> tai_offset_ns;      // CLOCK_TAI beyond CLOCK_REALTIME
    std::atomic<u64> boot_counter;       // CLOCK_MONOTONIC_RAW is 0 there
    std::atomic<u64> raw_rate;           // and runs at this

    /// CLOCK_MONOTONIC at `counter`, which may lie a little before base_counter.
    [[gnu::always_inline]] u64 monotonic_at(u64 counter) const {
        const auto ticks = static_cast<i64>(counter - base_counter.load(std::memory_order_relaxed));
        const auto base =
            static_cast<__int128>((static_cast<unsigned __int128>(base_high.load(std::memory_order_relaxed)) << 64) |
                                  base_low.load(std::memory_order_relaxed));
        const auto step = static_cast<i64>(rate.load(std::memory_order_relaxed));
        return static_cast<u64>((base + static_cast<__int128>(ticks) * step) >> fraction_bits);
    }
    [[gnu::always_inline]] u64 raw_at(u64 counter) const {
        const u64 ticks = counter - boot_counter.load(std::memory_order_relaxed);
        return static_cast<u64>((static_cast<unsigned __int128>(ticks) * raw_rate.load(std::memory_order_relaxed)) >>
                                fraction_bits);
    }
    /// What `look` makes of the data, whole.
    template <typename Look>
    [[gnu::always_inline]] auto read(Look look) const {
        for (;;) {
            const u32 before = sequence.load(std::memory_order_acquire);
            const auto seen = look(*this);
            std::atomic_thread_fence(std::memory_order_acquire);
            if (!(before & 1) && sequence.load(std::memory_order_relaxed) == before) return seen;
        }
    }
};
static_assert(sizeof(ClockData) == 80);

} // namespace linnet::core
