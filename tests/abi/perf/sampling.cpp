// perf_event_open(2): samples of events that software counts, and the ring buffer that they come in. needs-linux: 5.13
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "affinity.hpp"
#include "child.hpp"
#include "perf_ring.hpp"

using namespace check;
using namespace memory;
using namespace perf;

namespace {

char* fresh(size_t pages) {
    char* place = map(pages * page);
    madvise(place, pages * page, MADV_NOHUGEPAGE);
    return place;
}

void touch_in(char* place, size_t pages) {
    for (size_t i = 0; i < pages; ++i) static_cast<volatile char*>(place)[i * page] = 1;
}

void touch(size_t pages) {
    char* place = fresh(pages);
    touch_in(place, pages);
    munmap(place, pages * page);
}

uint64_t cpu_now() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return uint64_t(now.tv_sec) * 1000000000 + now.tv_nsec;
}

void spin_for(uint64_t nanoseconds) {
    const uint64_t start = cpu_now();
    while (cpu_now() - start < nanoseconds);
}

/// Runs until there are so many samples; within ten seconds. Returns the CPU time it took.
uint64_t spin_until(Ring& ring, size_t samples, size_t bytes) {
    const uint64_t start = cpu_now(), wanted = ring.position + samples * bytes;
    while (ring.head() < wanted && cpu_now() - start < 10'000'000'000);
    return cpu_now() - start;
}

/// Leaves the CPU at least once: on a busy host a sleep may be over before it begins.
void sleep_a_little() {
    for (int i = 0; i < 5; ++i) usleep(2000);
}

uint64_t id_of(int event) {
    uint64_t id = 0;
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_ID, &id));
    return id;
}

/// The signal that ends a child, 0 for none.
template <typename F>
int in_child_by_signal(F body) {
    const pid_t child = fork();
    if (child == 0) {
        body();
        _Exit(0);
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

// ---- mapping ----

void mapping() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_IP);
    const int event = opened(open_event(&faults));
    const int rw = PROT_READ | PROT_WRITE;
    CHECK_ERRNO(mmap(nullptr, 2 * page, rw, MAP_PRIVATE, event, 0), EINVAL);
    CHECK_ERRNO(mmap(nullptr, 4 * page, rw, MAP_SHARED, event, 0), EINVAL); // 3 is no power of two
    CHECK_ERRNO(mmap(nullptr, 2 * page, rw, MAP_SHARED, event, page), EINVAL);
    pollfd watched = {event, POLLIN, 0};
    CHECK_EQ(poll(&watched, 1, 0), 1);
    CHECK_EQ(watched.revents, POLLHUP);
    {
        Ring ring(event, 2);
        CHECK_EQ(ring.control->data_offset, page);
        CHECK_EQ(ring.control->data_size, 2 * page);
        CHECK_EQ(ring.control->version, 0u);
        CHECK_EQ(ring.control->compat_version, 0u);
        CHECK_EQ(poll(&watched, 1, 0), 0);
        CHECK_ERRNO(mmap(nullptr, 2 * page, rw, MAP_SHARED, event, 0), EINVAL); // of another size
        Ring again(event, 2);
        CHECK_EQ(in_child([&] { // not for children
                     unsigned char resident;
                     CHECK_ERRNO(mincore(again.control, page, &resident), ENOMEM);
                     _Exit(result());
                 }),
                 0);
        touch(3);
        CHECK_GE(ring.take().size(), 3u);
        CHECK_GE(again.take().size(), 3u); // the same
    }
    CHECK_EQ(poll(&watched, 1, 0), 1);
    CHECK_EQ(watched.revents, POLLHUP);
    Ring other(event, 4);
    touch(3);
    CHECK_GE(other.take().size(), 3u);
    close(event);
    touch(3); // the mapping stays, and nothing comes
    other.take();

    perf_event_attr inherited = faults;
    inherited.inherit = 1;
    const int wide = opened(open_event(&inherited));
    CHECK_ERRNO(mmap(nullptr, 2 * page, rw, MAP_SHARED, wide, 0), EINVAL); // of many CPUs
    close(wide);
    const int narrow = opened(open_event(&inherited, 0, 0));
    Ring of_cpu(narrow, 1);
    close(narrow);
}

