// How requests reach a disk: what lies side by side goes together, and /sys/block/vda/stat counts it.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "check.hpp"

static const size_t megabyte = 1 << 20;
static int disk;
static char* memory;

/// Linux, Documentation/block/stat.rst.
struct Counts {
    unsigned long long reads, reads_merged, sectors_read, read_ms, writes, writes_merged, sectors_written, write_ms,
        in_flight, busy_ms, weighted_ms, discards, discards_merged, sectors_discarded, discard_ms, flushes, flush_ms;
};

static Counts counts() {
    Counts now = {};
    FILE* file = fopen("/sys/block/vda/stat", "r");
    unsigned long long* const fields = &now.reads;
    for (int i = 0; i < 17; ++i) CHECK_EQ(fscanf(file, "%llu", &fields[i]), 1);
    fclose(file);
    return now;
}

static void test_stores() {
    const Counts before = counts();
    for (size_t i = 0; i < 8; ++i) CHECK_EQ(pwrite(disk, memory, megabyte, off_t(i * megabyte)), ssize_t(megabyte));
    CHECK_OK(fsync(disk));
    const Counts after = counts();
    CHECK_EQ(after.sectors_written - before.sectors_written, 8 * megabyte / 512);
    const unsigned long long requests = after.writes - before.writes;
    CHECK(requests >= 7 && requests <= 8 * megabyte / (128 << 10)); // of at most 1.25 MiB, and not of pages
    CHECK_EQ(after.sectors_read, before.sectors_read);              // whole pages need not be read first
    CHECK(after.flushes > before.flushes);
    CHECK_EQ(after.in_flight, 0ull);
    CHECK(after.busy_ms >= before.busy_ms);
    CHECK(after.weighted_ms - before.weighted_ms + 17 >=
          after.write_ms - before.write_ms); // each of them is rounded down
}

/// Every other page: nothing lies side by side.
static void test_scattered_stores() {
    const size_t page = size_t(sysconf(_SC_PAGESIZE)), count = 64;
    const Counts before = counts();
    for (size_t i = 0; i < count; ++i) CHECK_EQ(pwrite(disk, memory, page, off_t(2 * i * page)), ssize_t(page));
    CHECK_OK(fsync(disk));
    const Counts after = counts();
    CHECK_EQ(after.sectors_written - before.sectors_written, count * page / 512);
    CHECK_EQ(after.writes - before.writes, (unsigned long long)count + 1); // a flush counts as one without sectors
}

static void test_sequential_reads() {
    CHECK_OK(ioctl(disk, BLKFLSBUF));
    const Counts before = counts();
    for (size_t i = 0; i < 8 * megabyte; i += 4096) CHECK_EQ(pread(disk, memory, 4096, off_t(i)), 4096);
    const Counts after = counts();
    const unsigned long long sectors = after.sectors_read - before.sectors_read, requests = after.reads - before.reads;
    CHECK(sectors >= 8 * megabyte / 512);
    CHECK(sectors / requests >= (64 << 10) / 512); // 64 KiB each, or more
}

static void test_direct() {
    const int direct = open("/dev/vda", O_RDWR | O_DIRECT);
    CHECK_OK(direct);
    const Counts before = counts();
    CHECK_EQ(pwrite(direct, memory, 256 << 10, 0), 256 << 10);
    CHECK_EQ(pread(direct, memory, 256 << 10, 0), 256 << 10);
    const Counts after = counts();
    CHECK_EQ(after.sectors_written - before.sectors_written, 512ull);
    CHECK_EQ(after.sectors_read - before.sectors_read, 512ull);
    CHECK(after.writes - before.writes <= 2 && after.reads - before.reads <= 2);
    close(direct);
}

int main() {
    disk = open("/dev/vda", O_RDWR | O_CLOEXEC);
    CHECK_OK(disk);
    memory = static_cast<char*>(aligned_alloc(65536, megabyte));
    CHECK(memory);
    memset(memory, 0x5a, megabyte);
    test_stores();
    test_scattered_stores();
    test_direct();
    test_sequential_reads(); // what is read ahead may come later
    memset(memory, 0, megabyte);
    for (size_t i = 0; i < 8; ++i) CHECK_EQ(pwrite(disk, memory, megabyte, off_t(i * megabyte)), ssize_t(megabyte));
    close(disk);
    return check::result();
}
