// Loop devices (loop(4)): files as disks, what is said of them, and what is refused.
// timeout: 120
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "check.hpp"
#include "proc_text.hpp"

using namespace check;

#ifndef LOOP_CONFIGURE
#define LOOP_CONFIGURE 0x4C0A
struct loop_config {
    __u32 fd, block_size;
    struct loop_info64 info;
    __u64 reserved[8];
};
#endif

static constexpr off_t size_of_file = 1 << 20;
static int control;
static char block[4096], other[4096];

static int make_file(const char* name, off_t size = size_of_file) {
    const int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_OK(fd);
    CHECK_OK(ftruncate(fd, size));
    return fd;
}

static const char* path_of(int number) {
    static char path[2][32];
    static int turn;
    snprintf(path[turn ^= 1], sizeof path[0], "/dev/loop%d", number);
    return path[turn];
}

static int free_loop(int flags = O_RDWR, int* number = nullptr) {
    const int found = ioctl(control, LOOP_CTL_GET_FREE);
    CHECK(found >= 0);
    if (number) *number = found;
    const int fd = open(path_of(found), flags);
    CHECK_OK(fd);
    return fd;
}

static uint64_t bytes_of(int loop) {
    uint64_t bytes = 1;
    CHECK_OK(ioctl(loop, BLKGETSIZE64, &bytes));
    return bytes;
}

/// What /sys says, without the end of the line.
static const char* said(int number, const char* what) {
    char path[96];
    snprintf(path, sizeof path, "/sys/block/loop%d/%s", number, what);
    static char text[256];
    text[0] = 0;
    const int fd = open(path, O_RDONLY);
    if (fd < 0) return "none";
    const ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length - 1 : 0] = 0;
    return text;
}

static void fill(char* bytes, unsigned seed) {
    for (size_t i = 0; i < sizeof block; ++i) bytes[i] = char(seed * 31 + i * 7 + (i >> 8));
}

static void test_free() {
    int number;
    const int loop = free_loop(O_RDWR, &number);
    struct stat status;
    CHECK_OK(fstat(loop, &status));
    CHECK(S_ISBLK(status.st_mode));
    CHECK_EQ(major(status.st_rdev), 7u);
    CHECK_EQ(minor(status.st_rdev), unsigned(number));
    CHECK_EQ(bytes_of(loop), 0u);
    CHECK_EQ(read(loop, block, sizeof block), 0);
    loop_info64 info;
    CHECK_ERRNO(ioctl(loop, LOOP_GET_STATUS64, &info), ENXIO);
    memset(&info, 0, sizeof info);
    CHECK_ERRNO(ioctl(loop, LOOP_SET_STATUS64, &info), ENXIO);
    CHECK_ERRNO(ioctl(loop, LOOP_CLR_FD), ENXIO);
    CHECK_ERRNO(ioctl(loop, LOOP_SET_CAPACITY), ENXIO);
    CHECK_ERRNO(ioctl(loop, LOOP_SET_BLOCK_SIZE, 4096), ENXIO);
    CHECK_ERRNO(ioctl(loop, LOOP_SET_DIRECT_IO, 0), ENXIO);
    CHECK_ERRNO(ioctl(loop, LOOP_SET_STATUS64, 8), EFAULT);
    CHECK_ERRNO(ioctl(loop, LOOP_CONFIGURE, 8), EFAULT);
    CHECK_ERRNO(ioctl(loop, LOOP_SET_FD, 999), EBADF);
    const int zero = open("/dev/zero", O_RDWR);
    CHECK_ERRNO(ioctl(loop, LOOP_SET_FD, zero), EINVAL);
    close(zero);
    CHECK_ERRNO(ioctl(loop, LOOP_SET_FD, loop), EBADF);
    CHECK_ERRNO(ioctl(loop, 0x4cff, 0), EINVAL);
    CHECK_EQ(strcmp(said(number, "loop/backing_file"), "none"), 0);
    close(loop);
}