// ---- samples ----

void faults_by_address() {
    perf_event_attr faults =
        software(PERF_COUNT_SW_PAGE_FAULTS, 1,
                 PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ADDR |
                     PERF_SAMPLE_ID | PERF_SAMPLE_STREAM_ID | PERF_SAMPLE_CPU | PERF_SAMPLE_PERIOD);
    faults.exclude_kernel = 1;
    const int event = opened(open_event(&faults));
    Ring ring(event, 16);
    const uint64_t id = id_of(event);
    constexpr size_t count = 50;
    char* place = fresh(count);
    stay_on(1);
    ring.take();
    touch_in(place, count);
    std::vector<Record> samples = ring.take();
    size_t seen = 0;
    uint64_t time = 0;
    for (const Record& sample : samples) {
        CHECK_EQ(sample.header.type, uint32_t(PERF_RECORD_SAMPLE));
        CHECK_EQ(sample.header.misc & PERF_RECORD_MISC_CPUMODE_MASK, PERF_RECORD_MISC_USER);
        CHECK_EQ(sample.words.size(), 9u);
        const auto& words = sample.words;
        CHECK_EQ(words[0], id);
        CHECK_NE(words[1], 0u);
        CHECK_EQ(words[2], uint32_t(getpid()) | uint64_t(gettid()) << 32);
        CHECK_GE(words[3], time);
        time = words[3];
        CHECK_EQ(words[5], id);
        CHECK_NE(words[6], 0u);
        CHECK_EQ(uint32_t(words[7]), 1u);
        CHECK_EQ(words[8], 1u);
        const uint64_t address = words[4];
        if (address >= uint64_t(place) && address < uint64_t(place) + count * page) {
            CHECK_EQ(address, uint64_t(place) + seen * page);
            ++seen;
        }
    }
    CHECK_EQ(seen, count);
    munmap(place, count * page);
    close(event);
}

/// In the kernel's copies too, and every third only.
void sides_and_periods() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 3, PERF_SAMPLE_IP);
    faults.exclude_user = 1;
    const int event = opened(open_event(&faults));
    Ring ring(event, 8);
    const int zero = opened(open("/dev/zero", O_RDONLY));
    char* place = fresh(90);
    ring.take();
    CHECK_EQ(read(zero, place, 90 * page), ssize_t(90 * page));
    std::vector<Record> samples = ring.take();
    CHECK_GE(samples.size(), 30u);
    CHECK_LE(samples.size(), 40u);
    for (const Record& sample : samples) {
        CHECK_EQ(sample.header.misc & PERF_RECORD_MISC_CPUMODE_MASK, PERF_RECORD_MISC_KERNEL);
        CHECK_GT(int64_t(sample.words[0]) * -1, 0); // an address of the upper half
    }
    uint64_t period = 0;
    CHECK_ERRNO(ioctl(event, PERF_EVENT_IOC_PERIOD, &period), EINVAL);
    period = 1ull << 63;
    CHECK_ERRNO(ioctl(event, PERF_EVENT_IOC_PERIOD, &period), EINVAL);
    CHECK_ERRNO(ioctl(event, PERF_EVENT_IOC_PERIOD, nullptr), EFAULT);
    munmap(place, 90 * page), close(event);
    faults.sample_type |= PERF_SAMPLE_PERIOD; // who wants to see the period is told of each single one
    const int each = opened(open_event(&faults));
    Ring each_ring(each, 8);
    place = fresh(90);
    each_ring.take();
    CHECK_EQ(read(zero, place, 90 * page), ssize_t(90 * page));
    samples = each_ring.take();
    CHECK_GE(samples.size(), 90u);
    for (const Record& sample : samples) CHECK_EQ(sample.words[1], 1u);
    munmap(place, 90 * page), close(zero), close(each);
}

