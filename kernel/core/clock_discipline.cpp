// The clock's discipline. It costs nothing while nothing is slewed: the estimate of the error, which grows every
// second, is brought up to date when somebody asks. While an offset is slewed away, or a leap second is announced, a
// timer runs at each second of CLOCK_REALTIME. How much has been slewed is computed from the time that has passed, so
// a late timer makes no error.
//
// Lock order: discipline_lock, then the clock's and the timer queue's. Listeners of the wall clock are told without it.
#include <algorithm>
#include <core/clock_discipline.hpp>
#include <core/log.hpp>
#include <core/time.hpp>
#include <core/timer.hpp>
#include <core/wall_clock.hpp>

namespace linnet::core {
namespace {

using namespace abi;
using i128 = __int128;

constexpr i64 one_ns = i64{1} << 32; // all lengths here are 2^-32 ns, frequencies 2^-32 ns a second
constexpr i64 one_us = 1000 * one_ns;
constexpr i64 second_ns = static_cast<i64>(ns_per_second);
constexpr i64 seconds_a_day = 86'400;
constexpr i64 ticks_a_second = 100;   // USER_HZ, whatever drives the clock (adjtimex(2), "tick")
constexpr i64 ppm_scale = 1000 << 16; // of "freq", which is ppm with 16 fraction bits
constexpr i64 most_frequency = 500'000 * one_ns;
constexpr i64 most_single_shot_rate = 500 * one_us; // a second, as adjtime(3) says
constexpr i64 most_offset_ns = 500'000'000;
constexpr i64 error_limit_us = 16'000'000;
constexpr i64 error_growth_us = 500; // a second
constexpr i64 most_constant = 10;
constexpr i64 most_tai_offset_s = 100'000;
constexpr i64 fll_from_s = 256, fll_always_from_s = 2048;
constexpr u32 pll_shift = 2, fll_shift = 2;

/// All but the timer; guarded by discipline_lock.
struct Discipline {
    int state = TIME_OK;
    i32 status = STA_UNSYNC;
    i64 offset = 0;       // left for the loop to slew away
    i128 single_shot = 0; // left of adjtime(3)'s
    i64 frequency = 0;
    i64 tick_us = 1'000'000 / ticks_a_second;
    i64 constant = 2;
    i64 max_error_us = error_limit_us;
    i64 estimated_error_us = error_limit_us;
    i64 reference_s = 0; // when ADJ_OFFSET was last given
    i64 leap_s = 0;      // the second of CLOCK_REALTIME at which a leap second is due, once state says so
    // What the clock has run faster since `settled_ns`.
    i64 offset_rate = 0;
    i64 single_shot_rate = 0;
    u64 settled_ns = 0;
    u64 error_grown_ns = 0;
};

enum class Stepped : u8 { No, Yes };

void on_second(Timer&);

constinit LockClass discipline_class{"clock discipline"};
constinit InterruptSpinLock discipline_lock{discipline_class};
constinit Discipline discipline;
constinit Timer second_timer(on_second);

i64 scaled_down(i64 value, i64 shift) { return value < 0 ? -(-value >> shift) : value >> shift; }

/// Towards zero; the kernel's library divides 128 bits only without a sign.
i128 quotient(i128 dividend, i64 divisor) {
    const bool negative = dividend < 0;
    const auto magnitude = static_cast<unsigned __int128>(negative ? -dividend : dividend);
    const auto result = static_cast<i128>(magnitude / static_cast<u64>(divisor));
    return negative ? -result : result;
}

i64 slewed(i64 rate, u64 elapsed_ns) {
    return static_cast<i64>(quotient(static_cast<i128>(rate) * static_cast<i64>(elapsed_ns), second_ns));
}

/// Takes account of what has been slewed, and of how the error has grown.
void settle() {
    Discipline& d = discipline;
    const u64 now = monotonic_ns();
    const u64 elapsed = now - d.settled_ns;
    d.settled_ns = now;
    d.offset -= slewed(d.offset_rate, elapsed);
    d.single_shot -= slewed(d.single_shot_rate, elapsed);
    if (d.offset > -one_ns && d.offset < one_ns) d.offset = 0;
    if (d.single_shot > -one_ns && d.single_shot < one_ns) d.single_shot = 0;
    const u64 seconds = (now - d.error_grown_ns) / ns_per_second;
    d.error_grown_ns += seconds * ns_per_second;
    const i64 grown = d.max_error_us + static_cast<i64>(std::min<u64>(seconds, error_limit_us)) * error_growth_us;
    d.max_error_us = std::min(grown, error_limit_us);
    if (grown > error_limit_us) d.status |= STA_UNSYNC;
}

/// Whether the state changes with the next second.
bool awaits_second() {
    const bool announced = discipline.status & (STA_INS | STA_DEL);
    if (discipline.state == TIME_OK) return announced;
    return discipline.state != TIME_WAIT || !announced;
}

/// The clock runs from now on as the state says; the timer follows when there is something left to do.
void apply() {
    Discipline& d = discipline;
    d.offset_rate = scaled_down(d.offset, pll_shift + d.constant);
    d.single_shot_rate =
        static_cast<i64>(std::clamp<i128>(d.single_shot, -most_single_shot_rate, most_single_shot_rate));
    const i64 length = d.tick_us * ticks_a_second * one_us + d.frequency + d.offset_rate + d.single_shot_rate;
    set_clock_rate(static_cast<u64>(length));
    cancel_timer(second_timer);
    if (d.offset_rate == 0 && d.single_shot_rate == 0 && !awaits_second()) return;
    const u64 real = realtime_ns();
    arm_timer(second_timer, monotonic_ns() + ns_per_second - real % ns_per_second);
}

// ---- leap seconds ----

void step_by_leap_second(i64 step_s) {
    step_clocks(step_s * second_ns, tai_offset_s() - step_s);
    log_info("clock: {} a leap second", std::string_view(step_s < 0 ? "inserted" : "left out"));
}

/// The states of adjtimex(2) at a new second.
Stepped pass_second(i64 second) {
    Discipline& d = discipline;
    switch (d.state) {
    case TIME_OK:
        if (d.status & STA_INS) {
            d.state = TIME_INS;
            d.leap_s = (second / seconds_a_day + 1) * seconds_a_day; // 23:59:59 comes twice
        } else if (d.status & STA_DEL) {
            d.state = TIME_DEL;
            d.leap_s = ((second + 1) / seconds_a_day + 1) * seconds_a_day - 1; // 23:59:59 is left out
        }
        break;
    case TIME_INS:
        if (!(d.status & STA_INS)) {
            d.state = TIME_OK;
        } else if (second >= d.leap_s) {
            d.state = TIME_OOP;
            step_by_leap_second(-1);
            return Stepped::Yes;
        }
        break;
    case TIME_DEL:
        if (!(d.status & STA_DEL)) {
            d.state = TIME_OK;
        } else if (second >= d.leap_s) {
            d.state = TIME_WAIT;
            step_by_leap_second(1);
            return Stepped::Yes;
        }
        break;
    case TIME_OOP:
        d.state = TIME_WAIT;
        break;
    case TIME_WAIT:
        if (!(d.status & (STA_INS | STA_DEL))) d.state = TIME_OK;
        break;
    }
    return Stepped::No;
}

void on_second(Timer&) {
    Stepped stepped;
    {
        InterruptSpinGuard guard(discipline_lock);
        settle();
        stepped = pass_second(static_cast<i64>(realtime_ns() / ns_per_second));
        apply();
    }
    if (stepped == Stepped::Yes) tell_wall_clock_listeners();
}

/// The clock was set: nothing of what was known of its error holds any more.
void forget() {
    Discipline& d = discipline;
    d.single_shot = 0;
    d.offset = 0;
    d.status |= STA_UNSYNC;
    d.max_error_us = d.estimated_error_us = error_limit_us;
    if (d.state == TIME_INS || d.state == TIME_DEL) d.state = TIME_OK; // begun anew with the day that it is now
}

// ---- adjtimex(2) ----

/// The frequency by how the clock was off over a long interval (frequency-locked loop).
i64 frequency_locked(i64 offset_ns, i64 interval_s) {
    Discipline& d = discipline;
    d.status &= ~STA_MODE;
    if (interval_s < fll_from_s) return 0;
    if (!(d.status & STA_FLL) && interval_s <= fll_always_from_s) return 0;
    d.status |= STA_MODE;
    return static_cast<i64>(quotient(static_cast<i128>(offset_ns) * one_ns, interval_s << fll_shift));
}

/// ADJ_OFFSET. The frequency changes by what the offset says of it, the offset itself is slewed away.
void give_offset(i64 offset) {
    Discipline& d = discipline;
    if (!(d.status & STA_PLL)) return;
    if (!(d.status & STA_NANO)) offset = std::clamp<i64>(offset, -1'000'000, 1'000'000) * 1000;
    offset = std::clamp(offset, -most_offset_ns, most_offset_ns);
    const auto now = static_cast<i64>(realtime_ns() / ns_per_second);
    i64 interval = (d.status & STA_FREQHOLD) ? 0 : std::max<i64>(now - d.reference_s, 0);
    d.reference_s = now;
    i128 change = frequency_locked(offset, interval);
    // The phase-locked loop looks back only as far as its constant says.
    interval = std::min(interval, i64{1} << (pll_shift + 1 + d.constant));
    const i64 shift = 2 * (pll_shift + 2 + d.constant);
    change += static_cast<i128>(offset) * interval * (one_ns >> shift);
    d.frequency = static_cast<i64>(std::clamp<i128>(d.frequency + change, -most_frequency, most_frequency));
    d.offset = offset * one_ns;
}

void give_status(i32 status) {
    Discipline& d = discipline;
    if ((d.status & STA_PLL) && !(status & STA_PLL)) {
        d.state = TIME_OK;
        d.status = STA_UNSYNC; // the unit of nanoseconds goes too
    }
    if (!(d.status & STA_PLL) && (status & STA_PLL)) d.reference_s = static_cast<i64>(realtime_ns() / ns_per_second);
    d.status = (d.status & STA_RONLY) | (status & ~STA_RONLY);
}

/// Everything but ADJ_ADJTIME and ADJ_SETOFFSET.
Stepped give_modes(const timex& values) {
    Discipline& d = discipline;
    const u32 modes = values.modes;
    if (modes & ADJ_STATUS) give_status(values.status);
    if (modes & ADJ_NANO) d.status |= STA_NANO;
    if (modes & ADJ_MICRO) d.status &= ~STA_NANO;
    if (modes & ADJ_FREQUENCY)
        d.frequency = static_cast<i64>(
            std::clamp<i128>(static_cast<i128>(values.freq) * ppm_scale, -most_frequency, most_frequency));
    if (modes & ADJ_MAXERROR) d.max_error_us = std::clamp<i64>(values.maxerror, 0, error_limit_us);
    if (modes & ADJ_ESTERROR) d.estimated_error_us = std::clamp<i64>(values.esterror, 0, error_limit_us);
    if (modes & ADJ_TIMECONST) {
        d.constant = std::clamp<i64>(values.constant, 0, most_constant);
        // In microseconds the constant is that of an older model, less by four.
        if (!(d.status & STA_NANO)) d.constant = std::min(d.constant + 4, most_constant);
    }
    Stepped stepped = Stepped::No;
    if ((modes & ADJ_TAI) && values.constant >= 0 && values.constant <= most_tai_offset_s &&
        values.constant != tai_offset_s()) {
        step_clocks(0, values.constant);
        stepped = Stepped::Yes;
    }
    if (modes & ADJ_OFFSET) give_offset(values.offset);
    if (modes & ADJ_TICK) d.tick_us = values.tick;
    return stepped;
}

/// ADJ_SETOFFSET.
Result<void> step_by(const timeval& step, u32 modes) {
    const i128 fraction = (modes & ADJ_NANO) ? step.tv_usec : step.tv_usec * 1000;
    const i128 offset = static_cast<i128>(realtime_offset_ns()) + static_cast<i128>(step.tv_sec) * second_ns + fraction;
    if (offset < 0 || offset > (~u64{0} >> 1) - monotonic_ns()) return error(Errno::EINVAL);
    step_clocks(static_cast<i64>(offset - static_cast<i128>(realtime_offset_ns())), tai_offset_s());
    forget();
    return {};
}

int report(timex& values, i64 offset) {
    const Discipline& d = discipline;
    const bool in_ns = d.status & STA_NANO;
    values.offset = offset;
    values.freq = d.frequency / ppm_scale;
    values.maxerror = d.max_error_us;
    values.esterror = d.estimated_error_us;
    values.status = d.status;
    values.constant = d.constant;
    values.precision = 1;
    values.tolerance = most_frequency / ppm_scale;
    values.tick = d.tick_us;
    values.tai = static_cast<i32>(tai_offset_s());
    values.ppsfreq = values.jitter = values.stabil = values.jitcnt = values.calcnt = values.errcnt = values.stbcnt = 0;
    values.shift = 0; // no pulse per second
    const u64 now = realtime_ns();
    values.time.tv_sec = static_cast<i64>(now / ns_per_second);
    values.time.tv_usec = static_cast<i64>(in_ns ? now % ns_per_second : now % ns_per_second / 1000);
    return (d.status & (STA_UNSYNC | STA_CLOCKERR)) ? TIME_ERROR : d.state;
}

} // namespace

Result<int> adjust_clock(timex& values) {
    Stepped stepped = Stepped::No;
    int state;
    {
        InterruptSpinGuard guard(discipline_lock);
        settle();
        i64 offset;
        if (values.modes & ADJ_SETOFFSET && !(values.modes & ADJ_ADJTIME)) {
            TRY(step_by(values.time, values.modes));
            stepped = Stepped::Yes;
        }
        if (values.modes & ADJ_ADJTIME) {
            offset = static_cast<i64>(quotient(discipline.single_shot, one_us));
            if (!(values.modes & ADJ_OFFSET_READONLY))
                discipline.single_shot = static_cast<i128>(values.offset) * one_us;
        } else {
            if (give_modes(values) == Stepped::Yes) stepped = Stepped::Yes;
            const i64 left_ns = discipline.offset / one_ns;
            offset = (discipline.status & STA_NANO) ? left_ns : left_ns / 1000;
        }
        // Anybody may ask, and again and again: only a change is told to all CPUs.
        if (values.modes != 0) apply();
        state = report(values, offset);
    }
    if (stepped == Stepped::Yes) tell_wall_clock_listeners();
    return state;
}

Result<void> set_realtime(u64 ns) {
    {
        InterruptSpinGuard guard(discipline_lock);
        settle();
        const u64 now = monotonic_ns();
        if (ns < now) return error(Errno::EINVAL);
        step_clocks(static_cast<i64>(ns - now - realtime_offset_ns()), tai_offset_s());
        forget();
        apply();
    }
    tell_wall_clock_listeners();
    return {};
}

} // namespace linnet::core
