// timeout: 120
// adjtimex(2): who may, what is kept, how the clocks slew and step, CLOCK_TAI, leap seconds.
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/wait.h>

#include "asleep.hpp"

using namespace check;

namespace {

constexpr int64_t second = 1000000000;

enum class By { Call, Vdso };

int64_t read_clock(clockid_t clock, By by = By::Call) {
    timespec time;
    if (by == By::Call)
        CHECK_OK(syscall(SYS_clock_gettime, clock, &time));
    else
        CHECK_OK(clock_gettime(clock, &time));
    return int64_t(time.tv_sec) * second + time.tv_nsec;
}

/// `one` minus `other`, from readings close together.
int64_t difference(clockid_t one, clockid_t other, By by = By::Call) {
    int64_t best = INT64_MAX, result = 0;
    for (int i = 0; i < 200; ++i) {
        const int64_t before = read_clock(other, by), middle = read_clock(one, by), after = read_clock(other, by);
        if (after - before >= best) continue;
        best = after - before;
        result = middle - (before + after) / 2;
    }
    return result;
}

int adjust(timex& values) { return int(syscall(SYS_adjtimex, &values)); }

timex now() {
    timex values = {};
    CHECK_OK(adjust(values));
    return values;
}

void wait_for(int64_t ns) {
    const int64_t end = read_clock(CLOCK_MONOTONIC_RAW) + ns;
    eventually([&] { return read_clock(CLOCK_MONOTONIC_RAW) >= end; });
}

/// As the machine came up, but for the time.
void reset() {
    timex values = {};
    values.modes = ADJ_STATUS | ADJ_FREQUENCY | ADJ_TICK | ADJ_TAI | ADJ_MICRO;
    values.status = STA_UNSYNC;
    values.tick = 10000;
    CHECK_OK(adjust(values));
    values = {};
    values.modes = ADJ_OFFSET_SINGLESHOT;
    CHECK_OK(adjust(values));
    wait_for(second / 5); // Linux takes a few ticks
}

void rights_and_limits() {
    timex values = {};
    values.modes = ADJ_TICK;
    for (long tick : {8999L, 11001L, 0L, -1L}) {
        values.tick = tick;
        CHECK_ERRNO(adjust(values), EINVAL);
    }
    values = {};
    values.modes = ADJ_SETOFFSET;
    values.time.tv_usec = 1000000;
    CHECK_ERRNO(adjust(values), EINVAL);
    values.time.tv_usec = -1;
    CHECK_ERRNO(adjust(values), EINVAL);
    values.modes = ADJ_SETOFFSET | ADJ_NANO;
    values.time.tv_usec = second;
    CHECK_ERRNO(adjust(values), EINVAL);
    values = {};
    values.modes = ADJ_SETOFFSET;
    values.time.tv_sec = -(int64_t(1) << 40);
    CHECK_ERRNO(adjust(values), EINVAL);
    values = {};
    values.modes = ADJ_FREQUENCY;
    values.freq = INT64_MAX;
    CHECK_ERRNO(adjust(values), EINVAL);
    CHECK_ERRNO(syscall(SYS_adjtimex, 8), EFAULT);
    values = {};
    CHECK_ERRNO(syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, &values), EOPNOTSUPP);
    CHECK_ERRNO(syscall(SYS_clock_adjtime, CLOCK_PROCESS_CPUTIME_ID, &values), EOPNOTSUPP);
    CHECK_ERRNO(syscall(SYS_clock_adjtime, 99, &values), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, 8), EFAULT);
    CHECK_EQ(syscall(SYS_clock_adjtime, CLOCK_REALTIME, &values), syscall(SYS_adjtimex, &values));
    const timespec time = {2000000000, 0}, wrong = {1, second};
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &time), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_PROCESS_CPUTIME_ID, &time), EINVAL);
    clockid_t own;
    CHECK_EQ(clock_getcpuclockid(0, &own), 0);
    CHECK_ERRNO(syscall(SYS_clock_settime, own == CLOCK_PROCESS_CPUTIME_ID ? -6 : own, &time), EPERM);
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, &wrong), EINVAL);
    const timespec too_early = {0, 0};
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, &too_early), EINVAL);
    const int status = in_child([] {
        CHECK_OK(setuid(65534));
        timex values = {};
        CHECK_OK(adjust(values));
        values.modes = ADJ_OFFSET_SS_READ;
        CHECK_OK(adjust(values));
        for (unsigned modes : {unsigned(ADJ_OFFSET_SINGLESHOT), unsigned(ADJ_FREQUENCY), unsigned(ADJ_STATUS),
                               unsigned(ADJ_NANO), unsigned(ADJ_SETOFFSET), unsigned(ADJ_TAI)}) {
            values = {};
            values.modes = modes;
            CHECK_ERRNO(adjust(values), EPERM);
        }
        const timespec time = {2000000000, 0}, wrong = {1, second};
        CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, &time), EPERM);
        CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, &wrong), EINVAL);
        const timeval day = {2000000000, 0};
        CHECK_ERRNO(syscall(SYS_settimeofday, &day, nullptr), EPERM);
        _Exit(result());
    });
    CHECK_EQ(status, 0);
}