static void test_bound() {
    int number;
    const int file = make_file("image"), loop = free_loop(O_RDWR, &number);
    CHECK_OK(ioctl(loop, LOOP_SET_FD, file));
    CHECK_ERRNO(ioctl(loop, LOOP_SET_FD, file), EBUSY);
    CHECK_EQ(bytes_of(loop), uint64_t(size_of_file));
    CHECK_EQ(strcmp(said(number, "loop/backing_file"), "/tmp/image"), 0);
    CHECK_EQ(strcmp(said(number, "size"), "2048"), 0);
    CHECK_EQ(strcmp(said(number, "ro"), "0"), 0);
    CHECK_EQ(strcmp(said(number, "loop/autoclear"), "0"), 0);
    CHECK_EQ(strcmp(said(number, "queue/logical_block_size"), "512"), 0);
    CHECK(ioctl(control, LOOP_CTL_GET_FREE) != number);
    for (unsigned i = 0; i < 256; ++i) {
        fill(block, i);
        CHECK_EQ(pwrite(loop, block, sizeof block, off_t(i) * 4096), 4096);
    }
    CHECK_ERRNO(pwrite(loop, block, 1, size_of_file), ENOSPC);
    CHECK_OK(fsync(loop));
    for (unsigned i = 0; i < 256; ++i) {
        fill(block, i);
        CHECK_EQ(pread(file, other, sizeof other, off_t(i) * 4096), 4096);
        if (memcmp(block, other, sizeof block) != 0) failed(__FILE__, __LINE__, "not in the file");
    }
    // Past the cache, what the file has now.
    fill(block, 1000);
    CHECK_EQ(pwrite(file, block, sizeof block, 8192), 4096);
    const int direct = open(path_of(number), O_RDWR | O_DIRECT);
    char* aligned = static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK_EQ(pread(direct, aligned, 4096, 8192), 4096);
    CHECK_EQ(memcmp(aligned, block, 4096), 0);
    close(direct);
    // Where it begins and ends.
    loop_info64 info;
    struct stat status;
    CHECK_OK(fstat(file, &status));
    CHECK_OK(ioctl(loop, LOOP_GET_STATUS64, &info));
    CHECK_EQ(info.lo_inode, status.st_ino);
    CHECK_EQ(info.lo_number, unsigned(number));
    CHECK_EQ(info.lo_offset, 0u);
    CHECK_EQ(info.lo_flags, 0u);
    info.lo_offset = 8192;
    info.lo_sizelimit = 65536;
    strcpy(reinterpret_cast<char*>(info.lo_file_name), "some name");
    CHECK_OK(ioctl(loop, LOOP_SET_STATUS64, &info));
    memset(&info, 0, sizeof info);
    CHECK_OK(ioctl(loop, LOOP_GET_STATUS64, &info));
    CHECK_EQ(info.lo_offset, 8192u);
    CHECK_EQ(info.lo_sizelimit, 65536u);
    CHECK_EQ(strcmp(reinterpret_cast<char*>(info.lo_file_name), "some name"), 0);
    CHECK_EQ(bytes_of(loop), 65536u);
    CHECK_EQ(pread(loop, other, sizeof other, 0), 4096);
    CHECK_EQ(memcmp(block, other, sizeof block), 0);
    info.lo_offset = ~0ull >> 1;
    info.lo_offset += 1;
    CHECK_ERRNO(ioctl(loop, LOOP_SET_STATUS64, &info), EOVERFLOW);
    info.lo_offset = 0;
    info.lo_sizelimit = 0;
    CHECK_OK(ioctl(loop, LOOP_SET_STATUS64, &info));
    CHECK_EQ(bytes_of(loop), uint64_t(size_of_file));
    // The file becomes longer, and shorter than the disk.
    CHECK_OK(ftruncate(file, 2 * size_of_file));
    CHECK_EQ(bytes_of(loop), uint64_t(size_of_file));
    CHECK_OK(ioctl(loop, LOOP_SET_CAPACITY));
    CHECK_EQ(bytes_of(loop), 2u * size_of_file);
    CHECK_OK(ftruncate(file, 4096));
    CHECK_OK(ioctl(loop, BLKFLSBUF));
    const int reader = open(path_of(number), O_RDONLY | O_DIRECT);
    CHECK_ERRNO(pread(reader, aligned, 4096, size_of_file), EIO);
    close(reader);
    munmap(aligned, 4096);
    CHECK_OK(ioctl(loop, LOOP_SET_CAPACITY));
    CHECK_EQ(bytes_of(loop), 4096u);
    CHECK_ERRNO(ioctl(loop, LOOP_SET_BLOCK_SIZE, 256), EINVAL);
    CHECK_ERRNO(ioctl(loop, LOOP_SET_BLOCK_SIZE, 1000), EINVAL);
    CHECK_OK(ioctl(loop, LOOP_SET_BLOCK_SIZE, 4096));
    int size = 0;
    CHECK_OK(ioctl(loop, BLKSSZGET, &size));
    CHECK_EQ(size, 4096);
    CHECK_ERRNO(ioctl(loop, LOOP_CHANGE_FD, file), EINVAL);
    CHECK_ERRNO(ioctl(loop, 0x4cff, 0), EINVAL);
    CHECK_OK(ioctl(loop, LOOP_CLR_FD));
    CHECK_ERRNO(ioctl(loop, LOOP_GET_STATUS64, &info), ENXIO);
    close(loop);
    CHECK_EQ(ioctl(control, LOOP_CTL_GET_FREE), number);
    CHECK_EQ(strcmp(said(number, "loop/backing_file"), "none"), 0);
    CHECK_EQ(strcmp(said(number, "size"), "0"), 0);
    close(file);
    unlink("image");
}

