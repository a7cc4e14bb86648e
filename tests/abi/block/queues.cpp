// A disk that has a queue for each CPU: threads on all of them write and read at a time, what they find is their own,
// and the counts of all queues add up. /sys/block/vda/mq says which CPU uses which queue. timeout: 180
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.hpp"

static constexpr size_t block = 4096, megabyte = 1 << 20, part = 16 * megabyte, transfers = 400;
static constexpr int threads = 4;

static void fill(char* to, uint64_t place, uint64_t round) {
    for (size_t i = 0; i < block; i += 8) {
        const uint64_t word = (place + i) * 0x9e3779b97f4a7c15 + round;
        memcpy(to + i, &word, 8);
    }
}

static bool is_filled(const char* from, uint64_t place, uint64_t round) {
    static thread_local char expected[block];
    fill(expected, place, round);
    return memcmp(from, expected, block) == 0;
}

/// Linux, Documentation/admin-guide/iostats.rst.
struct Counts {
    unsigned long long reads, reads_merged, sectors_read, read_ms, writes, writes_merged, sectors_written, write_ms,
        in_flight;
};

static Counts counts() {
    Counts now = {};
    FILE* file = fopen("/sys/block/vda/stat", "r");
    unsigned long long* const fields = &now.reads;
    for (int i = 0; i < 9; ++i) CHECK_EQ(fscanf(file, "%llu", &fields[i]), 1);
    fclose(file);
    return now;
}

static void* move_blocks(void* argument) {
    const auto number = reinterpret_cast<intptr_t>(argument);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(number, &one);
    CHECK_OK(sched_setaffinity(0, sizeof one, &one));
    const int fd = open("/dev/vda", O_RDWR | O_DIRECT | O_CLOEXEC);
    CHECK_OK(fd);
    char* const buffer = static_cast<char*>(aligned_alloc(block, block));
    for (uint64_t round = 0; round < 2; ++round) {
        // In an order of their own, and each place twice over.
        for (size_t i = 0; i < transfers; ++i) {
            const uint64_t place = uint64_t(number) * part + i * 263 % transfers * 2 * block;
            fill(buffer, place, round);
            CHECK_EQ(pwrite(fd, buffer, block, off_t(place)), ssize_t(block));
        }
        for (size_t i = 0; i < transfers; ++i) {
            const uint64_t place = uint64_t(number) * part + i * 2 * block;
            CHECK_EQ(pread(fd, buffer, block, off_t(place)), ssize_t(block));
            CHECK(is_filled(buffer, place, round));
        }
    }
    free(buffer);
    close(fd);
    return nullptr;
}

static void test_threads() {
    const Counts before = counts();
    pthread_t running[threads];
    for (intptr_t i = 0; i < threads; ++i)
        CHECK_EQ(pthread_create(&running[i], nullptr, move_blocks, reinterpret_cast<void*>(i)), 0);
    for (pthread_t& each : running) pthread_join(each, nullptr);
    const Counts after = counts();
    const unsigned long long moved = threads * 2 * transfers;
    CHECK_EQ(after.sectors_written - before.sectors_written, moved * (block / 512));
    CHECK_EQ(after.sectors_read - before.sectors_read, moved * (block / 512));
    CHECK_EQ(after.writes + after.writes_merged - before.writes - before.writes_merged, moved);
    CHECK_EQ(after.reads + after.reads_merged - before.reads - before.reads_merged, moved);
    CHECK_EQ(after.in_flight, 0ull);
}

/// Large transfers through the page cache, stored by whom it may be; what other CPUs read afterwards is that.
static void* write_pages(void* argument) {
    const auto number = reinterpret_cast<intptr_t>(argument);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(number, &one);
    CHECK_OK(sched_setaffinity(0, sizeof one, &one));
    const int fd = open("/dev/vda", O_RDWR | O_CLOEXEC);
    char* const buffer = static_cast<char*>(malloc(block));
    for (uint64_t place = uint64_t(number) * part; place < uint64_t(number + 1) * part; place += block) {
        fill(buffer, place, 7);
        CHECK_EQ(pwrite(fd, buffer, block, off_t(place)), ssize_t(block));
        if (place % (4 * megabyte) == 0) CHECK_OK(fdatasync(fd));
    }
    CHECK_OK(fsync(fd));
    free(buffer);
    close(fd);
    return nullptr;
}

static void test_pages() {
    pthread_t running[threads];
    for (intptr_t i = 0; i < threads; ++i)
        CHECK_EQ(pthread_create(&running[i], nullptr, write_pages, reinterpret_cast<void*>(i)), 0);
    for (pthread_t& each : running) pthread_join(each, nullptr);
    const int fd = open("/dev/vda", O_RDONLY | O_CLOEXEC);
    CHECK_OK(ioctl(fd, BLKFLSBUF));
    char* const buffer = static_cast<char*>(malloc(block));
    for (uint64_t place = 0; place < threads * part; place += block) {
        CHECK_EQ(pread(fd, buffer, block, off_t(place)), ssize_t(block));
        CHECK(is_filled(buffer, place, 7));
    }
    free(buffer);
    close(fd);
}

static long number_in(const char* path) {
    FILE* file = fopen(path, "r");
    long number = -1;
    CHECK(file && fscanf(file, "%ld", &number) == 1);
    if (file) fclose(file);
    return number;
}

/// Each CPU is in the list of one queue.
static void test_sysfs() {
    int queues = 0;
    unsigned cpus = 0;
    DIR* directory = opendir("/sys/block/vda/mq");
    CHECK(directory);
    if (!directory) return;
    while (dirent* entry = readdir(directory)) {
        if (entry->d_name[0] == '.') continue;
        ++queues;
        char path[300];
        snprintf(path, sizeof path, "/sys/block/vda/mq/%s/cpu_list", entry->d_name);
        FILE* list = fopen(path, "r");
        CHECK(list);
        unsigned cpu;
        for (const char* format = "%u"; fscanf(list, format, &cpu) == 1; format = ", %u") {
            CHECK(!(cpus & 1u << cpu));
            cpus |= 1u << cpu;
        }
        fclose(list);
        struct stat status;
        CHECK_OK(stat(path, &status));
        CHECK_EQ(status.st_mode & 07777, 0444u);
        snprintf(path, sizeof path, "/sys/block/vda/mq/%s/nr_tags", entry->d_name);
        CHECK(number_in(path) >= 4);
        snprintf(path, sizeof path, "/sys/block/vda/mq/%s/nr_reserved_tags", entry->d_name);
        CHECK_EQ(number_in(path), 0l);
    }
    closedir(directory);
    CHECK_EQ(queues, threads);
    CHECK_EQ(cpus, (1u << threads) - 1);
    CHECK(number_in("/sys/block/vda/queue/nr_requests") >= 4);
    CHECK_EQ(number_in("/sys/block/vda/queue/fua"), 0l);
}

int main() {
    test_sysfs();
    test_threads();
    test_pages();
    return check::result();
}
