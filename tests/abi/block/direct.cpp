// O_DIRECT of block devices (open(2), "O_DIRECT"): what must be aligned, memory of all kinds, what becomes of the page
// cache, fork and other threads meanwhile.
// timeout: 180
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "check.hpp"

using namespace check;

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000u
#endif

static constexpr off_t size_of_disk = 64 << 20;
static constexpr size_t large = 4 << 20; // more than any disk takes at once
static char* area;                       // `large` bytes, page aligned

static int open_disk(int flags) {
    const int fd = open("/dev/vda", flags);
    CHECK_OK(fd);
    return fd;
}

static void fill(char* bytes, size_t size, unsigned seed) {
    for (size_t i = 0; i < size; ++i) bytes[i] = char(seed * 31 + i * 7 + (i >> 8) * 3);
}

static bool is_filled(const char* bytes, size_t size, unsigned seed) {
    for (size_t i = 0; i < size; ++i)
        if (bytes[i] != char(seed * 31 + i * 7 + (i >> 8) * 3)) return false;
    return true;
}

static void* map(size_t size, int protection = PROT_READ | PROT_WRITE, int flags = MAP_PRIVATE | MAP_ANONYMOUS,
                 int fd = -1, off_t offset = 0) {
    void* memory = mmap(nullptr, size, protection, flags, fd, offset);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static void test_alignment() {
    const int fd = open_disk(O_RDWR | O_DIRECT);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_DIRECT, O_DIRECT);
    CHECK_EQ(pread(fd, area, 512, 0), 512);
    CHECK_EQ(pread(fd, area + 512, 1536, 512), 1536);
    CHECK_ERRNO(pread(fd, area, 511, 0), EINVAL);
    CHECK_ERRNO(pread(fd, area, 513, 0), EINVAL);
    CHECK_ERRNO(pread(fd, area, 512, 1), EINVAL);
    CHECK_ERRNO(pread(fd, area, 512, 256), EINVAL);
    CHECK_ERRNO(pread(fd, area + 1, 512, 0), EINVAL);
    CHECK_ERRNO(pwrite(fd, area, 100, 0), EINVAL);
    CHECK_ERRNO(pwrite(fd, area, 512, 100), EINVAL);
    CHECK_ERRNO(pwrite(fd, area + 2, 512, 0), EINVAL);
    const iovec uneven[] = {{area, 512}, {area + 4096, 500}, {area + 8192, 12}};
    CHECK_ERRNO(preadv(fd, uneven, 3, 0), EINVAL);
    CHECK_EQ(pread(fd, area, 0, 0), 0);
    CHECK_EQ(pread(fd, area, 4096, size_of_disk), 0);
    CHECK_EQ(pread(fd, area, 4096, size_of_disk - 512), 512);
    CHECK_ERRNO(pwrite(fd, area, 4096, size_of_disk), ENOSPC);
    // It can be taken back, and asked for again.
    CHECK_OK(fcntl(fd, F_SETFL, 0));
    CHECK_EQ(pread(fd, area + 1, 511, 1), 511);
    CHECK_OK(fcntl(fd, F_SETFL, O_DIRECT));
    CHECK_ERRNO(pread(fd, area + 1, 511, 1), EINVAL);
    close(fd);
    struct statx status = {};
    CHECK_OK(statx(AT_FDCWD, "/dev/vda", 0, STATX_DIOALIGN, &status));
    CHECK(status.stx_mask & STATX_DIOALIGN);
    const unsigned* alignment = reinterpret_cast<const unsigned*>(reinterpret_cast<const char*>(&status) + 0x98);
    CHECK_EQ(alignment[0], 512u);
    CHECK_EQ(alignment[1], 512u);
    // Where there is nothing to go past.
    CHECK_ERRNO(open("/dev/zero", O_RDONLY | O_DIRECT), EINVAL);
    CHECK_ERRNO(open("/proc/self/status", O_RDONLY | O_DIRECT), EINVAL);
    CHECK_ERRNO(open("/tmp", O_RDONLY | O_DIRECT), EINVAL);
    const int zero = open("/dev/zero", O_RDONLY);
    CHECK_ERRNO(fcntl(zero, F_SETFL, O_DIRECT), EINVAL);
    close(zero);
}