static void test_configure() {
    int number;
    const int file = make_file("image"), loop = free_loop(O_RDWR, &number);
    loop_config config;
    memset(&config, 0, sizeof config);
    config.fd = unsigned(file);
    config.block_size = 1000;
    CHECK_ERRNO(ioctl(loop, LOOP_CONFIGURE, &config), EINVAL);
    config.block_size = 4096;
    config.info.lo_flags = 1 << 20;
    CHECK_ERRNO(ioctl(loop, LOOP_CONFIGURE, &config), EINVAL);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_READ_ONLY;
    config.info.lo_offset = 4096;
    CHECK_OK(ioctl(loop, LOOP_CONFIGURE, &config));
    CHECK_EQ(bytes_of(loop), uint64_t(size_of_file - 4096));
    int value = 0;
    CHECK_OK(ioctl(loop, BLKROGET, &value));
    CHECK_EQ(value, 1);
    CHECK_OK(ioctl(loop, BLKSSZGET, &value));
    CHECK_EQ(value, 4096);
    CHECK_EQ(strcmp(said(number, "loop/autoclear"), "1"), 0);
    CHECK_EQ(strcmp(said(number, "loop/offset"), "4096"), 0);
    CHECK_EQ(strcmp(said(number, "ro"), "1"), 0);
    CHECK_ERRNO(pwrite(loop, block, 512, 0), EPERM);
    // Another of the same size.
    const int second = make_file("second"), third = make_file("third", 4096);
    fill(block, 5);
    CHECK_EQ(pwrite(second, block, sizeof block, 4096), 4096);
    CHECK_EQ(pread(loop, other, sizeof other, 0), 4096);
    CHECK_ERRNO(ioctl(loop, LOOP_CHANGE_FD, third), EINVAL);
    CHECK_OK(ioctl(loop, LOOP_CHANGE_FD, second));
    CHECK_EQ(pread(loop, other, sizeof other, 0), 4096);
    CHECK_EQ(memcmp(block, other, sizeof block), 0);
    close(third);
    close(second);
    // Who has the device open only to read it may look, but root may do more.
    close(loop); // it clears itself
    CHECK_EQ(ioctl(control, LOOP_CTL_GET_FREE), number);
    close(file);
    unlink("image");
    unlink("second");
    unlink("third");
}

static void test_chains() {
    int numbers[3], loops[3];
    const int file = make_file("image");
    int below = file;
    for (int i = 0; i < 3; ++i) {
        loops[i] = free_loop(O_RDWR, &numbers[i]);
        CHECK_OK(ioctl(loops[i], LOOP_SET_FD, below));
        below = loops[i];
    }
    fill(block, 77);
    CHECK_EQ(pwrite(loops[2], block, sizeof block, 12288), 4096);
    CHECK_OK(fsync(loops[2]));
    CHECK_EQ(pread(file, other, sizeof other, 12288), 4096);
    CHECK_EQ(memcmp(block, other, sizeof block), 0);
    CHECK_ERRNO(ioctl(control, LOOP_CTL_REMOVE, numbers[0]), EBUSY);
    // The one at the bottom stays until nothing lies on it.
    CHECK_OK(ioctl(loops[0], LOOP_CLR_FD));
    close(loops[0]);
    CHECK_EQ(pread(loops[2], other, sizeof other, 12288), 4096);
    CHECK_OK(ioctl(loops[2], LOOP_CLR_FD));
    close(loops[2]);
    CHECK_OK(ioctl(loops[1], LOOP_CLR_FD));
    close(loops[1]);
    CHECK_EQ(ioctl(control, LOOP_CTL_GET_FREE), numbers[0]);
    close(file);
    unlink("image");
}

