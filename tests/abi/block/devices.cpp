// The files of block devices: sizes, positions, reading and writing, ioctls of the whole disk (the guest's /dev/vda is
// there to be written to).
// timeout: 180
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "check.hpp"
#include "child.hpp"
#include "proc_text.hpp"

using namespace check;

static constexpr off_t size_of_disk = 64 << 20;
static char block[4096], other[4096];

static int open_disk(int flags = O_RDWR) {
    const int fd = open("/dev/vda", flags);
    CHECK_OK(fd);
    return fd;
}

static void test_size() {
    const int fd = open_disk();
    struct stat status;
    CHECK_OK(fstat(fd, &status));
    CHECK(S_ISBLK(status.st_mode));
    CHECK_EQ(status.st_size, 0);
    CHECK_EQ(minor(status.st_rdev), 0u);
    uint64_t bytes = 0;
    unsigned long sectors = 0;
    int number = 0;
    unsigned wide = 0;
    unsigned short narrow = 0;
    CHECK_OK(ioctl(fd, BLKGETSIZE64, &bytes));
    CHECK_EQ(bytes, uint64_t(size_of_disk));
    CHECK_OK(ioctl(fd, BLKGETSIZE, &sectors));
    CHECK_EQ(sectors, size_of_disk / 512ul);
    CHECK_OK(ioctl(fd, BLKSSZGET, &number));
    CHECK_EQ(number, 512);
    CHECK_OK(ioctl(fd, BLKPBSZGET, &wide));
    CHECK_EQ(wide, 512u);
    CHECK_OK(ioctl(fd, BLKIOMIN, &wide));
    CHECK_EQ(wide, 512u);
    CHECK_OK(ioctl(fd, BLKALIGNOFF, &wide));
    CHECK_EQ(wide, 0u);
    CHECK_OK(ioctl(fd, BLKBSZGET, &number));
    CHECK(number >= 512 && number <= 65536);
    CHECK_OK(ioctl(fd, BLKROGET, &number));
    CHECK_EQ(number, 0);
    CHECK_OK(ioctl(fd, BLKSECTGET, &narrow));
    CHECK(narrow >= 8);
    CHECK_ERRNO(ioctl(fd, BLKGETSIZE64, 8), EFAULT);
    CHECK_ERRNO(ioctl(fd, 0x12ff, 0), ENOTTY);
    CHECK_EQ(lseek(fd, 0, SEEK_END), size_of_disk);
    CHECK_EQ(lseek(fd, -512, SEEK_END), size_of_disk - 512);
    CHECK_ERRNO(lseek(fd, 1, SEEK_END), EINVAL);
    CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
    close(fd);
    CHECK(strstr(proc_text::read_file("/proc/partitions"), "      65536 vda\n") != nullptr);
    CHECK(strstr(proc_text::read_file("/proc/diskstats"), " vda ") != nullptr);
}

static void fill(char* bytes, unsigned seed) {
    for (size_t i = 0; i < sizeof block; ++i) bytes[i] = char(seed * 31 + i * 7 + (i >> 8));
}

static void test_transfers() {
    int fd = open_disk();
    CHECK_EQ(pread(fd, block, sizeof block, size_of_disk), 0);
    CHECK_EQ(pread(fd, block, sizeof block, size_of_disk - 100), 100);
    CHECK_ERRNO(pwrite(fd, block, sizeof block, size_of_disk), ENOSPC);
    CHECK_ERRNO(pwrite(fd, block, 1, size_of_disk), ENOSPC);
    fill(block, 1);
    CHECK_EQ(pwrite(fd, block, sizeof block, size_of_disk - 1000), 1000);
    CHECK_EQ(pread(fd, other, sizeof other, size_of_disk - 1000), 1000);
    CHECK_EQ(memcmp(block, other, 1000), 0);
    // Any piece anywhere.
    for (unsigned i = 0; i < 200; ++i) {
        fill(block, i);
        const off_t place = off_t(i) * 123457;
        const size_t length = 1 + i * 19;
        CHECK_EQ(pwrite(fd, block, length, place), ssize_t(length));
    }
    CHECK_OK(fsync(fd));
    CHECK_OK(fdatasync(fd));
    close(fd);
    fd = open_disk();
    CHECK_OK(ioctl(fd, BLKFLSBUF, 0));
    for (unsigned i = 0; i < 200; ++i) {
        fill(block, i);
        const size_t length = 1 + i * 19;
        memset(other, 0, sizeof other);
        CHECK_EQ(pread(fd, other, length, off_t(i) * 123457), ssize_t(length));
        if (memcmp(block, other, length) != 0) failed(__FILE__, __LINE__, "not what was written");
    }
    CHECK_ERRNO(pread(fd, reinterpret_cast<void*>(8), 100, 0), EFAULT);
    CHECK_ERRNO(pwrite(fd, reinterpret_cast<void*>(8), 100, 0), EFAULT);
    CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
    close(fd);
    fd = open_disk(O_WRONLY | O_APPEND); // which means nothing here
    CHECK_EQ(write(fd, block, 1), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_END), size_of_disk);
    CHECK_ERRNO(write(fd, block, 1), ENOSPC);
    CHECK_ERRNO(read(fd, block, 1), EBADF);
    close(fd);
    fd = open_disk(O_RDONLY);
    CHECK_ERRNO(write(fd, block, 1), EBADF);
    close(fd);
    fd = open_disk(O_RDWR | O_SYNC);
    CHECK_EQ(pwrite(fd, "synchronous", 11, 77), 11);
    close(fd);
}