static void test_transfers() {
    const int fd = open_disk(O_RDWR | O_DIRECT);
    fill(area, large, 1);
    CHECK_EQ(pwrite(fd, area, large, 1 << 20), ssize_t(large));
    memset(area, 0, large);
    CHECK_EQ(pread(fd, area, large, 1 << 20), ssize_t(large));
    CHECK(is_filled(area, large, 1));
    // By position, and to the end of the disk.
    CHECK_EQ(lseek(fd, size_of_disk - 8192, SEEK_SET), size_of_disk - 8192);
    CHECK_EQ(write(fd, area, 4096), 4096);
    CHECK_EQ(write(fd, area + 4096, 8192), 4096);
    CHECK_ERRNO(write(fd, area, 512), ENOSPC);
    CHECK_EQ(pread(fd, area + 16384, 65536, size_of_disk - 8192), 8192);
    CHECK_EQ(memcmp(area + 16384, area, 8192), 0);
    // Many small pieces, out of order, across pages.
    iovec parts[64];
    for (unsigned i = 0; i < 64; ++i) parts[i] = {area + (i * 37 % 64) * 8192 + 3584, 1024};
    for (unsigned i = 0; i < 64; ++i) memset(parts[i].iov_base, int(i + 1), 1024);
    CHECK_EQ(pwritev(fd, parts, 64, 8 << 20), 65536);
    memset(area, 0, 65536);
    CHECK_EQ(pread(fd, area, 65536, 8 << 20), 65536);
    for (unsigned i = 0; i < 64; ++i) CHECK(area[i * 1024] == char(i + 1) && area[i * 1024 + 1023] == char(i + 1));
    memset(area, 0, 64 * 8192);
    CHECK_EQ(preadv(fd, parts, 64, 8 << 20), 65536);
    for (unsigned i = 0; i < 64; ++i) CHECK_EQ(static_cast<char*>(parts[i].iov_base)[1023], char(i + 1));
    close(fd);
    const int durable = open_disk(O_RDWR | O_DIRECT | O_SYNC);
    CHECK_EQ(pwrite(durable, area, 8192, 0), 8192);
    close(durable);
    const int reader = open_disk(O_RDONLY | O_DIRECT);
    CHECK_ERRNO(pwrite(reader, area, 512, 0), EBADF);
    close(reader);
}

/// Memory that isn't there, may not be written, was never touched, is shared, a file's, or a mapping of the disk.
static void test_memory() {
    const int fd = open_disk(O_RDWR | O_DIRECT);
    fill(area, 65536, 7);
    CHECK_EQ(pwrite(fd, area, 65536, 0), 65536);
    CHECK_ERRNO(pread(fd, reinterpret_cast<void*>(4096), 4096, 0), EFAULT);
    CHECK_ERRNO(pwrite(fd, reinterpret_cast<void*>(4096), 4096, 0), EFAULT);
    CHECK_ERRNO(pread(fd, reinterpret_cast<void*>(~0ul << 13), 4096, 0), EFAULT);
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    char* memory = static_cast<char*>(map(8 * page));
    CHECK_OK(mprotect(memory, page, PROT_READ));
    CHECK_ERRNO(pread(fd, memory, page, 0), EFAULT);
    CHECK_EQ(pwrite(fd, memory, page, 32768), ssize_t(page)); // zeros that nobody has touched
    CHECK_EQ(pread(fd, memory + page, page, 32768), ssize_t(page));
    for (size_t i = 0; i < page; ++i)
        if (memory[page + i] != 0) return failed(__FILE__, __LINE__, "not zero");
    // A hole behind the first pages.
    CHECK_OK(munmap(memory + 4 * page, page));
    const ssize_t some = pread(fd, memory + 2 * page, 4 * page, 0);
    CHECK(some == ssize_t(2 * page) || (some == -1 && errno == EFAULT));
    if (some > 0) CHECK(is_filled(memory + 2 * page, size_t(some), 7));
    munmap(memory, 8 * page);
    // Shared memory.
    memory = static_cast<char*>(map(65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS));
    fill(area, 65536, 9);
    CHECK_EQ(pwrite(fd, area, 65536, 0), 65536);
    CHECK_EQ(pread(fd, memory, 65536, 0), 65536);
    CHECK(is_filled(memory, 65536, 9));
    munmap(memory, 65536);
    // Part of a large private mapping, written to for the first time by the disk.
    memory = static_cast<char*>(map(large));
    CHECK_EQ(pread(fd, memory + 65536, 65536, 0), 65536);
    CHECK(is_filled(memory + 65536, 65536, 9));
    munmap(memory, large);
    // A mapping of the same disk, elsewhere and at the same place.
    const int mapped = open_disk(O_RDWR);
    memory = static_cast<char*>(map(131072, PROT_READ | PROT_WRITE, MAP_SHARED, mapped));
    fill(memory + 65536, 65536, 10);
    CHECK_EQ(pread(fd, memory + 65536, 65536, 0), 65536);
    CHECK(is_filled(memory + 65536, 65536, 9));
    CHECK_EQ(pwrite(fd, memory + 65536, 32768, 131072), 32768);
    CHECK_EQ(pread(fd, area, 32768, 131072), 32768);
    CHECK(is_filled(area, 32768, 9));
    CHECK_EQ(pwrite(fd, memory, 32768, 0), 32768);
    CHECK(is_filled(memory, 32768, 9));
    CHECK_EQ(pread(fd, memory, 32768, 0), 32768);
    CHECK(is_filled(memory, 32768, 9));
    munmap(memory, 131072);
    close(mapped);
    close(fd);
}