void clocks() {
    for (uint64_t config : {PERF_COUNT_SW_CPU_CLOCK, PERF_COUNT_SW_TASK_CLOCK}) {
        perf_event_attr clock =
            software(config, 1'000'000, PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_PERIOD | PERF_SAMPLE_ADDR);
        const int event = opened(open_event(&clock));
        Ring ring(event, 16);
        ring.take();
        const uint64_t took = spin_until(ring, 20, 40);
        const std::vector<Record> samples = ring.take(PERF_RECORD_SAMPLE);
        CHECK_GE(samples.size(), 20u);
        CHECK_LE(samples.size(), took / 1'000'000 + 2);
        for (const Record& sample : samples) {
            CHECK_NE(sample.words[0], 0u);
            CHECK_EQ(sample.words[1], uint32_t(getpid()) | uint64_t(gettid()) << 32);
            CHECK_EQ(sample.words[2], 0u);
            CHECK_EQ(sample.words[3], 1'000'000u);
        }
        usleep(100'000); // time asleep is nobody's
        CHECK_LE(ring.take(PERF_RECORD_SAMPLE).size(), 20u);
        CHECK_OK(ioctl(event, PERF_EVENT_IOC_DISABLE, 0));
        ring.take();
        spin_for(20'000'000);
        CHECK_EQ(ring.take().size(), 0u);
        CHECK_OK(ioctl(event, PERF_EVENT_IOC_ENABLE, 0));
        spin_until(ring, 3, 40);
        CHECK_GE(ring.take().size(), 3u);
        close(event);
    }
    perf_event_attr often = software(PERF_COUNT_SW_CPU_CLOCK, 0, PERF_SAMPLE_IP);
    often.freq = 1;
    often.sample_freq = 1000;
    often.exclude_kernel = 1;
    const int event = opened(open_event(&often));
    Ring ring(event, 16);
    const uint64_t took = spin_until(ring, 5, 16);
    const std::vector<Record> samples = ring.take(PERF_RECORD_SAMPLE);
    CHECK_GE(samples.size(), 5u);
    CHECK_LE(samples.size(), took / 1'000'000 + 2);
    for (const Record& sample : samples) CHECK_GT(int64_t(sample.words[0]), 0);
    close(event);
}

/// Another thread that runs already, on another CPU.
void a_running_thread() {
    struct Shared {
        volatile pid_t tid;
        volatile bool stop;
    } shared = {};
    pthread_t thread;
    pthread_create(
        &thread, nullptr,
        [](void* argument) -> void* {
            auto& with = *static_cast<Shared*>(argument);
            stay_on(2);
            with.tid = gettid();
            while (!with.stop) {
            }
            return nullptr;
        },
        &shared);
    while (shared.tid == 0) usleep(1000);
    for (int cpu : {-1, 2}) {
        perf_event_attr clock = software(PERF_COUNT_SW_CPU_CLOCK, 1'000'000, PERF_SAMPLE_TID | PERF_SAMPLE_CPU);
        const int event = opened(open_event(&clock, shared.tid, cpu));
        Ring ring(event, 8);
        for (int i = 0; i < 1000 && ring.head() < 20 * 24; ++i) usleep(10'000);
        const std::vector<Record> samples = ring.take(PERF_RECORD_SAMPLE);
        CHECK_GE(samples.size(), 20u);
        for (const Record& sample : samples) {
            CHECK_EQ(sample.words[0] >> 32, uint32_t(shared.tid));
            CHECK_EQ(uint32_t(sample.words[1]), 2u);
        }
        close(event);
    }
    perf_event_attr elsewhere = software(PERF_COUNT_SW_TASK_CLOCK, 1'000'000, PERF_SAMPLE_CPU);
    const int event = opened(open_event(&elsewhere, shared.tid, 1)); // where it never runs
    Ring ring(event, 1);
    usleep(50'000);
    CHECK_EQ(ring.take().size(), 0u);
    uint64_t counted = ~0ull;
    CHECK_EQ(read(event, &counted, sizeof counted), 8);
    CHECK_EQ(counted, 0u);
    close(event);
    shared.stop = true;
    pthread_join(thread, nullptr);
}

/// Of one thread, on one CPU only.
void on_one_cpu() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_CPU);
    stay_on(0);
    const int event = opened(open_event(&faults, 0, 1));
    Ring ring(event, 8);
    uint64_t counted = ~0ull;
    touch(20);
    CHECK_EQ(read(event, &counted, sizeof counted), 8);
    CHECK_EQ(counted, 0u);
    stay_on(1);
    touch(20);
    stay_on(0);
    touch(20);
    CHECK_EQ(read(event, &counted, sizeof counted), 8);
    CHECK_GE(counted, 20u);
    CHECK_LE(counted, 35u);
    const std::vector<Record> samples = ring.take();
    CHECK_EQ(samples.size(), counted);
    for (const Record& sample : samples) CHECK_EQ(uint32_t(sample.words[0]), 1u);
    close(event);
}

void switches_of_a_cpu() {
    perf_event_attr switches = software(PERF_COUNT_SW_CONTEXT_SWITCHES, 1, PERF_SAMPLE_TID | PERF_SAMPLE_CPU);
    const int mine = opened(open_event(&switches)), of_cpu = opened(open_event(&switches, -1, 1));
    Ring my_ring(mine, 8), cpu_ring(of_cpu, 8);
    stay_on(1);
    my_ring.take(), cpu_ring.take();
    for (int i = 0; i < 10; ++i) usleep(1000);
    size_t own = 0, all = 0;
    for (const Record& sample : my_ring.take()) own += sample.words[0] >> 32 == uint32_t(gettid());
    for (const Record& sample : cpu_ring.take()) {
        all += sample.words[0] >> 32 == uint32_t(gettid());
        CHECK_EQ(uint32_t(sample.words[1]), 1u);
    }
    CHECK_GE(own, 8u);
    CHECK_GE(all, 8u);
    close(mine), close(of_cpu);
}

// ---- call chains ----

struct Callers {
    void* inner;
    void* outer;
};

[[gnu::noinline]] void fault_inside(char* place, Callers& callers) {
    callers.inner = __builtin_return_address(0);
    asm volatile("" : : "r"(__builtin_frame_address(0)) : "memory"); // it keeps a frame
    *static_cast<volatile char*>(place) = 1;
    asm volatile("" : : : "memory");
}

[[gnu::noinline]] void call_inside(char* place, Callers& callers) {
    callers.outer = __builtin_return_address(0);
    asm volatile("" : : "r"(__builtin_frame_address(0)) : "memory");
    fault_inside(place, callers);
    asm volatile("" : : : "memory");
}

void chains() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_ADDR | PERF_SAMPLE_CALLCHAIN);
    faults.exclude_kernel = 1;
    const int event = opened(open_event(&faults));
    Ring ring(event, 8);
    char* place = fresh(1);
    Callers callers;
    call_inside(place, callers);
    bool found = false;
    for (const Record& sample : ring.take()) {
        if (sample.words[0] != uint64_t(place)) continue;
        found = true;
        CHECK_EQ(sample.words.size(), 2 + sample.words[1]);
        CHECK_GE(sample.words[1], 3u);
        CHECK_EQ(sample.words[2], uint64_t(PERF_CONTEXT_USER));
        CHECK_EQ(sample.words[4], uint64_t(callers.inner));
#if defined(__loongarch__) // where Linux follows but one frame
        if (sample.words[1] == 3) continue;
#endif
        CHECK_GE(sample.words[1], 4u);
        if (sample.words.size() > 5) CHECK_EQ(sample.words[5], uint64_t(callers.outer));
    }
    CHECK(found);
    close(event);
    // Of the kernel, and not deeper than asked.
    perf_event_attr clock = software(PERF_COUNT_SW_CONTEXT_SWITCHES, 1, PERF_SAMPLE_CALLCHAIN);
    clock.sample_max_stack = 3;
    const int shallow = opened(open_event(&clock));
    Ring short_ring(shallow, 8);
    sleep_a_little();
    const std::vector<Record> samples = short_ring.take();
    CHECK_GE(samples.size(), 1u);
    for (const Record& sample : samples) {
        CHECK_EQ(sample.words[1], uint64_t(PERF_CONTEXT_KERNEL));
        CHECK_GE(sample.words[0], 4u);
        CHECK_LE(sample.words[0], 5u); // the markers do not count
    }
    clock.sample_max_stack = 10000;
    CHECK_ERRNO(open_event(&clock), EOVERFLOW);
    munmap(place, page), close(shallow);
}

