// Events of perf_event_open(2) and the ring buffer that their records come in.
#pragma once

#include <linux/perf_event.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "check.hpp"
#include "memory.hpp"

namespace perf {

inline int open_event(perf_event_attr* attributes, pid_t pid = 0, int cpu = -1, int group = -1,
                      unsigned long flags = 0) {
    return int(syscall(SYS_perf_event_open, attributes, pid, cpu, group, flags));
}

inline int opened(int fd) {
    CHECK_GE(fd, 0);
    return fd;
}

inline perf_event_attr software(uint64_t config, uint64_t period = 0, uint64_t sample_type = 0) {
    perf_event_attr attributes = {};
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.size = sizeof attributes;
    attributes.config = config;
    attributes.sample_period = period;
    attributes.sample_type = sample_type;
    return attributes;
}

struct Record {
    perf_event_header header;
    std::vector<uint64_t> words; // behind the header
};

/// A mapped buffer, as a reader that takes each record once.
struct Ring {
    Ring(int event, size_t data_pages, int protection = PROT_READ | PROT_WRITE)
        : bytes((1 + data_pages) * memory::page),
          control(static_cast<perf_event_mmap_page*>(mmap(nullptr, bytes, protection, MAP_SHARED, event, 0))) {
        CHECK(control != MAP_FAILED);
    }
    ~Ring() { unmap(); }
    void unmap() {
        if (control) munmap(control, bytes);
        control = nullptr;
    }
    uint64_t head() const { return __atomic_load_n(&control->data_head, __ATOMIC_ACQUIRE); }

    std::vector<Record> take() {
        std::vector<Record> all;
        const char* ring = reinterpret_cast<const char*>(control) + memory::page;
        const uint64_t size = bytes - memory::page, end = head();
        while (position != end) {
            const auto* header = reinterpret_cast<const perf_event_header*>(ring + position % size);
            if (header->size < sizeof *header || header->size % 8 != 0 || header->size > end - position) {
                CHECK(!"a record of impossible size");
                break;
            }
            Record record{*header, {}};
            for (uint64_t at = sizeof *header; at < header->size; at += 8)
                record.words.push_back(*reinterpret_cast<const uint64_t*>(ring + (position + at) % size));
            all.push_back(record);
            position += header->size;
        }
        __atomic_store_n(&control->data_tail, position, __ATOMIC_RELEASE);
        return all;
    }
    std::vector<Record> take(uint32_t type) {
        std::vector<Record> some;
        for (const Record& record : take())
            if (record.header.type == type) some.push_back(record);
        return some;
    }

    const size_t bytes;
    perf_event_mmap_page* control;
    uint64_t position = 0;
};

} // namespace perf
