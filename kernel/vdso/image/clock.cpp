// The vDSO's functions (vdso(7)). Runs in user space: no kernel header with code, no relocation, nothing writable.
#include <abi_arch/vdso_machine.hpp>
#include <vdso/data.hpp>

using namespace linnet;

extern "C" {
[[gnu::visibility("hidden")]] extern const volatile vdso::Data vdso_data; // placed by the linker script
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

struct Now {
    u64 monotonic_ns;
    u64 offset_ns;
    u64 tai_offset_s;
};

[[gnu::always_inline]] inline Now read_clock() {
    auto& data = const_cast<const vdso::Data&>(vdso_data);
    for (;;) {
        u32 before = data.sequence.load(std::memory_order_acquire);
        u64 ticks = abi::vdso_read_counter() - data.base_counter;
        auto ns = static_cast<u64>((static_cast<unsigned __int128>(ticks) * data.mult) >> data.shift);
        Now now{ns, data.realtime_offset_ns, data.tai_offset_s};
        std::atomic_thread_fence(std::memory_order_acquire);
        if (!(before & 1) && data.sequence.load(std::memory_order_relaxed) == before) return now;
    }
}

[[gnu::always_inline]] inline int get_time(int clock, Timespec* out) {
    Now now = read_clock();
    u64 ns = now.monotonic_ns;
    switch (clock) {
    case realtime:
    case realtime_coarse:
        ns += now.offset_ns;
        break;
    case tai:
        ns += now.offset_ns + now.tai_offset_s * ns_per_second;
        break;
    case monotonic:
    case monotonic_raw:
    case monotonic_coarse:
    case boottime:
        break;
    default:
        return static_cast<int>(abi::vdso_syscall2(abi::vdso_nr_clock_gettime, clock, reinterpret_cast<long>(out)));
    }
    out->seconds = static_cast<long>(ns / ns_per_second);
    out->nanoseconds = static_cast<long>(ns % ns_per_second);
    return 0;
}

} // namespace

extern "C" {

int VDSO_NAME(clock_gettime)(int clock, Timespec* out) { return get_time(clock, out); }

int VDSO_NAME(gettimeofday)(Timeval* out, Timezone* zone) {
    if (out) {
        Now now = read_clock();
        u64 ns = now.monotonic_ns + now.offset_ns;
        out->seconds = static_cast<long>(ns / ns_per_second);
        out->microseconds = static_cast<long>(ns % ns_per_second / 1000);
    }
    if (zone) *zone = {0, 0};
    return 0;
}

int VDSO_NAME(clock_getres)(int clock, Timespec* out) {
    return static_cast<int>(abi::vdso_syscall2(abi::vdso_nr_clock_getres, clock, reinterpret_cast<long>(out)));
}

#ifdef VDSO_HAS_TIME
long VDSO_NAME(time)(long* out) {
    Now now = read_clock();
    auto seconds = static_cast<long>((now.monotonic_ns + now.offset_ns) / ns_per_second);
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