/// A chain that the program has made up.
void bad_frames() {
#if defined(__x86_64__)
    perf_event_attr clock = software(PERF_COUNT_SW_CPU_CLOCK, 200'000, PERF_SAMPLE_CALLCHAIN);
    const int event = opened(open_event(&clock));
    Ring ring(event, 16);
    const uint64_t self[2] = {uint64_t(self), 1};
    for (uint64_t frame : {uint64_t(0), uint64_t(8), ~uint64_t(0), ~uint64_t(7), uint64_t(1) << 63, uint64_t(1) << 47,
                           (uint64_t(1) << 47) - 8, uint64_t(self)}) {
        uint64_t rounds = 3'000'000;
        asm volatile("push %%rbp\n\tmov %1, %%rbp\n1:\tdec %0\n\tjnz 1b\n\tpop %%rbp" : "+r"(rounds) : "r"(frame));
        for (const Record& sample : ring.take(PERF_RECORD_SAMPLE)) CHECK_EQ(sample.words.size(), 1 + sample.words[0]);
    }
    close(event);
#endif
}

/// What only hardware knows is said to be unknown, and what comes last is behind all else.
void without_hardware() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1,
                                      PERF_SAMPLE_TID | PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_RAW | PERF_SAMPLE_WEIGHT |
                                          PERF_SAMPLE_DATA_SRC | PERF_SAMPLE_TRANSACTION);
    const int event = opened(open_event(&faults));
    Ring ring(event, 8);
    touch(5);
    for (const Record& sample : ring.take()) {
        const size_t behind_chain = 2 + sample.words[1];
        CHECK_EQ(sample.words.size(), behind_chain + 4);
        CHECK_EQ(uint32_t(sample.words[behind_chain]), 4u); // bytes of raw data: none, but they end where a word does
        CHECK_EQ(sample.words[behind_chain + 1], 0u);
        CHECK_EQ(uint32_t(sample.words[behind_chain + 2]), 0x5080021u); // "not available" five times
        CHECK_EQ(sample.words[behind_chain + 3], 0u);
    }
    close(event);
    faults.sample_type = PERF_SAMPLE_BRANCH_STACK;
    CHECK_ERRNO(open_event(&faults), EINVAL);
    faults.branch_sample_type = PERF_SAMPLE_BRANCH_ANY;
    CHECK_ERRNO(open_event(&faults), EOPNOTSUPP);
}

