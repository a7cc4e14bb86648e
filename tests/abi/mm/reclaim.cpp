// What an administrator sees and turns of reclaim: watermarks, drop_caches, the counters that tell of both. Least
// Linux: 4.6 (watermark_scale_factor).
#include "asleep.hpp"
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

/// 0, or the errno of opening or writing.
int put(const char* path, const char* text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0) return errno;
    ssize_t written = write(fd, text, strlen(text));
    int result = written < 0 ? errno : 0;
    close(fd);
    return result;
}

/// The sum of all values that follow `word` as the first word of a line; -1 when there is none.
long long sum_of(const char* file, const char* word) {
    FILE* stream = fopen(file, "r");
    CHECK(stream != nullptr);
    char line[512], first[128];
    long long sum = -1, value;
    while (fgets(line, sizeof line, stream))
        if (sscanf(line, "%127s %lld", first, &value) == 2 && strcmp(first, word) == 0)
            sum = (sum < 0 ? 0 : sum) + value;
    fclose(stream);
    return sum;
}

long long number_in(const char* file) {
    FILE* stream = fopen(file, "r");
    CHECK(stream != nullptr);
    long long value = -1;
    CHECK_EQ(fscanf(stream, "%lld", &value), 1);
    fclose(stream);
    return value;
}

void put_number(const char* path, long long value) {
    char text[32];
    snprintf(text, sizeof text, "%lld\n", value);
    CHECK_EQ(put(path, text), 0);
}

constexpr const char* zoneinfo = "/proc/zoneinfo";
constexpr const char* vmstat = "/proc/vmstat";
constexpr const char* min_free = "/proc/sys/vm/min_free_kbytes";
constexpr const char* scale = "/proc/sys/vm/watermark_scale_factor";
constexpr const char* drop = "/proc/sys/vm/drop_caches";

void test_watermarks() {
    const long long before = number_in(min_free), factor = number_in(scale);
    CHECK_GE(before, 128);
    const long long min = sum_of(zoneinfo, "min"), low = sum_of(zoneinfo, "low"), high = sum_of(zoneinfo, "high");
    CHECK_GE(min, 1);
    CHECK_GE(low, min);
    CHECK_GE(high, low);
    put_number(min_free, before * 2);
    CHECK_EQ(number_in(min_free), before * 2);
    CHECK_GE(sum_of(zoneinfo, "min"), min + min / 2);
    CHECK_GE(sum_of(zoneinfo, "low"), low + min / 2);
    put_number(min_free, before);
    put_number(scale, 1000);
    CHECK_GE(sum_of(zoneinfo, "low"), low + 1);
    put_number(scale, factor);
    CHECK_EQ(sum_of(zoneinfo, "low"), low);
    CHECK_EQ(put(scale, "0"), EINVAL);
}

void test_drop_caches() {
    const long long pages = sum_of(vmstat, "drop_pagecache"), objects = sum_of(vmstat, "drop_slab");
    CHECK_GE(pages, 0);
    CHECK_GE(objects, 0);
    CHECK_EQ(put(drop, "1\n"), 0);
    CHECK_EQ(sum_of(vmstat, "drop_pagecache"), pages + 1);
    CHECK_EQ(sum_of(vmstat, "drop_slab"), objects);
    CHECK_EQ(put(drop, "2"), 0);
    CHECK_EQ(sum_of(vmstat, "drop_pagecache"), pages + 1);
    CHECK_EQ(sum_of(vmstat, "drop_slab"), objects + 1);
    CHECK_EQ(put(drop, "3"), 0);
    CHECK_EQ(sum_of(vmstat, "drop_pagecache"), pages + 2);
    CHECK_EQ(put(drop, "0"), EINVAL);
    CHECK_EQ(put(drop, "5"), EINVAL);
    CHECK_EQ(put(drop, "many"), EINVAL);
}

/// Names that were looked for are kept, as reclaimable memory, until they are dropped: in file systems in memory or in
/// generated ones, as the kernel likes.
void test_names_are_reclaimable() {
    constexpr int names = 20000;
    CHECK_EQ(put(drop, "2"), 0);
    const long long before = sum_of("/proc/meminfo", "SReclaimable:");
    char path[64];
    struct stat status;
    for (int i = 0; i < names; i++) {
        snprintf(path, sizeof path, "/tmp/there-is-no-such-name-%d", i);
        CHECK_EQ(stat(path, &status), -1);
        snprintf(path, sizeof path, "/sys/kernel/there-is-no-such-name-%d", i);
        CHECK_EQ(stat(path, &status), -1);
    }
    const long long full = sum_of("/proc/meminfo", "SReclaimable:");
    CHECK_GE(full, before + 1024);
    // Linux frees names a little later.
    long long after = full;
    CHECK(check::eventually([&] {
        CHECK_EQ(put(drop, "2"), 0);
        after = sum_of("/proc/meminfo", "SReclaimable:");
        return full - after >= (full - before) / 2;
    }));
    CHECK_GE(sum_of("/proc/meminfo", "KReclaimable:"), after - 1024);
}

} // namespace

int main() {
    if (getuid() != 0) return 0;
    test_watermarks();
    test_drop_caches();
    test_names_are_reclaimable();
    return check::result();
}
