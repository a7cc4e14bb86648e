// perf_event_open(2) of tracepoints: counted and sampled with their records, filtered, inherited; what is refused.
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "child.hpp"
#include "tracefs.hpp"

using namespace check;

namespace {

uint64_t id_of(const char* event) {
    return strtoull(tracefs::read_all(std::string("events/") + event + "/id").c_str(), nullptr, 10);
}

perf_event_attr traced(uint64_t id) {
    perf_event_attr attributes = {};
    attributes.type = PERF_TYPE_TRACEPOINT;
    attributes.size = sizeof attributes;
    attributes.config = id;
    return attributes;
}

int open_event(perf_event_attr* attributes, pid_t pid = 0, int cpu = -1) {
    return int(syscall(SYS_perf_event_open, attributes, pid, cpu, -1, 0));
}

uint64_t value(int fd) {
    uint64_t number = 0;
    CHECK_EQ(read(fd, &number, sizeof number), ssize_t(sizeof number));
    return number;
}

void counted() {
    perf_event_attr attributes = traced(id_of("raw_syscalls/sys_enter"));
    attributes.disabled = 1;
    const int fd = open_event(&attributes);
    CHECK_GE(fd, 0);
    syscall(SYS_getppid);
    CHECK_EQ(value(fd), 0u);
    CHECK_OK(ioctl(fd, PERF_EVENT_IOC_ENABLE, 0));
    const uint64_t before = value(fd);
    for (int i = 0; i < 100; ++i) syscall(SYS_getppid);
    const uint64_t after = value(fd);
    CHECK_EQ(after - before, 101u); // the reading too
    // What another thread does is not its business.
    run_in_child([] {
        for (int i = 0; i < 1000; ++i) syscall(SYS_getppid);
    });
    CHECK_LT(value(fd) - after, 100u);
    close(fd);
}

void filtered() {
    perf_event_attr attributes = traced(id_of("raw_syscalls/sys_enter"));
    const int fd = open_event(&attributes);
    CHECK_GE(fd, 0);
    const std::string filter = "id == " + std::to_string(SYS_getppid);
    CHECK_OK(ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter.c_str()));
    const uint64_t before = value(fd);
    for (int i = 0; i < 10; ++i) {
        syscall(SYS_getppid);
        syscall(SYS_gettid);
    }
    CHECK_EQ(value(fd) - before, 10u);
    CHECK_ERRNO(ioctl(fd, PERF_EVENT_IOC_SET_FILTER, "id == 1"), EEXIST);
    CHECK_ERRNO(ioctl(fd, PERF_EVENT_IOC_SET_FILTER, 8), EFAULT);
    close(fd);
}

void inherited() {
    perf_event_attr attributes = traced(id_of("raw_syscalls/sys_exit"));
    attributes.inherit = 1;
    const int fd = open_event(&attributes);
    CHECK_GE(fd, 0);
    const std::string filter = "id == " + std::to_string(SYS_getppid);
    CHECK_OK(ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter.c_str()));
    const uint64_t before = value(fd); // before there was a filter
    run_in_child([] {
        for (int i = 0; i < 50; ++i) syscall(SYS_getppid);
    });
    CHECK_EQ(value(fd) - before, 50u);
    close(fd);
}

void of_a_cpu() {
    perf_event_attr attributes = traced(id_of("sched/sched_process_fork"));
    uint64_t sum = 0;
    int fds[4];
    for (int cpu = 0; cpu < 4; ++cpu) fds[cpu] = open_event(&attributes, -1, cpu);
    for (int i = 0; i < 5; ++i) run_in_child([] {});
    for (int fd : fds) {
        if (fd < 0) continue; // fewer processors
        sum += value(fd);
        close(fd);
    }
    CHECK_GE(sum, 5u);
    errno = 0;
}

void sampled() {
    const uint64_t id = id_of("raw_syscalls/sys_enter");
    perf_event_attr attributes = traced(id);
    attributes.sample_period = 1;
    attributes.sample_type = PERF_SAMPLE_RAW;
    const int fd = open_event(&attributes);
    CHECK_GE(fd, 0);
    const std::string filter = "id == " + std::to_string(SYS_dup) + " && args[0] == 1";
    CHECK_ERRNO(ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter.c_str()), EINVAL); // no field of that name
    CHECK_OK(ioctl(fd, PERF_EVENT_IOC_SET_FILTER, ("id == " + std::to_string(SYS_dup)).c_str()));
    const size_t page = size_t(getpagesize());
    auto* ring = static_cast<perf_event_mmap_page*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    REQUIRE(ring != MAP_FAILED);
    syscall(SYS_dup, 12345);
    CHECK_GT(ring->data_head, 0u);
    struct {
        perf_event_header header;
        uint32_t size;
        uint16_t type;
        uint8_t flags, preempt_count;
        int32_t pid;
        int64_t id;
        uint64_t arguments[6];
    } __attribute__((packed)) sample;
    memcpy(&sample, reinterpret_cast<char*>(ring) + page, sizeof sample);
    CHECK_EQ(sample.header.type, uint32_t(PERF_RECORD_SAMPLE));
    CHECK_EQ(sample.header.size, sizeof sample + 4); // up to the next word
    CHECK_EQ(sample.size, 68u);
    CHECK_EQ(sample.type, id);
    CHECK_EQ(sample.pid, gettid());
    CHECK_EQ(sample.id, SYS_dup);
    CHECK_EQ(sample.arguments[0], 12345u);
    munmap(ring, 2 * page);
    close(fd);
}

void refused() {
    perf_event_attr attributes = traced(60000);
    CHECK_LT(open_event(&attributes), 0);
    errno = 0;
    attributes = traced(id_of("sched/sched_switch"));
    attributes.sample_type = PERF_SAMPLE_RAW;
    attributes.sample_period = 1;
    run_in_child([&] {
        CHECK_OK(setgid(65534));
        CHECK_OK(setuid(65534));
        attributes.exclude_kernel = 1;
        CHECK_LT(open_event(&attributes), 0);
    });
}

} // namespace

int main() {
    tracefs::mount();
    counted();
    filtered();
    inherited();
    of_a_cpu();
    sampled();
    refused();
    tracefs::unmount();
    return result();
}