// ---- reading ----

void readings_in_samples() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 10, PERF_SAMPLE_READ);
    faults.read_format = PERF_FORMAT_GROUP | PERF_FORMAT_ID;
    perf_event_attr clock = software(PERF_COUNT_SW_TASK_CLOCK);
    clock.read_format = faults.read_format;
    const int leader = opened(open_event(&faults)), member = opened(open_event(&clock, 0, -1, leader));
    Ring ring(leader, 8);
    touch(100);
    uint64_t before = 0, time = 0;
    const std::vector<Record> samples = ring.take();
    CHECK_GE(samples.size(), 10u);
    for (const Record& sample : samples) {
        CHECK_EQ(sample.words.size(), 5u);
        CHECK_EQ(sample.words[0], 2u);
        CHECK_GE(sample.words[1], before + 10);
        CHECK_EQ(sample.words[2], id_of(leader));
        CHECK_GE(sample.words[3], time);
        CHECK_EQ(sample.words[4], id_of(member));
        before = sample.words[1], time = sample.words[3];
    }
    close(leader), close(member);
}

// ---- the ring ----

void waking() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_IP);
    faults.wakeup_events = 10;
    faults.disabled = 1;
    const int event = opened(open_event(&faults));
    Ring ring(event, 8);
    char* place = fresh(20);
    pollfd watched = {event, POLLIN, 0};
    CHECK_EQ(poll(&watched, 1, 0), 0);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_ENABLE, 0));
    touch_in(place, 5);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_DISABLE, 0));
    CHECK_EQ(poll(&watched, 1, 0), 0);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_ENABLE, 0));
    touch_in(place + 5 * page, 8);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_DISABLE, 0));
    CHECK_EQ(poll(&watched, 1, 1000), 1);
    CHECK_EQ(watched.revents, POLLIN);
    CHECK_EQ(poll(&watched, 1, 0), 0); // once
    munmap(place, 20 * page), close(event);

    faults.watermark = 1; // bytes
    faults.wakeup_watermark = 20 * 16;
    const int by_bytes = opened(open_event(&faults));
    Ring bytes_ring(by_bytes, 8);
    watched.fd = by_bytes;
    CHECK_OK(ioctl(by_bytes, PERF_EVENT_IOC_ENABLE, 0));
    touch(5);
    CHECK_OK(ioctl(by_bytes, PERF_EVENT_IOC_DISABLE, 0));
    CHECK_EQ(poll(&watched, 1, 0), 0);
    CHECK_OK(ioctl(by_bytes, PERF_EVENT_IOC_ENABLE, 0));
    touch(30);
    CHECK_OK(ioctl(by_bytes, PERF_EVENT_IOC_DISABLE, 0));
    CHECK_EQ(poll(&watched, 1, 1000), 1);
    CHECK_EQ(watched.revents, POLLIN);
    close(by_bytes);
}