static void test_mappings() {
    const int fd = open_disk();
    char* memory = static_cast<char*>(mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 1 << 20));
    REQUIRE(memory != MAP_FAILED);
    strcpy(memory + 12345, "by memory");
    CHECK_EQ(pread(fd, other, 10, (1 << 20) + 12345), 10);
    CHECK_STREQ(other, "by memory");
    CHECK_EQ(pwrite(fd, "by write", 9, (1 << 20) + 999), 9);
    CHECK_STREQ(memory + 999, "by write");
    CHECK_OK(msync(memory, 1 << 20, MS_SYNC));
    close(fd);
    CHECK_STREQ(memory + 12345, "by memory");
    munmap(memory, 1 << 20);
    const int again = open_disk(O_RDONLY);
    CHECK_EQ(pread(again, other, 10, (1 << 20) + 12345), 10);
    CHECK_STREQ(other, "by memory");
    close(again);
}

static void test_exclusive() {
    const int first = open_disk(O_RDWR | O_EXCL);
    CHECK_ERRNO(open("/dev/vda", O_RDONLY | O_EXCL), EBUSY);
    const int second = open_disk(O_RDONLY);
    close(first);
    const int third = open_disk(O_RDONLY | O_EXCL);
    close(second), close(third);
}

static void test_read_only() {
    const int fd = open_disk();
    int on = 1, off = 0;
    CHECK_OK(ioctl(fd, BLKROSET, &on));
    CHECK_ERRNO(pwrite(fd, block, 512, 0), EPERM);
    uint64_t range[2] = {0, 4096};
    CHECK_ERRNO(ioctl(fd, BLKZEROOUT, range), EPERM);
    CHECK_OK(ioctl(fd, BLKROSET, &off));
    CHECK_EQ(pwrite(fd, block, 512, 0), 512);
    close(fd);
}

static void test_ranges() {
    const int fd = open_disk();
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 8; ++i) CHECK_EQ(pwrite(fd, block, sizeof block, (8 << 20) + i * 4096), 4096);
    uint64_t range[2] = {(8 << 20) + 4096 + 512, 3 * 4096};
    CHECK_OK(ioctl(fd, BLKZEROOUT, range));
    for (int i = 0; i < 8 * 4096; i += 512) {
        CHECK_EQ(pread(fd, other, 512, (8 << 20) + i), 512);
        const bool is_zero = i >= 4096 + 512 && i < 4 * 4096 + 512;
        if (other[0] != (is_zero ? 0 : 'x') || other[511] != other[0]) {
            failed(__FILE__, __LINE__, "not zeroed as asked");
            break;
        }
    }
    range[0] = 16 << 20, range[1] = 1 << 20;
    CHECK_OK(ioctl(fd, BLKDISCARD, range));
    range[0] = 1;
    CHECK_ERRNO(ioctl(fd, BLKDISCARD, range), EINVAL);
    CHECK_ERRNO(ioctl(fd, BLKZEROOUT, range), EINVAL);
    range[0] = 512, range[1] = size_of_disk;
    CHECK_ERRNO(ioctl(fd, BLKDISCARD, range), EINVAL);
    range[0] = ~0ull << 9, range[1] = 1024;
    CHECK_ERRNO(ioctl(fd, BLKZEROOUT, range), EINVAL);
    CHECK_ERRNO(ioctl(fd, BLKZEROOUT, 8), EFAULT);
    range[0] = 4096, range[1] = 0;
    CHECK_ERRNO(ioctl(fd, BLKZEROOUT, range), EINVAL);
    CHECK_ERRNO(ioctl(fd, BLKDISCARD, range), EINVAL);
    close(fd);
    const int reader = open_disk(O_RDONLY);
    range[0] = 0, range[1] = 512;
    CHECK_ERRNO(ioctl(reader, BLKDISCARD, range), EBADF);
    CHECK_ERRNO(ioctl(reader, BLKZEROOUT, range), EBADF);
    close(reader);
}

static void test_rights() {
    const int fd = open_disk();
    run_in_child([fd] {
        CHECK_OK(setresgid(65534, 65534, 65534));
        CHECK_OK(setresuid(65534, 65534, 65534));
        CHECK_ERRNO(open("/dev/vda", O_RDONLY), EACCES);
        int on = 1;
        CHECK_ERRNO(ioctl(fd, BLKROSET, &on), EACCES);
        CHECK_ERRNO(ioctl(fd, BLKFLSBUF, 0), EACCES);
        CHECK_ERRNO(ioctl(fd, BLKRRPART, 0), EACCES);
    });
    close(fd);
}

/// Four threads, each with a quarter of a stretch: what one wrote it reads, while all of it is synced and mapped.
static void* work(void* argument) {
    const unsigned mine = unsigned(reinterpret_cast<uintptr_t>(argument));
    char written[1024], seen[1024];
    const int fd = open_disk();
    unsigned state = mine;
    for (int i = 0; i < 300; ++i) {
        state = state * 1103515245 + 12345;
        const off_t place = (32 << 20) + off_t((state >> 8) % 512) * 4096 + mine * 1024;
        memset(written, int(state >> 16), sizeof written);
        CHECK_EQ(pwrite(fd, written, sizeof written, place), 1024);
        if (i % 64 == 0) CHECK_OK(fdatasync(fd));
        CHECK_EQ(pread(fd, seen, sizeof seen, place), 1024);
        if (memcmp(written, seen, sizeof seen) != 0) failed(__FILE__, __LINE__, "another thread's bytes");
    }
    close(fd);
    return nullptr;
}

static void test_races() {
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; ++i) pthread_create(&threads[i], nullptr, work, reinterpret_cast<void*>(i));
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
}

int main() {
    test_size();
    test_transfers();
    test_mappings();
    test_exclusive();
    test_read_only();
    test_ranges();
    test_rights();
    test_races();
    return result();
}
