// perf_event_open(2): samples of what the processor counts, by period and by frequency, with counts and call chains;
// what samples too often is slowed down. Without interrupts of counters there are none. needs-linux: 6.1
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>

#include "child.hpp"
#include "perf_hardware.hpp"

using namespace check;
using namespace perf;

namespace {

perf_event_attr sampled(uint64_t period, uint64_t sample_type) {
    perf_event_attr attributes = hardware(PERF_COUNT_HW_CPU_CYCLES);
    attributes.sample_period = period;
    attributes.sample_type = sample_type;
    attributes.disabled = 1;
    return attributes;
}

template <typename F>
int while_on(perf_event_attr attributes, F body) {
    const int fd = opened(open_event(&attributes));
    Ring ring(fd, 64);
    CHECK_OK(ioctl(fd, PERF_EVENT_IOC_ENABLE, 0));
    work(40);
    CHECK_OK(ioctl(fd, PERF_EVENT_IOC_DISABLE, 0));
    body(ring, reading(fd));
    return close(fd);
}

void without_interrupts() {
    perf_event_attr attributes = sampled(100'000, PERF_SAMPLE_IP);
    CHECK_ERRNO(open_event(&attributes), EOPNOTSUPP);
    attributes.freq = 1;
    attributes.sample_freq = 1000;
    CHECK_ERRNO(open_event(&attributes), EOPNOTSUPP);
}

void by_period() {
    constexpr uint64_t period = 200'000;
    while_on(sampled(period, PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_PERIOD), [&](Ring& ring, Reading all) {
        size_t in_program = 0, samples = 0;
        for (const Record& record : ring.take(PERF_RECORD_SAMPLE)) {
            CHECK_EQ(record.words.size(), 3u);
            ++samples;
            const bool is_user = (record.header.misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_USER;
            in_program += is_user;
            CHECK_EQ(record.words[0] >> 63, is_user ? 0u : 1u);
            CHECK_EQ(record.words[1], uint64_t(getpid()) | uint64_t(gettid()) << 32);
            CHECK_EQ(record.words[2], period);
        }
        CHECK_GE(in_program, 1u);
        CHECK_LE(samples, all.value / period + 1);
        // Not how many at least: interrupts of an emulated processor come late.
    });
}

void of_user_code() {
    perf_event_attr attributes = sampled(200'000, PERF_SAMPLE_IP | PERF_SAMPLE_CALLCHAIN);
    attributes.exclude_kernel = 1;
    while_on(attributes, [](Ring& ring, Reading) {
        size_t samples = 0;
        for (const Record& record : ring.take(PERF_RECORD_SAMPLE)) {
            if (record.words[0] >> 63) continue; // Linux tells of interrupts that came late, in the kernel
            ++samples;
            CHECK_GE(record.words[1], 2u); // the marker and an address
            CHECK_EQ(record.words[2], uint64_t(PERF_CONTEXT_USER));
            CHECK_EQ(record.words[3], record.words[0]);
        }
        CHECK_GE(samples, 1u);
    });
}

void by_frequency() {
    perf_event_attr attributes = sampled(500, PERF_SAMPLE_PERIOD);
    attributes.freq = 1;
    while_on(attributes, [](Ring& ring, Reading all) {
        size_t samples = 0;
        uint64_t counted = 0;
        for (const Record& record : ring.take(PERF_RECORD_SAMPLE)) ++samples, counted += record.words[0];
        CHECK_GE(samples, 2u);
        CHECK_LE(counted, all.value);
    });
}

/// A sample of software's event shows what hardware has counted by then.
void with_counts() {
    perf_event_attr clock = software(PERF_COUNT_SW_TASK_CLOCK, 1'000'000, PERF_SAMPLE_READ);
    perf_event_attr counted = hardware(PERF_COUNT_HW_CPU_CYCLES);
    clock.read_format = PERF_FORMAT_GROUP;
    clock.disabled = 1;
    const int leader = opened(open_event(&clock)), member = opened(open_event(&counted, 0, -1, leader));
    Ring ring(leader, 16);
    CHECK_OK(ioctl(leader, PERF_EVENT_IOC_ENABLE, 0));
    work(40);
    CHECK_OK(ioctl(leader, PERF_EVENT_IOC_DISABLE, 0));
    uint64_t before = 0;
    size_t samples = 0;
    for (const Record& record : ring.take(PERF_RECORD_SAMPLE)) {
        CHECK_EQ(record.words[0], 2u);
        CHECK_GT(record.words[2], before);
        before = record.words[2];
        ++samples;
    }
    CHECK_GE(samples, 2u);
    CHECK_LE(before, reading(member).value);
    close(leader);
    close(member);
}

/// The program gets on with its work whatever the period is.
void too_often() {
    while_on(sampled(1, PERF_SAMPLE_IP), [](Ring& ring, Reading all) {
        size_t samples = 0, throttled = 0, unthrottled = 0;
        for (const Record& record : ring.take()) {
            samples += record.header.type == PERF_RECORD_SAMPLE;
            throttled += record.header.type == PERF_RECORD_THROTTLE;
            unthrottled += record.header.type == PERF_RECORD_UNTHROTTLE;
        }
        CHECK_GE(samples, 2u);
        CHECK_GE(throttled, 1u);
        CHECK_GE(unthrottled, 1u);
        CHECK_GT(all.value, 0u);
    });
}

void on(uint64_t period, int refreshed) {
    perf_event_attr attributes = sampled(period, PERF_SAMPLE_IP);
    const int fd = opened(open_event(&attributes));
    Ring ring(fd, 8);
    CHECK_OK(ioctl(fd, PERF_EVENT_IOC_REFRESH, refreshed));
    work(20);
    CHECK_EQ(ring.take(PERF_RECORD_SAMPLE).size(), size_t(refreshed));
    const uint64_t stopped = reading(fd).value;
    work(2);
    CHECK_EQ(reading(fd).value, stopped);
    close(fd);
}

/// Somebody else's: each process has its share, and the reader is woken.
void of_another() {
    const pid_t child = fork();
    if (child == 0)
        for (;;) work();
    perf_event_attr attributes = sampled(1'000'000, PERF_SAMPLE_TID);
    attributes.wakeup_events = 3;
    const int fd = opened(open_event(&attributes, child));
    Ring ring(fd, 8);
    CHECK_OK(ioctl(fd, PERF_EVENT_IOC_ENABLE, 0));
    pollfd waits = {.fd = fd, .events = POLLIN, .revents = 0};
    CHECK_EQ(poll(&waits, 1, 30'000), 1);
    CHECK_EQ(waits.revents, POLLIN);
    size_t samples = 0;
    for (const Record& record : ring.take(PERF_RECORD_SAMPLE)) {
        CHECK_EQ(uint32_t(record.words[0]), uint32_t(child));
        ++samples;
    }
    CHECK_GE(samples, 3u);
    end_child(child);
    close(fd);
}

} // namespace

int main() {
    if (!has_counters) return result(); // perf/hardware
    if (!has_interrupts) {
        without_interrupts();
        return result();
    }
    by_frequency(); // the first: Linux lowers the highest frequency when interrupts take long
    by_period();
    of_user_code();
    with_counts();
    too_often();
    on(500'000, 3);
    of_another();
    return result();
}