/// Somebody waits, and is woken by what another thread does.
void waiting() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_IP);
    faults.wakeup_events = 1;
    int go[2];
    CHECK_OK(pipe(go));
    const pid_t child = fork();
    if (child == 0) {
        char byte;
        read(go[0], &byte, 1);
        usleep(50'000);
        touch(5);
        pause();
    }
    const int event = opened(open_event(&faults, child));
    Ring ring(event, 8);
    pollfd watched = {event, POLLIN, 0};
    write(go[1], "", 1);
    CHECK_EQ(poll(&watched, 1, 10'000), 1);
    CHECK_EQ(watched.revents, POLLIN);
    CHECK_GE(ring.take().size(), 1u);
    for (int i = 0; i < 100 && poll(&watched, 1, 100) == 1; ++i); // whatever else comes
    kill(child, SIGKILL);
    bool hung_up = false;
    for (int i = 0; i < 100 && !hung_up; ++i) hung_up = poll(&watched, 1, 1000) == 1 && (watched.revents & POLLHUP);
    CHECK(hung_up); // with its thread
    waitpid(child, nullptr, 0);
    close(event), close(go[0]), close(go[1]);
}

void losing() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_IP | PERF_SAMPLE_ADDR);
    faults.disabled = 1;
    const int event = opened(open_event(&faults));
    Ring ring(event, 1);
    const size_t fit = page / 24;
    char* place = fresh(fit + 100);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_ENABLE, 0));
    touch_in(place, fit + 100);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_DISABLE, 0));
    uint64_t counted = 0;
    CHECK_EQ(read(event, &counted, sizeof counted), 8);
    const size_t before = ring.take(PERF_RECORD_SAMPLE).size();
    CHECK_LE(before, fit);
    CHECK_GE(before, fit - 2);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_ENABLE, 0));
    touch(1);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_DISABLE, 0));
    bool told = false;
    for (const Record& record : ring.take()) {
        if (record.header.type != PERF_RECORD_LOST) continue;
        told = true;
        CHECK_EQ(record.words[0], id_of(event));
        CHECK_EQ(record.words[1], counted - before);
    }
    CHECK(told);
    munmap(place, (fit + 100) * page), close(event);
}