static void test_control() {
    CHECK_EQ(ioctl(control, LOOP_CTL_ADD, 77), 77);
    CHECK_ERRNO(ioctl(control, LOOP_CTL_ADD, 77), EEXIST);
    CHECK_OK(access("/sys/block/loop77", F_OK));
    CHECK_OK(access("/dev/loop77", F_OK));
    const int loop = open("/dev/loop77", O_RDONLY);
    CHECK_ERRNO(ioctl(control, LOOP_CTL_REMOVE, 77), EBUSY);
    close(loop);
    CHECK_OK(ioctl(control, LOOP_CTL_REMOVE, 77));
    CHECK_ERRNO(ioctl(control, LOOP_CTL_REMOVE, 77), ENODEV);
    CHECK_ERRNO(access("/sys/block/loop77", F_OK), ENOENT);
    CHECK_ERRNO(access("/dev/loop77", F_OK), ENOENT);
    CHECK_ERRNO(ioctl(control, LOOP_CTL_REMOVE, -1), EINVAL);
    CHECK_EQ(ioctl(control, LOOP_CTL_ADD, 77), 77);
    CHECK_OK(ioctl(control, LOOP_CTL_REMOVE, 77));
}

/// A table of one partition, by hand.
static void test_partitions() {
    int number;
    const int file = make_file("image"), loop = free_loop(O_RDWR, &number);
    unsigned char table[512] = {};
    table[446 + 4] = 0x83;
    table[446 + 8] = 64;        // first sector
    table[446 + 12 + 1] = 0x01; // 256 sectors
    table[510] = 0x55, table[511] = 0xaa;
    CHECK_EQ(pwrite(file, table, sizeof table, 0), 512);
    fill(block, 9);
    CHECK_EQ(pwrite(file, block, sizeof block, 64 * 512), 4096);
    loop_config config;
    memset(&config, 0, sizeof config);
    config.fd = unsigned(file);
    config.info.lo_flags = LO_FLAGS_PARTSCAN;
    CHECK_OK(ioctl(loop, LOOP_CONFIGURE, &config));
    char path[40];
    snprintf(path, sizeof path, "/dev/loop%dp1", number);
    const int part = open(path, O_RDWR);
    CHECK_OK(part);
    CHECK_EQ(bytes_of(part), 256u * 512);
    CHECK_EQ(pread(part, other, sizeof other, 0), 4096);
    CHECK_EQ(memcmp(block, other, sizeof block), 0);
    CHECK_OK(ioctl(loop, LOOP_CLR_FD)); // when all is closed
    CHECK_EQ(pread(part, other, sizeof other, 4096), 4096);
    close(part);
    close(loop);
    CHECK_ERRNO(access(path, F_OK), ENOENT);
    CHECK_EQ(ioctl(control, LOOP_CTL_GET_FREE), number);
    close(file);
    unlink("image");
}

/// Four threads that take loops, use them and give them back.
static void* take_turns(void* argument) {
    const unsigned mine = unsigned(reinterpret_cast<uintptr_t>(argument));
    char name[16], text[512], seen[512];
    snprintf(name, sizeof name, "turn%u", mine);
    const int file = make_file(name, 65536);
    for (unsigned round = 0; round < 20; ++round) {
        int loop;
        for (;;) { // another may be faster
            loop = free_loop();
            if (ioctl(loop, LOOP_SET_FD, file) == 0) break;
            const int reason = errno;
            CHECK_EQ(reason, EBUSY);
            close(loop);
        }
        memset(text, int(round * 4 + mine), sizeof text);
        CHECK_EQ(pwrite(loop, text, sizeof text, round * 512), 512);
        CHECK_OK(fsync(loop));
        CHECK_EQ(pread(file, seen, sizeof seen, round * 512), 512);
        CHECK_EQ(memcmp(text, seen, sizeof text), 0);
        CHECK_OK(ioctl(loop, LOOP_CLR_FD));
        close(loop);
    }
    close(file);
    unlink(name);
    return nullptr;
}

static void test_threads() {
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; ++i)
        CHECK_EQ(pthread_create(&threads[i], nullptr, take_turns, reinterpret_cast<void*>(i)), 0);
    for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
}

int main() {
    control = open("/dev/loop-control", O_RDWR);
    CHECK_OK(control);
    test_free();
    test_bound();
    test_configure();
    test_chains();
    test_control();
    test_partitions();
    test_threads();
    return result();
}
