// The vDSO's functions (vdso(7)). Runs in user space: no kernel header with code, no relocation, nothing writable.
#include <abi_arch/vdso_machine.hpp>
#include <core/clock_data.hpp>

using namespace linnet;

extern "C" {
[[gnu::visibility("hidden")]] extern const core::ClockData vdso_data; // placed by the linker script
}

namespace {

constexpr u64 ns_per_second = 1'000'000'000;
constexpr int realtime = 0, monotonic = 1, monotonic_raw = 4, realtime_coarse = 5, monotonic_coarse = 6, boottime = 7,
              tai = 11;

struct Timespec {
    long seconds;
    long nanoseconds;
};
struct Timeval {
    long seconds;
    long microseconds;
};
struct Timezone {
    int minutes_west;
    int dst_time;
};

[[gnu::always_inline]] inline u64 read_monotonic() {
    return vdso_data.read([](const core::ClockData& data) { return data.monotonic_at(abi::vdso_read_counter()); });
}

[[gnu::always_inline]] inline u64 read_realtime() {
    return vdso_data.read([](const core::ClockData& data) {
        return data.monotonic_at(abi::vdso_read_counter()) + data.realtime_offset_ns.load(std::memory_order_relaxed);
    });
}

[[gnu::always_inline]] inline u64 read_tai() {
    return vdso_data.read([](const core::ClockData& data) {
        return data.monotonic_at(abi::vdso_read_counter()) + data.realtime_offset_ns.load(std::memory_order_relaxed) +
               data.tai_offset_ns.load(std::memory_order_relaxed);
    });
}

[[gnu::always_inline]] inline int store(u64 ns, Timespec* out) {
    out->seconds = static_cast<long>(ns / ns_per_second);
    out->nanoseconds = static_cast<long>(ns % ns_per_second);
    return 0;
}

[[gnu::noinline]] int get_less_common_time(int clock, Timespec* out) {
    u64 ns;
    switch (clock) {
    case realtime_coarse:
        ns = read_realtime();
        break;
    case tai:
        ns = read_tai();
        break;
    case monotonic_coarse:
    case boottime: // the machine doesn't suspend
        ns = read_monotonic();
        break;
    case monotonic_raw:
        ns = vdso_data.raw_at(abi::vdso_read_counter());
        break;
    default:
        return static_cast<int>(abi::vdso_syscall2(abi::vdso_nr_clock_gettime, clock, reinterpret_cast<long>(out)));
    }
    return store(ns, out);
}

[[gnu::always_inline]] inline int get_time(int clock, Timespec* out) {
    // What nearly everybody asks for goes past the table of the others, and needs no stack.
    if (clock == monotonic) return store(read_monotonic(), out);
    if (clock == realtime) return store(read_realtime(), out);
    return get_less_common_time(clock, out);
}

} // namespace

extern "C" {

int VDSO_NAME(clock_gettime)(int clock, Timespec* out) { return get_time(clock, out); }

int VDSO_NAME(gettimeofday)(Timeval* out, Timezone* zone) {
    if (out) {
        u64 ns = read_realtime();
        out->seconds = static_cast<long>(ns / ns_per_second);
        out->microseconds = static_cast<long>(ns % ns_per_second / 1000);
    }
    if (zone) {
        *zone = {vdso_data.minutes_west.load(std::memory_order_relaxed),
                 vdso_data.dst_time.load(std::memory_order_relaxed)};
    }
    return 0;
}

int VDSO_NAME(clock_getres)(int clock, Timespec* out) {
    return static_cast<int>(abi::vdso_syscall2(abi::vdso_nr_clock_getres, clock, reinterpret_cast<long>(out)));
}

#ifdef VDSO_HAS_TIME
long VDSO_NAME(time)(long* out) {
    auto seconds = static_cast<long>(read_realtime() / ns_per_second);
    if (out) *out = seconds;
    return seconds;
}
#endif

#ifdef VDSO_HAS_GETCPU
long VDSO_NAME(getcpu)(unsigned* cpu, unsigned* node, void*) {
    return abi::vdso_syscall2(abi::vdso_nr_getcpu, reinterpret_cast<long>(cpu), reinterpret_cast<long>(node));
}
#endif
}
