// A sample that says the values of a group of hundreds, and the call chain behind them (perf_event_open(2)).
// needs-linux: 6.0
#include "perf_ring.hpp"

using namespace check;
using namespace perf;

#ifndef PERF_FORMAT_LOST
#define PERF_FORMAT_LOST (1u << 4)
#endif

int main() {
    constexpr size_t members = 600;
    perf_event_attr faults =
        software(PERF_COUNT_SW_PAGE_FAULTS, 1, PERF_SAMPLE_READ | PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_TID);
    faults.read_format = PERF_FORMAT_GROUP | PERF_FORMAT_ID | PERF_FORMAT_LOST;
    faults.exclude_kernel = 1;
    faults.disabled = 1;
    const int leader = opened(open_event(&faults));
    perf_event_attr nothing = software(PERF_COUNT_SW_DUMMY);
    nothing.read_format = faults.read_format;
    size_t joined = 1;
    while (joined < members) {
        const int fd = open_event(&nothing, 0, -1, leader);
        if (fd < 0) break;
        ++joined;
    }
    CHECK_EQ(joined, members);
    {
        Ring ring(leader, 8);
        CHECK_OK(ioctl(leader, PERF_EVENT_IOC_ENABLE, 0));
        char* place = memory::map(memory::page);
        *static_cast<volatile char*>(place) = 1;
        CHECK_OK(ioctl(leader, PERF_EVENT_IOC_DISABLE, 0));
        const auto samples = ring.take(PERF_RECORD_SAMPLE);
        CHECK_GE(samples.size(), 1u);
        for (const Record& sample : samples) {
            CHECK_GE(sample.words.size(), 2 + 3 * members);
            CHECK_EQ(sample.words[0] & 0xffffffff, uint64_t(getpid()));
            CHECK_EQ(sample.words[1], members);
            const size_t chain = 2 + 3 * members;
            if (sample.words.size() <= chain) continue;
            CHECK_EQ(sample.words[chain], sample.words.size() - chain - 1);
            CHECK_GE(sample.words[chain], 2u);
        }
    }
    return result();
}