void values_are_kept() {
    timex values = {};
    values.modes = ADJ_FREQUENCY | ADJ_MAXERROR | ADJ_ESTERROR | ADJ_STATUS | ADJ_NANO;
    values.freq = 12345678;
    values.maxerror = 123456;
    values.esterror = 54321;
    values.status = STA_FREQHOLD;
    CHECK_EQ(adjust(values), TIME_OK);
    values = now();
    CHECK_EQ(values.freq, 12345678);
    CHECK_GE(values.maxerror, 123456);
    CHECK_EQ(values.esterror, 54321);
    CHECK_EQ(values.status, STA_FREQHOLD | STA_NANO);
    CHECK_EQ(values.precision, 1);
    CHECK_EQ(values.tolerance, 500 << 16);
    CHECK_EQ(values.tick, 10000);
    CHECK(values.time.tv_usec >= 0 && values.time.tv_usec < second);
    const int64_t between = int64_t(values.time.tv_sec) * second + values.time.tv_usec;
    CHECK_LE(between, read_clock(CLOCK_REALTIME));
    values = {};
    values.modes = ADJ_TIMECONST;
    values.constant = 3;
    CHECK_EQ(adjust(values), TIME_OK);
    CHECK_EQ(values.constant, 3);
    values.modes = ADJ_TIMECONST | ADJ_MICRO;
    CHECK_EQ(adjust(values), TIME_OK);
    CHECK_EQ(values.constant, 7);
    CHECK_EQ(values.status & STA_NANO, 0);
    CHECK_LT(values.time.tv_usec, 1000000);
    values.modes = ADJ_FREQUENCY; // more than the clock can do is cut off
    values.freq = 1000 << 16;
    CHECK_EQ(adjust(values), TIME_OK);
    CHECK_EQ(values.freq, 500 << 16);
    values.freq = -(1000 << 16);
    CHECK_EQ(adjust(values), TIME_OK);
    CHECK_EQ(values.freq, -(500 << 16));
    values.modes = ADJ_STATUS;
    values.status = STA_UNSYNC;
    CHECK_EQ(adjust(values), TIME_ERROR);
    reset();
}

/// How far two clocks are ahead of CLOCK_MONOTONIC_RAW, and when that was.
struct Look {
    int64_t raw, monotonic, real;
};

/// A look in which the processor was taken away is none: it is not of one moment.
Look look(By by) {
    for (;;) {
        const int64_t raw = read_clock(CLOCK_MONOTONIC_RAW);
        const Look seen = {raw, difference(CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, by),
                           difference(CLOCK_REALTIME, CLOCK_MONOTONIC_RAW, by)};
        if (read_clock(CLOCK_MONOTONIC_RAW) - raw < second / 50) return seen;
    }
}

/// CLOCK_MONOTONIC and CLOCK_REALTIME run by the tick's length, CLOCK_MONOTONIC_RAW does not care.
void rate(long tick, double wanted) {
    timex values = {};
    values.modes = ADJ_TICK;
    values.tick = tick;
    CHECK_OK(adjust(values));
    wait_for(second / 5);
    for (By by : {By::Call, By::Vdso}) {
        const Look begin = look(by);
        wait_for(second / 4);
        const Look end = look(by);
        const auto passed = double(end.raw - begin.raw);
        for (const int64_t more : {end.monotonic - begin.monotonic, end.real - begin.real}) {
            CHECK_GT(double(more) / passed, wanted - 0.02);
            CHECK_LT(double(more) / passed, wanted + 0.02);
        }
    }
    reset();
}

