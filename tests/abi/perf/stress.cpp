// perf_event_open(2) under load: events opened, switched, redirected, mapped, unmapped and closed in any order while
// their threads run on all CPUs, fork, execute programs, sleep and die. needs-linux: 5.13
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <atomic>

#include "perf_ring.hpp"

using namespace check;
using namespace memory;
using namespace perf;

namespace {

constexpr int workers = 4, slots = 6;
#if defined(__riscv) // where Linux 6.12 locks up over them
constexpr uint64_t chains = 0;
#else
constexpr uint64_t chains = PERF_SAMPLE_CALLCHAIN;
#endif
std::atomic<bool> stop{false};
std::atomic<pid_t> tids[workers];

struct Random {
    uint64_t state;
    uint64_t below(uint64_t limit) {
        state = state * 6364136223846793005 + 1442695040888963407;
        return (state >> 33) % limit;
    }
};

perf_event_attr anything(Random& random) {
    static const uint64_t kinds[] = {PERF_COUNT_SW_CPU_CLOCK,   PERF_COUNT_SW_TASK_CLOCK,
                                     PERF_COUNT_SW_PAGE_FAULTS, PERF_COUNT_SW_CONTEXT_SWITCHES,
                                     PERF_COUNT_SW_DUMMY,       PERF_COUNT_SW_CPU_MIGRATIONS};
    perf_event_attr attributes = software(kinds[random.below(6)]);
    const bool is_clock = attributes.config == PERF_COUNT_SW_CPU_CLOCK || attributes.config == PERF_COUNT_SW_TASK_CLOCK;
    if (random.below(4))
        attributes.sample_period = is_clock ? 1'000'000 + random.below(2'000'000) : 1 + random.below(5);
    attributes.sample_type = PERF_SAMPLE_TID | (random.below(2) ? chains : 0) |
                             (random.below(2) ? PERF_SAMPLE_READ : 0) | (random.below(2) ? PERF_SAMPLE_TIME : 0);
    attributes.disabled = random.below(2);
    attributes.inherit = random.below(2);
    attributes.sample_id_all = random.below(2);
    attributes.comm = attributes.task = random.below(2);
    attributes.mmap = attributes.mmap2 = attributes.mmap_data = random.below(2);
    attributes.context_switch = random.below(2);
    attributes.enable_on_exec = random.below(2);
    attributes.wakeup_events = unsigned(random.below(3));
    return attributes;
}

/// Opens, maps, switches and closes as it comes; every call may fail.
void* meddle(void* seed) {
    Random random{uint64_t(seed)};
    int events[slots];
    char* rings[slots] = {};
    size_t lengths[slots] = {};
    for (int& event : events) event = -1;
    uint64_t opened_ones = 0, mapped_ones = 0;
    while (!stop) {
        const int i = int(random.below(slots)), other = int(random.below(slots));
        switch (random.below(10)) {
        case 0:
        case 1: {
            if (events[i] >= 0) close(events[i]);
            perf_event_attr attributes = anything(random);
            const pid_t whom = random.below(4) ? tids[random.below(workers)].load() : -1;
            const int cpu = whom == -1 ? int(random.below(4)) : int(random.below(5)) - 1;
            events[i] = open_event(&attributes, whom, cpu, random.below(3) ? -1 : events[other], PERF_FLAG_FD_CLOEXEC);
            opened_ones += events[i] >= 0;
            break;
        }
        case 2:
            if (rings[i]) munmap(rings[i], lengths[i]);
            lengths[i] = (1 + (size_t(1) << random.below(4))) * page;
            rings[i] = static_cast<char*>(mmap(
                nullptr, lengths[i], random.below(4) ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, events[i], 0));
            if (rings[i] == MAP_FAILED) rings[i] = nullptr;
            mapped_ones += rings[i] != nullptr;
            break;
        case 3:
            if (rings[i]) munmap(rings[i], lengths[i]);
            rings[i] = nullptr;
            break;
        case 4:
            ioctl(events[i], random.below(2) ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE, random.below(2));
            break;
        case 5:
            ioctl(events[i], PERF_EVENT_IOC_SET_OUTPUT, random.below(3) ? long(events[other]) : -1L);
            break;
        case 6: {
            uint64_t values[64];
            if (read(events[i], values, sizeof values) > 0) CHECK_LT(values[0], 1ull << 60);
            break;
        }
        case 7: {
            uint64_t period = 1'000'000 + random.below(500'000); // more often is too much for an emulated Linux
            ioctl(events[i], PERF_EVENT_IOC_PERIOD, &period);
            ioctl(events[i], PERF_EVENT_IOC_RESET, 0);
            break;
        }
        case 8: {
            pollfd watched = {events[i], POLLIN, 0};
            poll(&watched, 1, int(random.below(2)));
            break;
        }
        default:
            usleep(200);
        }
    }
    CHECK_GT(opened_ones, 20u);
    CHECK_GT(mapped_ones, 0u);
    for (int i = 0; i < slots; ++i) {
        if (rings[i]) munmap(rings[i], lengths[i]);
        if (events[i] >= 0) close(events[i]);
    }
    return nullptr;
}

void touch(size_t pages) {
    char* place = map(pages * page);
    for (size_t i = 0; i < pages; ++i) place[i * page] = 1;
    munmap(place, pages * page);
}

/// What there is to watch.
void* work(void* argument) {
    const long self = long(argument);
    tids[self] = gettid();
    Random random{uint64_t(self) + 100};
    while (!stop) {
        switch (random.below(5)) {
        case 0:
            touch(20);
            break;
        case 1:
            usleep(500);
            break;
        case 2: {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET(int(random.below(4)), &set);
            sched_setaffinity(0, sizeof set, &set);
            prctl(PR_SET_NAME, "moved");
            break;
        }
        case 3: {
            const pid_t child = fork();
            if (child == 0) {
                touch(5);
                if (random.below(2)) execl("/proc/self/exe", "stress", "leave", nullptr);
                _Exit(0);
            }
            if (child > 0) waitpid(child, nullptr, 0);
            break;
        }
        default:
            for (volatile int i = 0; i < 100'000; i = i + 1);
        }
    }
    return nullptr;
}

} // namespace

int main(int arguments, char**) {
    if (arguments > 1) return 0;
    pthread_t threads[workers + 2];
    for (long i = 0; i < workers; ++i) pthread_create(&threads[i], nullptr, work, reinterpret_cast<void*>(i));
    for (auto& tid : tids)
        while (tid == 0) usleep(1000);
    for (long i = 0; i < 2; ++i) pthread_create(&threads[workers + i], nullptr, meddle, reinterpret_cast<void*>(7 + i));
    const char* longer = getenv("LINNET_LONG");
    sleep(longer ? 60 : 5);
    stop = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    return result();
}