static void test_coherence() {
    const int direct = open_disk(O_RDWR | O_DIRECT), buffered = open_disk(O_RDWR);
    char* mapping = static_cast<char*>(map(65536, PROT_READ | PROT_WRITE, MAP_SHARED, buffered));
    for (unsigned round = 0; round < 20; ++round) {
        char* text = area + 65536;
        // Written through the cache, read past it.
        fill(text, 65536, round);
        CHECK_EQ(pwrite(buffered, text, 65536, 0), 65536);
        CHECK_EQ(pread(direct, area, 65536, 0), 65536);
        CHECK(is_filled(area, 65536, round));
        // The other way round, in pieces of pages.
        fill(area, 65536, round + 100);
        for (unsigned i = round & 7; i < 128; i += 2) CHECK_EQ(pwrite(direct, area + i * 512, 512, i * 512), 512);
        for (unsigned i = 1 - (round & 1); i < 128; i += 2) memcpy(mapping + i * 512, area + i * 512, 512);
        CHECK_EQ(pwrite(direct, area, (round & 7) * 512, 0), (round & 7) * 512);
        CHECK_EQ(memcmp(mapping, area, 65536), 0);
        CHECK_EQ(pread(buffered, text, 65536, 0), 65536);
        CHECK(is_filled(text, 65536, round + 100));
        // Written by the mapping.
        memset(mapping + 5000, int(round), 3000);
        CHECK_EQ(pread(direct, area, 16384, 0), 16384);
        CHECK_EQ(memcmp(area, mapping, 16384), 0);
    }
    munmap(mapping, 65536);
    close(buffered);
    close(direct);
}

/// Four threads, each in sectors of its own, which share pages with those of the others.
static void* write_and_look(void* argument) {
    const unsigned number = unsigned(reinterpret_cast<uintptr_t>(argument));
    const int direct = open_disk(O_RDWR | O_DIRECT), buffered = open_disk(O_RDWR);
    char* mine = area + number * 65536;
    char* seen = mine + 32768;
    char* mapping = static_cast<char*>(map(65536, PROT_READ | PROT_WRITE, MAP_SHARED, buffered, 1 << 20));
    for (unsigned round = 0; round < 150; ++round) {
        const off_t sector = (round * 7 % 32) * 4 + number;
        fill(mine, 512, round * 4 + number);
        const int fd = round % 3 == 0 ? buffered : direct;
        if (round % 3 == 2)
            memcpy(mapping + sector * 512, mine, 512);
        else
            CHECK_EQ(pwrite(fd, mine, 512, (1 << 20) + sector * 512), 512);
        CHECK_EQ(pread(round & 1 ? buffered : direct, seen, 512, (1 << 20) + sector * 512), 512);
        if (memcmp(seen, mine, 512) != 0) failed(__FILE__, __LINE__, "another's");
        if (round % 3 != 2 && memcmp(mapping + sector * 512, mine, 512) != 0) failed(__FILE__, __LINE__, "not mapped");
        if (round % 16 == number) CHECK_OK(fdatasync(buffered));
    }
    munmap(mapping, 65536);
    close(buffered);
    close(direct);
    return nullptr;
}

static void test_threads() {
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; ++i)
        CHECK_EQ(pthread_create(&threads[i], nullptr, write_and_look, reinterpret_cast<void*>(i)), 0);
    for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
}

/// What the disk writes into memory while the program forks is the parent's.
static volatile bool has_read;
static void* read_much(void*) {
    const int fd = open_disk(O_RDONLY | O_DIRECT);
    for (unsigned round = 0; round < 40; ++round) {
        memset(area, 0, 1 << 20);
        CHECK_EQ(pread(fd, area, 1 << 20, 4 << 20), 1 << 20);
        if (!is_filled(area, 1 << 20, 33)) failed(__FILE__, __LINE__, "lost by fork");
    }
    has_read = true;
    close(fd);
    return nullptr;
}

static void test_fork() {
    const int fd = open_disk(O_RDWR | O_DIRECT);
    fill(area, 1 << 20, 33);
    CHECK_EQ(pwrite(fd, area, 1 << 20, 4 << 20), 1 << 20);
    close(fd);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, nullptr, read_much, nullptr), 0);
    while (!has_read) {
        const pid_t child = fork();
        if (child == 0) {
            memset(area, 1, 1 << 20);
            _exit(0);
        }
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
    }
    pthread_join(thread, nullptr);
}

int main() {
    area = static_cast<char*>(map(large));
    fill(area, large, 0);
    test_alignment();
    test_transfers();
    test_memory();
    test_coherence();
    test_fork();
    test_threads();
    return result();
}