void single_shot() {
    const int64_t begin = difference(CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW);
    timex values = {};
    values.modes = ADJ_OFFSET_SINGLESHOT;
    values.offset = 700;
    CHECK_OK(adjust(values));
    CHECK_EQ(values.offset, 0);
    values.modes = ADJ_OFFSET_SS_READ;
    CHECK_OK(adjust(values));
    CHECK(values.offset > 0 && values.offset <= 700);
    auto slewed = [&] { return difference(CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW) - begin; };
    // Linux makes up for what its ticks had left undone by the change of the rate before, too.
    CHECK(eventually([&] { return slewed() > 550000; }));
    CHECK(eventually([] {
        timex left = {};
        left.modes = ADJ_OFFSET_SS_READ;
        CHECK_OK(adjust(left));
        return left.offset == 0;
    }));
    wait_for(second / 2);
    CHECK_GT(slewed(), 550000);
    CHECK_LT(slewed(), 850000);
    CHECK_OK(adjust(values));
    CHECK_EQ(values.offset, 0);
    // The old adjustment is told when a new one takes its place.
    values.modes = ADJ_OFFSET_SINGLESHOT;
    values.offset = -100000;
    CHECK_OK(adjust(values));
    values.offset = 0;
    CHECK_OK(adjust(values));
    CHECK_LT(values.offset, -90000);
    CHECK_GE(values.offset, -100000);
    reset();
}

void phase_locked() {
    timex values = {};
    values.modes = ADJ_STATUS | ADJ_NANO | ADJ_TIMECONST;
    values.status = STA_PLL;
    CHECK_EQ(adjust(values), TIME_OK);
    CHECK_EQ(values.constant, 0);
    const int64_t begin = difference(CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW);
    values.modes = ADJ_OFFSET;
    values.offset = 4000000;
    CHECK_EQ(adjust(values), TIME_OK);
    CHECK_GT(values.offset, 3900000);
    CHECK(eventually([] { return now().offset < 2500000; }));
    const int64_t slewed = difference(CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW) - begin;
    const int64_t left = now().offset;
    // A quarter of what is left goes in each second; Linux counts the second's share off when it begins.
    CHECK_GT(slewed, 4000000 - left - 1100000);
    CHECK_LT(slewed, 4000000 - left + 1100000);
    CHECK_GE(now().freq, 0);
    reset();
    CHECK_EQ(now().status & STA_PLL, 0);
    // Without the loop an offset means nothing.
    values = {};
    values.modes = ADJ_OFFSET;
    values.offset = 1000;
    const long before = now().offset;
    CHECK_OK(adjust(values));
    CHECK_LE(values.offset, before);
}

void stepped() {
    const int64_t begin = difference(CLOCK_REALTIME, CLOCK_MONOTONIC);
    timex values = {};
    values.modes = ADJ_SETOFFSET | ADJ_NANO;
    values.time.tv_sec = 2;
    values.time.tv_usec = 500000000;
    CHECK_EQ(adjust(values), TIME_ERROR);
    CHECK(values.status & STA_UNSYNC);
    for (By by : {By::Call, By::Vdso}) {
        const int64_t moved = difference(CLOCK_REALTIME, CLOCK_MONOTONIC, by) - begin;
        CHECK_GT(moved, 5 * second / 2 - 1000000);
        CHECK_LT(moved, 5 * second / 2 + 1000000);
    }
    values = {};
    values.modes = ADJ_SETOFFSET;
    values.time.tv_sec = -3; // -2.5 seconds
    values.time.tv_usec = 500000;
    CHECK_EQ(adjust(values), TIME_ERROR);
    const int64_t moved = difference(CLOCK_REALTIME, CLOCK_MONOTONIC) - begin;
    CHECK_LT(moved < 0 ? -moved : moved, 1000000);
    reset();
}

