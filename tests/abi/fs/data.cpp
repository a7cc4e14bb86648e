// Data of regular files: reads, writes, positions, holes, truncation, vectors, copying, mappings of the same pages.
#include "check.hpp"

#include <csignal>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

off_t size_of(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_size : -1;
}

void test_positions() {
    int fd = open("p", O_CREAT | O_RDWR, 0644);
    CHECK_EQ(write(fd, "hello world", 11), 11);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 11);
    CHECK_EQ(lseek(fd, -5, SEEK_END), 6);
    char text[32] = {};
    CHECK_EQ(read(fd, text, sizeof text), 5);
    CHECK(memcmp(text, "world", 5) == 0);
    CHECK_EQ(read(fd, text, sizeof text), 0);
    CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERRNO(lseek(fd, 0, 99), EINVAL);
    CHECK_EQ(pread(fd, text, 5, 0), 5);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 11);
    CHECK_ERRNO(pread(fd, text, 5, -1), EINVAL);
    CHECK_EQ(pwrite(fd, "J", 1, 0), 1);
    CHECK_EQ(pwrite(fd, "!", 1, 100), 1);
    CHECK_EQ(size_of(fd), 101);
    CHECK_EQ(pread(fd, text, 8, 50), 8);
    CHECK(memcmp(text, "\0\0\0\0\0\0\0\0", 8) == 0);
    int append = open("p", O_WRONLY | O_APPEND);
    CHECK_EQ(write(append, "tail", 4), 4);
    CHECK_EQ(lseek(append, 0, SEEK_CUR), 105);
    CHECK_EQ(pwrite(append, "x", 1, 0), 1); // Linux appends all the same (pwrite(2), BUGS)
    CHECK_EQ(size_of(fd), 106);
    CHECK_ERRNO(read(append, text, 1), EBADF);
    int reader = open("p", O_RDONLY);
    CHECK_ERRNO(write(reader, "x", 1), EBADF);
    CHECK_ERRNO(ftruncate(reader, 0), EINVAL);
    CHECK_EQ(open("p", O_RDWR | O_TRUNC) >= 0, true);
    CHECK_EQ(size_of(fd), 0);
    // The position is shared between duplicates, not between opens.
    int copy = dup(fd);
    lseek(copy, 3, SEEK_SET);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
    CHECK_EQ(write(fd, "data", 4), 4);
    lseek(fd, 0, SEEK_SET);
    CHECK_ERRNO(read(fd, (void*)16, 4), EFAULT);
    CHECK_ERRNO(write(fd, (void*)16, 4), EFAULT);
    CHECK_ERRNO(read(fd, (void*)-4096, 4), EFAULT);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_ERRNO(lseek(ends[0], 0, SEEK_SET), ESPIPE);
    CHECK_ERRNO(pread(ends[0], text, 1, 0), ESPIPE);
}

void test_vectors() {
    int fd = open("v", O_CREAT | O_RDWR, 0644);
    char a[3], b[5];
    iovec out[3] = {{(void*)"one", 3}, {nullptr, 0}, {(void*)"two", 3}};
    CHECK_EQ(writev(fd, out, 3), 6);
    iovec in[2] = {{a, 3}, {b, 5}};
    CHECK_EQ(preadv(fd, in, 2, 0), 6);
    CHECK(memcmp(a, "one", 3) == 0 && memcmp(b, "two", 3) == 0);
    CHECK_ERRNO(readv(fd, in, -1), EINVAL);
    CHECK_ERRNO(readv(fd, in, 1025), EINVAL);
    iovec bad = {a, (size_t)-1};
    CHECK_ERRNO(readv(fd, &bad, 1), EINVAL);
    CHECK_EQ(pwritev(fd, out, 3, 10), 6);
    CHECK_EQ(size_of(fd), 16);
    // A fault in the middle ends the transfer with what was done.
    char* page =
        (char*)mmap(nullptr, 2 * sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + sysconf(_SC_PAGESIZE), sysconf(_SC_PAGESIZE));
    CHECK_EQ(pread(fd, page + sysconf(_SC_PAGESIZE) - 4, 8, 0), 4);
}