void overwriting() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_IP);
    const int event = opened(open_event(&faults));
    Ring ring(event, 1, PROT_READ);
    touch(2 * page / 16);
    CHECK_GT(ring.head(), 2 * page - 100); // went on over what nobody has read
    close(event);
}

void rubbish() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_IP);
    const int event = opened(open_event(&faults));
    Ring ring(event, 2);
    for (uint64_t value : {uint64_t(1), uint64_t(7), uint64_t(1) << 63, ~uint64_t(0), uint64_t(page)}) {
        ring.control->data_head = value;
        ring.control->data_tail = value;
        ring.control->data_size = value;
        ring.control->data_offset = value;
        touch(600);
    }
    ring.control->data_tail = 0;
    touch(10);
    const int status = in_child_by_signal([&] { // the records themselves are only to be read
        Ring own(opened(open_event(&faults)), 1);
        reinterpret_cast<volatile char*>(own.control)[page] = 1;
    });
    CHECK_EQ(status, SIGBUS);
    close(event);
    perf_event_attr clock = software(PERF_COUNT_SW_CPU_CLOCK, 100'000, PERF_SAMPLE_CALLCHAIN);
    const int often = opened(open_event(&clock));
    for (int i = 0; i < 50; ++i) { // taken away while samples come
        Ring short_lived(often, size_t(1) << (i % 4));
        spin_for(1'000'000);
    }
    close(often);
}

// ---- where records go ----

void output() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_ID);
    perf_event_attr switches = software(PERF_COUNT_SW_CONTEXT_SWITCHES, 1, PERF_SAMPLE_ID);
    const int first = opened(open_event(&faults)), second = opened(open_event(&switches));
    CHECK_ERRNO(ioctl(second, PERF_EVENT_IOC_SET_OUTPUT, first), EINVAL); // it has no buffer
    CHECK_ERRNO(ioctl(second, PERF_EVENT_IOC_SET_OUTPUT, 1000), EBADF);
    CHECK_ERRNO(ioctl(second, PERF_EVENT_IOC_SET_OUTPUT, second), EINVAL);
    // Linux 6.1 gives events of one kind that happen at once the ids of the first: they are all of different kinds
    // here.
    perf_event_attr dummy = software(PERF_COUNT_SW_DUMMY, 1, PERF_SAMPLE_ID);
    const int of_cpu = opened(open_event(&dummy, 0, 1));
    {
        Ring ring(first, 8);
        CHECK_ERRNO(ioctl(first, PERF_EVENT_IOC_SET_OUTPUT, second), EINVAL); // it is mapped
        CHECK_ERRNO(ioctl(of_cpu, PERF_EVENT_IOC_SET_OUTPUT, first), EINVAL); // of another CPU
        CHECK_OK(ioctl(second, PERF_EVENT_IOC_SET_OUTPUT, first));
        perf_event_attr minor = software(PERF_COUNT_SW_PAGE_FAULTS_MIN, 1, PERF_SAMPLE_ID);
        const int third = opened(open_event(&minor, 0, -1, first, PERF_FLAG_FD_OUTPUT | PERF_FLAG_FD_NO_GROUP));
        touch(5);
        sleep_a_little();
        size_t seen[3] = {};
        const uint64_t ids[3] = {id_of(first), id_of(second), id_of(third)};
        for (const Record& sample : ring.take())
            for (int i = 0; i < 3; ++i) seen[i] += sample.words[0] == ids[i];
        CHECK_GE(seen[0], 5u);
        CHECK_GE(seen[1], 1u);
        CHECK_GE(seen[2], 5u);
        CHECK_OK(ioctl(second, PERF_EVENT_IOC_SET_OUTPUT, -1L));
        CHECK_OK(ioctl(first, PERF_EVENT_IOC_PAUSE_OUTPUT, 1));
        ring.take();
        touch(5);
        CHECK_EQ(ring.take().size(), 0u);
        CHECK_OK(ioctl(first, PERF_EVENT_IOC_PAUSE_OUTPUT, 0));
        touch(5);
        CHECK_GE(ring.take().size(), 5u);
        CHECK_ERRNO(ioctl(second, PERF_EVENT_IOC_PAUSE_OUTPUT, 1), EINVAL);
        close(first); // its buffer lives on with the third
        ring.take();
        touch(5);
        CHECK_GE(ring.take().size(), 5u);
        close(third);
    }
    close(second), close(of_cpu);
}

