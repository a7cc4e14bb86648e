// The kernel's clock: one fixed-point scale from the hardware counter to nanoseconds, set once at boot.
#include <atomic>
#include <core/time.hpp>

namespace linnet::core {
namespace {

constexpr u32 scale_shift = 32;
constinit ClockScale scale{};
constinit std::atomic<u64> realtime_offset{0};
constinit u64 frequency = 0;
constinit std::atomic<void (*)(u64)> realtime_observer{nullptr};

} // namespace

void initialise_time() {
    arch::calibrate_counter();
    frequency = arch::counter_frequency();
    // mult needs at most 32 bits down to 1 MHz counters only when the shift shrinks with the frequency.
    u32 shift = scale_shift;
    while (((static_cast<unsigned __int128>(ns_per_second) << shift) / frequency) >> 32) --shift;
    scale.mult = static_cast<u32>((static_cast<unsigned __int128>(ns_per_second) << shift) / frequency);
    scale.shift = shift;
    scale.base_counter = arch::read_counter();
}

const ClockScale& clock_scale() { return scale; }

u64 ticks_to_ns(u64 ticks) {
    return static_cast<u64>((static_cast<unsigned __int128>(ticks) * scale.mult) >> scale.shift);
}

u64 ns_to_ticks(u64 ns) { return static_cast<u64>(static_cast<unsigned __int128>(ns) * frequency / ns_per_second); }

u64 monotonic_ns() {
    if (!scale.mult) return 0;
    return ticks_to_ns(arch::read_counter() - scale.base_counter);
}

u64 realtime_offset_ns() { return realtime_offset.load(std::memory_order_relaxed); }
void set_realtime_offset_ns(u64 offset) {
    realtime_offset.store(offset, std::memory_order_relaxed);
    if (auto* observer = realtime_observer.load(std::memory_order_acquire)) observer(offset);
}
void observe_realtime_offset(void (*observer)(u64 offset)) {
    realtime_observer.store(observer, std::memory_order_release);
}

Deadline Deadline::after(u64 nanoseconds) {
    u64 now = monotonic_ns();
    return {now > ~u64{0} - 1 - nanoseconds ? ~u64{0} : now + nanoseconds};
}

} // namespace linnet::core