void test_sizes() {
    int fd = open("s", O_CREAT | O_RDWR, 0644);
    const off_t page = sysconf(_SC_PAGESIZE), end = 2 * page + page / 2; // data in the third page, holes before it
    CHECK_EQ(ftruncate(fd, end), 0);
    CHECK_EQ(size_of(fd), end);
    struct stat st;
    fstat(fd, &st);
    CHECK_EQ(st.st_blocks, 0);
    CHECK_EQ(pwrite(fd, "x", 1, end - 1000), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_DATA) > 0, true);
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
    CHECK_EQ(lseek(fd, end - 1000, SEEK_HOLE), end);
    CHECK_ERRNO(lseek(fd, end, SEEK_DATA), ENXIO);
    CHECK_EQ(ftruncate(fd, end - 1000), 0);
    CHECK_EQ(ftruncate(fd, end - 900), 0);
    char byte = 1;
    CHECK_EQ(pread(fd, &byte, 1, end - 1000), 1);
    CHECK_EQ(byte, 0);
    CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
    CHECK_ERRNO(truncate("missing", 1), ENOENT);
    CHECK_ERRNO(truncate(".", 1), EISDIR);
    CHECK_EQ(fallocate(fd, 0, 0, 2 * end), 0);
    CHECK_EQ(size_of(fd), 2 * end);
    CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 2 * end, end), 0);
    CHECK_EQ(size_of(fd), 2 * end);
    CHECK_EQ(pwrite(fd, "y", 1, 100), 1);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 16384), 0);
    CHECK_EQ(pread(fd, &byte, 1, 100), 1);
    CHECK_EQ(byte, 0);
    CHECK_ERRNO(fallocate(fd, 0, -1, 5), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 5), EOPNOTSUPP);
    rlimit limit{5000, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int limited = open("l", O_CREAT | O_RDWR, 0644);
    char block[4096] = {};
    CHECK_EQ(write(limited, block, 4096), 4096);
    CHECK_EQ(write(limited, block, 4096), 904);
    CHECK_ERRNO(write(limited, block, 1), EFBIG);
    CHECK_ERRNO(ftruncate(limited, 6000), EFBIG);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
}

void test_copies() {
    int from = open("from", O_CREAT | O_RDWR, 0644);
    int to = open("to", O_CREAT | O_RDWR, 0644);
    char block[100000];
    for (unsigned i = 0; i < sizeof block; i++) block[i] = char(i * 7);
    CHECK_EQ(write(from, block, sizeof block), (ssize_t)sizeof block);
    off_t offset = 10;
    CHECK_EQ(sendfile(to, from, &offset, 50000), 50000);
    CHECK_EQ(offset, 50010);
    CHECK_EQ(lseek(from, 0, SEEK_CUR), (off_t)sizeof block);
    char check[50000];
    CHECK_EQ(pread(to, check, sizeof check, 0), 50000);
    CHECK(memcmp(check, block + 10, sizeof check) == 0);
    off64_t in = 0, out = 1000;
    CHECK_EQ(copy_file_range(from, &in, to, &out, 70000, 0), 70000);
    CHECK_EQ(in, 70000);
    CHECK_EQ(out, 71000);
    CHECK_EQ(size_of(to), 71000);
    CHECK_EQ(pread(to, check, 100, 1000), 100);
    CHECK(memcmp(check, block, 100) == 0);
    CHECK_ERRNO(copy_file_range(from, &in, to, &out, 1, 1), EINVAL);
}

void test_mapping() {
    long page = sysconf(_SC_PAGESIZE);
    int fd = open("m", O_CREAT | O_RDWR, 0644);
    CHECK_EQ(ftruncate(fd, 2 * page), 0);
    char* shared = (char*)mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char* copy = (char*)mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK_EQ(pwrite(fd, "written", 7, 0), 7);
    CHECK(memcmp(shared, "written", 7) == 0);
    CHECK(memcmp(copy, "written", 7) == 0);
    memcpy(shared + page, "mapped", 6);
    char text[8];
    CHECK_EQ(pread(fd, text, 6, page), 6);
    CHECK(memcmp(text, "mapped", 6) == 0);
    copy[0] = 'P';
    CHECK_EQ(shared[0], 'w');
    // Writing a file from its own mapping.
    CHECK_EQ(pwrite(fd, shared + page, 6, 20), 6);
    CHECK(memcmp(shared + 20, "mapped", 6) == 0);
    int reader = open("m", O_RDONLY);
    CHECK(mmap(nullptr, page, PROT_WRITE, MAP_SHARED, reader, 0) == MAP_FAILED && errno == EACCES);
    CHECK(mmap(nullptr, page, PROT_WRITE | PROT_READ, MAP_PRIVATE, reader, 0) != MAP_FAILED);
    int directory = open(".", O_RDONLY);
    CHECK(mmap(nullptr, page, PROT_READ, MAP_SHARED, directory, 0) == MAP_FAILED && errno == ENODEV);
}

} // namespace

int main() {
    char base[] = "/tmp/data.XXXXXX";
    CHECK(mkdtemp(base) != nullptr);
    CHECK_EQ(chdir(base), 0);
    test_positions();
    test_vectors();
    test_sizes();
    test_copies();
    test_mapping();
    return check::result();
}
