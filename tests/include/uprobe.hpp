// Probes of programs by perf_event_open(2): the dynamic PMU "uprobe" (sysfs, bus/event_source/devices).
#pragma once

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "perf_ring.hpp"
#include "proc_text.hpp"

namespace uprobe {

// The number of a PMU, or -1.
inline int pmu_type(const char* name) {
    char path[200], text[32] = "";
    snprintf(path, sizeof path, "/sys/bus/event_source/devices/%s/type", name);
    int fd = open(path, O_RDONLY);
    if (fd < 0) return -1;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    return length > 0 ? atoi(text) : -1;
}

// Linux for LoongArch and old Linux for RISC-V may have none.
inline int needed_pmu(const char* name) {
    proc_text::needs(access("/sys/bus", F_OK) == 0, "no /sys");
    int type = pmu_type(name);
    proc_text::needs(type >= 0, "the kernel has no such PMU");
    return type;
}

struct Place {
    char path[PATH_MAX];
    uint64_t offset;
};

// Where in which file the code at `address` of this process comes from.
inline Place place_of(const void* address) {
    Place place = {};
    const uint64_t wanted = reinterpret_cast<uint64_t>(address);
    FILE* maps = fopen("/proc/self/maps", "r");
    char line[PATH_MAX + 200];
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long begin, end, offset;
        int name = 0;
        if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %n", &begin, &end, &offset, &name) < 3) continue;
        if (wanted < begin || wanted >= end) continue;
        snprintf(place.path, sizeof place.path, "%s", line + name);
        place.path[strcspn(place.path, "\n")] = 0;
        place.offset = wanted - begin + offset;
    }
    if (maps) fclose(maps);
    CHECK(place.path[0] == '/');
    return place;
}

inline perf_event_attr attributes(int type, const char* path, uint64_t offset, bool is_return = false) {
    perf_event_attr attributes = {};
    attributes.type = uint32_t(type);
    attributes.size = sizeof attributes;
    attributes.config = is_return;
    attributes.config1 = reinterpret_cast<uint64_t>(path);
    attributes.config2 = offset;
    return attributes;
}

// An event that counts how often `pid` comes to a piece of code of this program.
inline int count(int type, const void* code, pid_t pid = 0, bool is_return = false, int cpu = -1) {
    Place place = place_of(code);
    perf_event_attr asked = attributes(type, place.path, place.offset, is_return);
    return perf::opened(perf::open_event(&asked, pid, cpu));
}

inline uint64_t value(int fd) {
    uint64_t number = ~uint64_t(0);
    CHECK_EQ(read(fd, &number, sizeof number), ssize_t(sizeof number));
    return number;
}

} // namespace uprobe
