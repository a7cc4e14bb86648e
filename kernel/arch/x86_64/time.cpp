// The TSC as the clock, and each CPU's one-shot timer: TSC deadline where the CPU has it, else the local APIC's
// counter.
//
// The TSC's frequency comes from CPUID, or is measured against the 8254's channel 2, along with the APIC's.
#include "features.hpp"
#include "local_apic.hpp"
#include "timer.hpp"
#include <algorithm>
#include <arch/cpu.hpp>
#include <arch/time.hpp>
#include <arch_impl/port_io.hpp>
#include <arch_impl/registers.hpp>
#include <lib/assert.hpp>

namespace linnet::arch {
namespace {

constinit u64 frequency = 0;
constinit u64 apic_ticks_per_counter = 0; // 32.32 fixed point

constexpr u64 pit_frequency = 1'193'182;

// ---- from CPUID ----

u64 frequency_from_cpuid() {
    u32 highest = cpuid(0).eax;
    if (highest >= 0x15) {
        CpuidResult ratio = cpuid(0x15);
        if (ratio.eax && ratio.ebx && ratio.ecx) return u64{ratio.ecx} * ratio.ebx / ratio.eax;
    }
    constexpr u32 hypervisor_bit = 1u << 31, timing_leaf = 0x4000'0010;
    if ((cpuid(1).ecx & hypervisor_bit) && cpuid(0x4000'0000).eax >= timing_leaf)
        return u64{cpuid(timing_leaf).eax} * 1000;
    return 0;
}

// ---- measured ----

/// The 8254's channel 2 and the TSC at one moment.
struct Sample {
    u64 counter;
    u32 pit;
    u64 uncertainty; // how long the reading took
};

Sample take_sample() {
    constexpr u16 data = 0x42, control = 0x43;
    constexpr u8 latch_channel_2 = 0x80;
    u64 before = read_counter();
    port_write8(control, latch_channel_2);
    u64 after = read_counter();
    u32 low = port_read8(data);
    u32 high = port_read8(data);
    return {before + (after - before) / 2, 0xffff - (high << 8 | low), after - before};
}

void start_pit() {
    constexpr u16 gate = 0x61, data = 0x42, control = 0x43;
    port_write8(gate, static_cast<u8>((port_read8(gate) & ~2u) | 1u)); // gate open, speaker off
    port_write8(control, 0xb0);                                        // channel 2, both bytes, mode 0
    port_write8(data, 0xff);
    port_write8(data, 0xff);
}

/// Whether channel 2 has counted down to zero (and on from there): its output.
bool pit_has_expired() { return (port_read8(0x61) & 0x20) != 0; }

/// 128 by 64 bits; the quotient must fit.
u64 divide(unsigned __int128 dividend, u64 divisor) {
    u64 quotient, remainder;
    asm("divq %4"
        : "=a"(quotient), "=d"(remainder)
        : "a"(static_cast<u64>(dividend)), "d"(static_cast<u64>(dividend >> 64)), "r"(divisor));
    return quotient;
}

/// Sums of a straight line through (8254 ticks, TSC) by least squares. Single readings are only good to a tick of the
/// 8254 (838 ns), the line through many to some parts in 100,000.
struct Line {
    i64 count = 0, span = 0, sum_x = 0, sum_y = 0;
    __int128 sum_xx = 0, sum_xy = 0;

    void add(i64 x, i64 y) {
        ++count, span = x, sum_x += x, sum_y += y;
        sum_xx += static_cast<__int128>(x) * x, sum_xy += static_cast<__int128>(x) * y;
    }
    /// Counter ticks a second; 0 when the points tell nothing.
    [[nodiscard]] u64 slope() const {
        __int128 spread = count * sum_xx - static_cast<__int128>(sum_x) * sum_x;
        __int128 together = count * sum_xy - static_cast<__int128>(sum_x) * sum_y;
        if (spread <= 0 || together <= 0) return 0;
        return divide(static_cast<unsigned __int128>(together) * pit_frequency, static_cast<u64>(spread));
    }
};

constexpr u32 duration = pit_frequency / 200;

/// Samples for about 5 ms; fewer when the 8254 has run out because the host took the CPU away, none when it doesn't
/// count.
Line sample_line() {
    constexpr u32 patience = 200'000; // far more samples than fit into the time
    start_pit();
    // The output is low from here to the count's end; where it reads high there is no such port (QEMU's microvm).
    bool output_is_readable = !pit_has_expired();
    Sample first = take_sample();
    Line line;
    u64 best = ~u64{0};
    u32 elapsed = 0;
    for (u32 taken = 0; elapsed < duration; ++taken) {
        Sample sample = take_sample();
        if (taken == patience || (output_is_readable && pit_has_expired())) break;
        if (sample.pit < first.pit + elapsed) break; // wrapped
        elapsed = sample.pit - first.pit;
        best = std::min(best, sample.uncertainty);
        // A reading that took long was interrupted by the host: it says little.
        if (sample.uncertainty <= 4 * best) line.add(elapsed, static_cast<i64>(sample.counter - first.counter));
    }
    return line;
}

/// The TSC's frequency by the 8254, 0 when there is none. A busy host leaves few samples or cuts the line short: then
/// it is tried again, and the longest of the tries counts, if it is at least a millisecond's.
u64 measure_with_pit() {
    constexpr i64 enough_samples = 32;
    constexpr int tries = 20;
    Line best;
    for (int attempt = 0; attempt < tries && (best.span < duration || best.count < enough_samples); ++attempt) {
        Line line = sample_line();
        if (line.span > best.span && line.slope() != 0) best = line;
    }
    return best.span >= duration / 5 ? best.slope() : 0;
}

u8 read_cmos_seconds() {
    port_write8(0x70, 0);
    return port_read8(0x71);
}

/// Counter value at the next change of the CMOS clock's second; 0 when it stands still.
u64 wait_for_next_second() {
    constexpr u64 patience = u64{20'000'000'000}; // counter ticks: more than a second of any CPU
    u8 before = read_cmos_seconds();
    u64 begin = read_counter();
    while (read_cmos_seconds() == before)
        if (read_counter() - begin > patience) return 0;
    return read_counter();
}

/// By the CMOS clock: takes up to two seconds, but no pause of the host is too long for it.
u64 measure_with_cmos() {
    u64 begin = wait_for_next_second();
    u64 end = begin ? wait_for_next_second() : 0;
    return end ? end - begin : 0;
}

} // namespace

u64 counter_frequency() { return frequency; }

void calibrate_counter() {
    InterruptState state = save_and_disable_interrupts();
    local_apic_set_timer(~u32{0}); // it counts down, far from its end
    u64 counter_begin = read_counter();
    u32 apic_begin = local_apic_timer_count();
    frequency = frequency_from_cpuid();
    // On a very busy host every measurement of some milliseconds can be lost to interruptions.
    if (frequency == 0) frequency = measure_with_pit();
    if (frequency == 0) frequency = measure_with_cmos();
    if (frequency == 0 && cpuid(0).eax >= 0x16) frequency = u64{cpuid(0x16).eax & 0xffff} * 1'000'000;
    VERIFY(frequency != 0); // no CPUID leaf, no 8254, no CMOS clock: nothing here tells time
    // The APIC's clock against the TSC, over what the measurement took and at least a millisecond.
    while (read_counter() - counter_begin < frequency / 1000) relax();
    u64 apic_elapsed = apic_begin - local_apic_timer_count();
    u64 elapsed = read_counter() - counter_begin;
    local_apic_set_timer(0);
    apic_ticks_per_counter = ((apic_elapsed & 0xffff'ffff) << 32) / elapsed;
    restore_interrupts(state);
}

void initialise_timer() {
    if (cpu_features().tsc_deadline) local_apic_use_deadline_timer();
}

void set_timer_deadline(u64 deadline) {
    InterruptState state = save_and_disable_interrupts();
    current_thread()->cpu->state.timer_deadline = deadline;
    if (cpu_features().tsc_deadline) {
        // 0 disarms; a deadline in the past fires at once.
        write_msr(Msr::TscDeadline, deadline == ~u64{0} ? 0 : std::max<u64>(deadline, 1));
    } else if (deadline == ~u64{0}) {
        local_apic_set_timer(0);
    } else {
        u64 now = read_counter();
        u64 distance = deadline > now ? deadline - now : 0;
        auto ticks = static_cast<unsigned __int128>(distance) * apic_ticks_per_counter >> 32;
        // Rounded up; what the counter can't reach is armed again when it fires.
        local_apic_set_timer(ticks >= ~u32{0} ? ~u32{0} : static_cast<u32>(ticks) + 1);
    }
    restore_interrupts(state);
}

bool timer_expired() {
    u64 deadline = current_thread()->cpu->state.timer_deadline;
    if (deadline == ~u64{0}) return false;
    if (read_counter() < deadline) {
        set_timer_deadline(deadline);
        return false;
    }
    current_thread()->cpu->state.timer_deadline = ~u64{0};
    return true;
}

} // namespace linnet::arch