void some_more() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_IP);
    faults.disabled = 1;
    const int event = opened(open_event(&faults));
    Ring ring(event, 8);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_REFRESH, 7));
    touch(50);
    CHECK_EQ(ring.take().size(), 7u);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_REFRESH, 4));
    touch(50);
    CHECK_EQ(ring.take().size(), 4u);
    close(event);
    faults.inherit = 1;
    const int inherited = opened(open_event(&faults));
    CHECK_ERRNO(ioctl(inherited, PERF_EVENT_IOC_REFRESH, 1), EINVAL);
    close(inherited);
}

void children() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_TID | PERF_SAMPLE_ID);
    faults.inherit = 1;
    stay_on(0);
    const int event = opened(open_event(&faults, 0, 0));
    Ring ring(event, 32);
    ring.take();
    const pid_t child = fork();
    if (child == 0) {
        touch(50);
        _Exit(0);
    }
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    size_t of_child = 0;
    for (const Record& sample : ring.take(PERF_RECORD_SAMPLE)) {
        of_child += uint32_t(sample.words[0]) == uint32_t(child);
        CHECK_EQ(sample.words[1], id_of(event));
    }
    CHECK_GE(of_child, 50u);
    close(event);
}

/// More than a user may have.
void limits() {
    char before[16] = {};
    const int knob = opened(open("/proc/sys/kernel/perf_event_paranoid", O_RDWR));
    const ssize_t length = read(knob, before, sizeof before);
    CHECK_EQ(pwrite(knob, "2\n", 2, 0), 2);
    const int status = in_child([] {
        const rlimit none = {0, 0};
        CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &none));
        CHECK_OK(setresuid(65534, 65534, 65534));
        perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_IP);
        faults.exclude_kernel = 1;
        const int event = opened(open_event(&faults));
        const size_t many = size_t(32) << 20;
        CHECK_ERRNO(mmap(nullptr, many + page, PROT_READ | PROT_WRITE, MAP_SHARED, event, 0), EPERM);
        for (int i = 0; i < 40; ++i) { // what is given back can be had again
            Ring ring(event, (128 << 10) / page);
            touch(1);
            CHECK_GE(ring.take().size(), 1u);
        }
        _Exit(result());
    });
    CHECK_EQ(status, 0);
    CHECK_EQ(pwrite(knob, before, size_t(length), 0), length);
    close(knob);
}

} // namespace

int main() {
    mapping();
    faults_by_address();
    sides_and_periods();
    clocks();
    a_running_thread();
    on_one_cpu();
    switches_of_a_cpu();
    chains();
    bad_frames();
    without_hardware();
    readings_in_samples();
    waking();
    waiting();
    losing();
    overwriting();
    rubbish();
    output();
    some_more();
    children();
    limits();
    return result();
}
