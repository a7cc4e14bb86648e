// Reading ahead of those who read a disk one page after the other, and what programs say of that: posix_fadvise(2),
// readahead(2), madvise(2), the disk's own limit. cachestat(2) tells what has come into memory, or is on its way.
// needs-linux: 6.5
// timeout: 240
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "check.hpp"
#include "child.hpp"
#include "memory.hpp"

using namespace check;
using memory::page;

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
#ifndef BLKFRASET
#define BLKFRASET 0x1264
#define BLKFRAGET 0x1265
#endif

static constexpr size_t megabyte = 1 << 20, disk_size = 64 * megabyte, default_limit = 128 << 10;
static constexpr const char* limit_file = "/sys/block/vda/queue/read_ahead_kb";
static char* buffer;

static int open_disk(int flags = O_RDONLY) {
    const int fd = open("/dev/vda", flags | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

/// Pages in memory, or being read.
static long cached(int fd, size_t offset = 0, size_t length = 0) {
    struct {
        uint64_t offset, length;
    } const range{offset, length};
    struct {
        uint64_t cached, dirty, written_back, evicted, recently_evicted;
    } counts{};
    CHECK_OK(syscall(SYS_cachestat, fd, &range, &counts, 0L));
    return long(counts.cached);
}

static void forget_all(int fd) {
    // What is still being read stays the first time.
    for (int tries = 0; tries < 1000; ++tries) {
        CHECK_OK(ioctl(fd, BLKFLSBUF));
        if (cached(fd) == 0) return;
        const timespec moment{0, 1'000'000};
        nanosleep(&moment, nullptr);
    }
    CHECK_EQ(cached(fd), 0);
}

/// What the disk holds: each word its place.
static bool is_right(const char* bytes, size_t offset, size_t size) {
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        if (word != (offset + i) * 0x9e3779b97f4a7c15) return false;
    }
    return true;
}

static void fill_disk() {
    const int fd = open_disk(O_WRONLY);
    for (size_t offset = 0; offset < disk_size; offset += megabyte) {
        for (size_t i = 0; i < megabyte; i += 8) {
            const uint64_t word = (offset + i) * 0x9e3779b97f4a7c15;
            memcpy(buffer + i, &word, 8);
        }
        CHECK_EQ(pwrite(fd, buffer, megabyte, off_t(offset)), ssize_t(megabyte));
    }
    CHECK_OK(fsync(fd));
    close(fd);
}

static void read_right(int fd, size_t offset, size_t size, char* to = buffer) {
    CHECK_EQ(pread(fd, to, size, off_t(offset)), ssize_t(size));
    CHECK(is_right(to, offset, size));
}

static void set_limit(const char* kilobytes) {
    const int fd = open(limit_file, O_WRONLY);
    CHECK_OK(fd);
    CHECK_EQ(write(fd, kilobytes, strlen(kilobytes)), ssize_t(strlen(kilobytes)));
    close(fd);
}

static long limit() {
    FILE* file = fopen(limit_file, "r");
    long kilobytes = -1;
    CHECK_EQ(fscanf(file, "%ld", &kilobytes), 1);
    fclose(file);
    return kilobytes;
}

static void test_limit() {
    const int fd = open_disk();
    long sectors = 0;
    CHECK_OK(ioctl(fd, BLKRAGET, &sectors));
    CHECK_EQ(sectors, long(default_limit / 512));
    CHECK_EQ(limit(), long(default_limit / 1024));
    CHECK_OK(ioctl(fd, BLKRASET, 512L));
    CHECK_OK(ioctl(fd, BLKFRAGET, &sectors));
    CHECK_EQ(sectors, 512l);
    CHECK_EQ(limit(), 256l);
    set_limit("64\n");
    CHECK_OK(ioctl(fd, BLKRAGET, &sectors));
    CHECK_EQ(sectors, 128l);
    CHECK_OK(ioctl(fd, BLKFRASET, 256L));
    CHECK_EQ(limit(), long(default_limit / 1024));
    CHECK_ERRNO(ioctl(fd, BLKRAGET, 0L), EINVAL);
    CHECK_ERRNO(ioctl(fd, BLKFRAGET, 8L), EFAULT);
    const int knob = open(limit_file, O_WRONLY);
    CHECK_ERRNO(write(knob, "many", 4), EINVAL);
    close(knob);
    run_in_child([&] {
        CHECK_OK(setuid(1000));
        CHECK_ERRNO(ioctl(fd, BLKRASET, 8L), EACCES);
        CHECK_ERRNO(ioctl(fd, BLKFRASET, 8L), EACCES);
        CHECK_OK(ioctl(fd, BLKRAGET, &sectors));
        CHECK_ERRNO(open(limit_file, O_WRONLY), EACCES);
    });
    CHECK_EQ(limit(), long(default_limit / 1024));
    close(fd);
}

/// Page by page; then more has come than was read, but not much.
static void test_sequential(int advice, size_t most_ahead) {
    const int fd = open_disk();
    forget_all(fd);
    CHECK_EQ(posix_fadvise(fd, 0, 0, advice), 0);
    for (size_t at = 0; at < megabyte; at += page) {
        read_right(fd, at, page);
        CHECK(cached(fd) >= long(at / page + 1));
        CHECK(cached(fd) <= long((at + page + most_ahead) / page));
    }
    CHECK(cached(fd) > long(megabyte / page));
    // From the midst on, as well.
    const size_t start = 20 * megabyte;
    for (size_t at = start; at < start + megabyte; at += page) read_right(fd, at, page);
    const long there = cached(fd, start, 4 * megabyte);
    CHECK(there > long(megabyte / page));
    CHECK(there <= long((megabyte + most_ahead) / page));
    close(fd);
}

/// In pieces that are larger than what is read ahead, and in crooked ones.
static void test_large_reads() {
    const int fd = open_disk();
    forget_all(fd);
    for (size_t at = 0; at < 8 * megabyte; at += megabyte) read_right(fd, at, megabyte);
    for (size_t at = 8 * megabyte, size = 8; at < 12 * megabyte; at += size, size = size * 3 % 100'000 / 8 * 8 + 8)
        read_right(fd, at, size);
    close(fd);
}

/// Pages here and there, and in the wrong order: nothing else comes.
static void test_random(int advice) {
    const int fd = open_disk();
    forget_all(fd);
    CHECK_EQ(posix_fadvise(fd, 0, 0, advice), 0);
    const size_t count = 64;
    for (size_t i = 0; i < count; ++i) read_right(fd, (count - i) * 37 * page, page);
    CHECK_EQ(cached(fd), long(count));
    // Only who said so gets no more when going on.
    forget_all(fd);
    for (size_t i = 1; i <= count; ++i) read_right(fd, i * page, page);
    if (advice == POSIX_FADV_RANDOM)
        CHECK_EQ(cached(fd), long(count));
    else
        CHECK(cached(fd) > long(count));
    // Several pages at once are no more than those.
    if (advice == POSIX_FADV_RANDOM) {
        forget_all(fd);
        read_right(fd, 5 * megabyte, 64 * page);
        CHECK_EQ(cached(fd), 64l);
    }
    close(fd);
}

static void test_no_limit() {
    set_limit("0");
    const int fd = open_disk();
    forget_all(fd);
    for (size_t i = 0; i < 64; ++i) read_right(fd, i * page, page);
    CHECK_EQ(cached(fd), 64l);
    close(fd);
    set_limit("128");
}

static void test_willneed() {
    const int fd = open_disk();
    const size_t size = 512 << 10;
    forget_all(fd);
    CHECK_EQ(posix_fadvise(fd, off_t(megabyte), off_t(size), POSIX_FADV_WILLNEED), 0);
    CHECK_EQ(cached(fd), long(size / page));
    CHECK_EQ(cached(fd, megabyte, size), long(size / page));
    read_right(fd, megabyte, size);
    CHECK_OK(readahead(fd, off_t(3 * megabyte), 100 << 10));
    CHECK_EQ(cached(fd, 3 * megabyte, megabyte), long(((100 << 10) + page - 1) / page));
    read_right(fd, 3 * megabyte, 100 << 10);
    // What is there already stays; the rest comes.
    CHECK_OK(readahead(fd, off_t(3 * megabyte - (64 << 10)), 256 << 10));
    read_right(fd, 3 * megabyte - (64 << 10), 256 << 10);
    // The end, and behind it.
    forget_all(fd);
    CHECK_OK(readahead(fd, off_t(disk_size - 2 * page), megabyte));
    CHECK_OK(readahead(fd, off_t(disk_size), megabyte));
    CHECK_OK(readahead(fd, off_t(disk_size * 100), megabyte));
    CHECK_OK(readahead(fd, 0, 0)); // nothing, or all
    CHECK_EQ(cached(fd, disk_size - megabyte), 2l);
    read_right(fd, disk_size - 2 * page, 2 * page);
    CHECK_EQ(pread(fd, buffer, page, off_t(disk_size)), 0);
    close(fd);
}

static void test_errors() {
    const int fd = open_disk(), writer = open_disk(O_WRONLY);
    CHECK_ERRNO(readahead(-1, 0, 1), EBADF);
    CHECK_ERRNO(readahead(writer, 0, 1), EBADF);
    CHECK_ERRNO(readahead(fd, 0, ~size_t{0}), EINVAL);
    int ends[2];
    CHECK_OK(pipe(ends));
    CHECK_ERRNO(readahead(ends[0], 0, 1), EINVAL);
    CHECK_EQ(posix_fadvise(ends[0], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
    const int directory = open("/", O_RDONLY | O_DIRECTORY), place = open("/", O_PATH);
    CHECK_ERRNO(readahead(directory, 0, 1), EINVAL);
    CHECK_ERRNO(readahead(place, 0, 1), EBADF);
    CHECK_EQ(posix_fadvise(fd, 0, 0, 17), EINVAL);
    CHECK_EQ(posix_fadvise(fd, 0, -1, POSIX_FADV_WILLNEED), EINVAL);
    CHECK_EQ(posix_fadvise(-1, 0, 0, POSIX_FADV_WILLNEED), EBADF);
    const int memory = memfd_create("some", 0);
    CHECK_OK(ftruncate(memory, long(4 * page)));
    CHECK_EQ(posix_fadvise(memory, 0, 0, POSIX_FADV_DONTNEED), 0);
    for (const int each : {fd, writer, ends[0], ends[1], directory, place, memory}) close(each);
}

static void test_dontneed() {
    const int fd = open_disk(O_RDWR);
    forget_all(fd);
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
    read_right(fd, 0, 64 * page);
    CHECK_EQ(cached(fd), 64l);
    // Parts of pages are kept.
    CHECK_EQ(posix_fadvise(fd, off_t(10 * page + 1), off_t(4 * page), POSIX_FADV_DONTNEED), 0);
    CHECK_EQ(cached(fd), 61l);
    CHECK_EQ(cached(fd, 10 * page, page), 1l);
    CHECK_EQ(cached(fd, 11 * page, 3 * page), 0l);
    CHECK_EQ(cached(fd, 14 * page, page), 1l);
    CHECK_EQ(posix_fadvise(fd, off_t(20 * page + 1), 100, POSIX_FADV_DONTNEED), 0);
    CHECK_EQ(cached(fd), 61l);
    read_right(fd, 0, 64 * page);
    // What somebody maps stays.
    auto* const place = static_cast<char*>(mmap(nullptr, page, PROT_READ, MAP_SHARED, fd, long(30 * page)));
    CHECK(place != MAP_FAILED);
    CHECK(is_right(place, 30 * page, page));
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    CHECK_EQ(cached(fd, 30 * page, page), 1l);
    CHECK_EQ(cached(fd, 0, 14 * page), 0l);
    munmap(place, page);
    // And what is not stored yet is not lost.
    read_right(fd, 40 * page, page);
    CHECK_EQ(pwrite(fd, "changed", 7, off_t(40 * page)), 7);
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    CHECK_EQ(pread(fd, buffer, 7, off_t(40 * page)), 7);
    CHECK_EQ(memcmp(buffer, "changed", 7), 0);
    const uint64_t word = 40 * page * 0x9e3779b97f4a7c15;
    CHECK_EQ(pwrite(fd, &word, 8, off_t(40 * page)), 8);
    CHECK_OK(fsync(fd));
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    CHECK_EQ(cached(fd), 0l);
    read_right(fd, 40 * page, page);
    close(fd);
}

static void test_mappings() {
    const int fd = open_disk();
    const size_t size = 4 * megabyte, middle = 2 * megabyte;
    const auto map = [&] {
        forget_all(fd);
        auto* const place = static_cast<char*>(mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0));
        REQUIRE(place != MAP_FAILED);
        return place;
    };
    char* place = map();
    CHECK(is_right(place + middle, middle, page));
    const long around = cached(fd);
    CHECK(around > 1 && around <= long(2 * default_limit / page));
    CHECK(cached(fd, 0, middle) > 0);
    CHECK(cached(fd, middle + page) > 0);
    CHECK(is_right(place, 0, size));
    munmap(place, size);
    place = map();
    CHECK_OK(madvise(place, size, MADV_RANDOM));
    CHECK(is_right(place + middle, middle, page));
    CHECK_EQ(cached(fd), 1l);
    munmap(place, size);
    place = map();
    CHECK_OK(madvise(place + megabyte, megabyte / 2, MADV_WILLNEED));
    CHECK_EQ(cached(fd), long(megabyte / 2 / page));
    CHECK(is_right(place + megabyte, megabyte, megabyte / 2));
    munmap(place, size);
    place = map();
    CHECK_OK(madvise(place, size, MADV_SEQUENTIAL));
    CHECK(is_right(place, 0, size));
    munmap(place, size);
    // A private page that is written first.
    forget_all(fd);
    place = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    place[middle + 8] = 'x';
    CHECK(is_right(place + middle + 16, middle + 16, page - 16));
    CHECK_EQ(place[middle + 8], 'x');
    munmap(place, size);
    close(fd);
}

static std::atomic<bool> ends;

static void* read_part(void* argument) {
    const size_t start = reinterpret_cast<size_t>(argument) * 16 * megabyte;
    const int fd = open_disk();
    static const size_t sizes[] = {4096, 12288, 1000, 65536, 200'000};
    char* const own = static_cast<char*>(malloc(megabyte));
    for (size_t at = start, i = 0; at + megabyte < start + 16 * megabyte; ++i) {
        const size_t size = sizes[i % 5] / 8 * 8;
        read_right(fd, at, size, own);
        at += size;
    }
    free(own);
    close(fd);
    return nullptr;
}

/// Takes away what they have read ahead, in the midst of it, and stores what was there over it.
static void* disturb(void*) {
    const int fd = open_disk(O_RDWR);
    char* const own = static_cast<char*>(malloc(megabyte));
    unsigned seed = 1;
    while (!ends) {
        const size_t at = size_t(rand_r(&seed)) % (disk_size - megabyte) / page * page;
        switch (rand_r(&seed) % 4) {
        case 0:
            CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
            break;
        case 1:
            CHECK_OK(ioctl(fd, BLKFLSBUF));
            break;
        case 2:
            CHECK_OK(readahead(fd, off_t(at), megabyte));
            break;
        default:
            read_right(fd, at, 8 * page, own);
            CHECK_EQ(pwrite(fd, own, 8 * page, off_t(at)), ssize_t(8 * page));
        }
    }
    free(own);
    close(fd);
    return nullptr;
}

static void test_threads() {
    const int fd = open_disk();
    forget_all(fd);
    pthread_t readers[4], other;
    ends = false;
    CHECK_EQ(pthread_create(&other, nullptr, disturb, nullptr), 0);
    for (size_t i = 0; i < 4; ++i)
        CHECK_EQ(pthread_create(&readers[i], nullptr, read_part, reinterpret_cast<void*>(i)), 0);
    for (pthread_t& reader : readers) pthread_join(reader, nullptr);
    ends = true;
    pthread_join(other, nullptr);
    // One open file for all of them.
    forget_all(fd);
    static int shared;
    shared = fd;
    for (size_t i = 0; i < 4; ++i)
        CHECK_EQ(pthread_create(
                     &readers[i], nullptr,
                     [](void* number) -> void* {
                         char* const own = static_cast<char*>(malloc(page));
                         for (size_t at = reinterpret_cast<size_t>(number) * page; at < 4 * megabyte; at += 4 * page)
                             read_right(shared, at, page, own);
                         free(own);
                         return nullptr;
                     },
                     reinterpret_cast<void*>(i)),
                 0);
    for (pthread_t& reader : readers) pthread_join(reader, nullptr);
    close(fd);
}

/// Reads may fail for want of memory, where the kernel lets that be tried, but never give what is wrong.
static void test_lack_of_memory() {
    const int faults = open("/proc/sys/vm/fail_allocations", O_WRONLY);
    if (faults < 0) return;
    const int fd = open_disk();
    for (const char* how : {"pages every=3", "heap every=2", "all every=5", "all every=1"}) {
        forget_all(fd);
        run_in_child([&] {
            if (write(faults, how, strlen(how)) < 0) _exit(1);
            for (size_t at = 0; at < 2 * megabyte; at += 2 * page) {
                const ssize_t got = pread(fd, buffer, 2 * page, off_t(at));
                const bool is_fine = got > 0 ? is_right(buffer, at, size_t(got)) : got == -1 && errno == ENOMEM;
                if (!is_fine) _exit(2);
            }
            _exit(0);
        });
    }
    CHECK_OK(write(faults, "off", 3));
    close(faults);
    for (size_t at = 0; at < 2 * megabyte; at += page) read_right(fd, at, page);
    close(fd);
}

int main() {
    buffer = static_cast<char*>(aligned_alloc(65536, megabyte));
    fill_disk();
    test_limit();
    test_sequential(POSIX_FADV_NORMAL, 2 * default_limit);
    test_sequential(POSIX_FADV_SEQUENTIAL, 4 * default_limit);
    test_large_reads();
    test_random(POSIX_FADV_NORMAL);
    test_random(POSIX_FADV_RANDOM);
    test_no_limit();
    test_willneed();
    test_errors();
    test_dontneed();
    test_mappings();
    test_threads();
    test_lack_of_memory();
    return check::result();
}