void tai() {
    timex values = {};
    values.modes = ADJ_TAI;
    values.constant = 37;
    CHECK_OK(adjust(values));
    CHECK_EQ(values.tai, 37);
    for (By by : {By::Call, By::Vdso}) {
        const int64_t ahead = difference(CLOCK_TAI, CLOCK_REALTIME, by);
        CHECK_GT(ahead, 37 * second - 1000000);
        CHECK_LT(ahead, 37 * second + 1000000);
    }
    values.constant = -1;
    CHECK_OK(adjust(values));
    CHECK_EQ(values.tai, 37);
    reset();
    CHECK_EQ(now().tai, 0);
}

void set_to(int64_t seconds, int64_t ns = 0) {
    const timespec time = {seconds, ns};
    CHECK_OK(syscall(SYS_clock_settime, CLOCK_REALTIME, &time));
}

/// 23:59:59 comes twice with STA_INS, not at all with STA_DEL.
void leap_second(int flag, int announced, int64_t step) {
    const int64_t clock = difference(CLOCK_REALTIME, CLOCK_MONOTONIC);
    constexpr int64_t midnight = int64_t(86400) * 22000;
    set_to(midnight - 3);
    const int64_t begin = difference(CLOCK_REALTIME, CLOCK_MONOTONIC);
    timex values = {};
    values.modes = ADJ_STATUS | ADJ_MAXERROR; // with the greatest error it would be unsynchronised a second later
    values.status = flag;
    CHECK_EQ(adjust(values), TIME_OK);
    CHECK(eventually([&] {
        timex seen = {};
        return adjust(seen) == announced;
    }));
    CHECK(eventually([] {
        timex seen = {};
        return adjust(seen) == TIME_WAIT;
    }));
    // Linux tells of the step a little before it is made.
    CHECK(eventually([&] {
        const int64_t moved = difference(CLOCK_REALTIME, CLOCK_MONOTONIC) - begin;
        return moved > step * second - 10000000 && moved < step * second + 10000000;
    }));
    CHECK_EQ(now().tai, -step);
    values = {};
    values.modes = ADJ_STATUS;
    CHECK_OK(adjust(values));
    CHECK(eventually([] {
        timex seen = {};
        return adjust(seen) == TIME_OK;
    }));
    reset();
    const int64_t back = clock + read_clock(CLOCK_MONOTONIC);
    set_to(back / second, back % second);
}

void time_zone() {
    struct timezone zone = {-60, 1}, seen = {};
    const timeval day = {time_t(read_clock(CLOCK_REALTIME) / second), 0};
    CHECK_OK(syscall(SYS_settimeofday, &day, &zone));
    timeval time;
    CHECK_OK(syscall(SYS_gettimeofday, &time, &seen));
    CHECK_EQ(seen.tz_minuteswest, -60);
    CHECK_EQ(seen.tz_dsttime, 1);
    zone = {901, 0};
    CHECK_ERRNO(syscall(SYS_settimeofday, nullptr, &zone), EINVAL);
    zone = {0, 0};
    CHECK_OK(syscall(SYS_settimeofday, nullptr, &zone));
    timeval wrong = {1, 1000000};
    CHECK_ERRNO(syscall(SYS_settimeofday, &wrong, nullptr), EINVAL);
}

/// Others may have announced a leap second: the clock forgets it with its next second.
void forget_announcements() {
    timex values = {};
    values.modes = ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR;
    CHECK_GE(adjust(values), 0);
    CHECK(eventually([] {
        timex seen = {};
        return adjust(seen) == TIME_OK;
    }));
}

} // namespace

int main() {
    const int64_t begin = read_clock(CLOCK_MONOTONIC_RAW), clock = difference(CLOCK_REALTIME, CLOCK_MONOTONIC);
    forget_announcements();
    rights_and_limits();
    values_are_kept();
    rate(11000, 0.1);
    rate(9000, -0.1);
    single_shot();
    phase_locked();
    stepped();
    tai();
    time_zone();
    leap_second(STA_INS, TIME_INS, -1);
    leap_second(STA_DEL, TIME_DEL, 1);
    // The clock as others left it, but for what this took.
    const int64_t back = clock + read_clock(CLOCK_MONOTONIC);
    set_to(back / second, back % second);
    CHECK_GT(read_clock(CLOCK_MONOTONIC_RAW), begin);
    return result();
}
