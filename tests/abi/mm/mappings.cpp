// mmap, munmap, mprotect, mremap, madvise, mincore, msync, mlock and brk: what they do and what they refuse. Least
// Linux: 5.14.
#include "check.hpp"
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

const size_t page = size_t(sysconf(_SC_PAGESIZE));

char* map(size_t pages, int prot = PROT_READ | PROT_WRITE, int flags = MAP_PRIVATE | MAP_ANONYMOUS) {
    void* place = mmap(nullptr, pages * page, prot, flags, -1, 0);
    CHECK(place != MAP_FAILED);
    return static_cast<char*>(place);
}

bool is_mapped(const void* place) {
    unsigned char resident;
    return mincore(const_cast<void*>(place), page, &resident) == 0;
}

int file_with(const char* contents, size_t size) {
    char name[] = "/tmp/mappings.XXXXXX";
    mkdir("/tmp", 01777);
    int fd = mkstemp(name);
    CHECK(fd >= 0);
    unlink(name);
    CHECK_EQ(pwrite(fd, contents, strlen(contents), 0), ssize_t(strlen(contents)));
    CHECK_EQ(ftruncate(fd, off_t(size)), 0);
    return fd;
}

void test_arguments() {
    const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    CHECK_ERRNO(mmap(nullptr, 0, PROT_READ, anonymous, -1, 0), EINVAL);
    CHECK_ERRNO(mmap(nullptr, page, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERRNO(mmap(nullptr, page, PROT_READ, MAP_PRIVATE, -1, 0), EBADF);
    CHECK_ERRNO(mmap(nullptr, ~size_t(0), PROT_READ, anonymous, -1, 0), ENOMEM);
    CHECK_ERRNO(mmap(reinterpret_cast<void*>(page * 100 + 1), page, PROT_READ, anonymous | MAP_FIXED, -1, 0), EINVAL);
    char* place = map(3);
    CHECK_ERRNO(mmap(place + page, page, PROT_READ, anonymous | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    CHECK_ERRNO(munmap(place + 1, page), EINVAL);
    CHECK_ERRNO(munmap(place, 0), EINVAL);
    CHECK_ERRNO(mprotect(place + 1, page, PROT_READ), EINVAL);
    CHECK_ERRNO(mprotect(place, page, 0x40), EINVAL);
    CHECK_EQ(mprotect(place, 0, PROT_READ), 0);
    CHECK_EQ(munmap(place + page, page), 0);
    CHECK_ERRNO(mprotect(place, 3 * page, PROT_READ), ENOMEM);
    CHECK_ERRNO(madvise(place, 3 * page, MADV_DONTNEED), ENOMEM);
    CHECK_ERRNO(madvise(place, page, 12345), EINVAL);
    CHECK_ERRNO(msync(place, 3 * page, MS_SYNC), ENOMEM);
    CHECK_ERRNO(msync(place, page, MS_SYNC | MS_ASYNC), EINVAL);
    CHECK_ERRNO(mlock(place, 3 * page), ENOMEM);
    CHECK_EQ(munlock(place, page), 0);
    unsigned char resident[3];
    CHECK_ERRNO(mincore(place, 3 * page, resident), ENOMEM);
    CHECK_ERRNO(mincore(place + 1, page, resident), EINVAL);
    CHECK_ERRNO(mincore(place, page, nullptr), EFAULT);
    CHECK_ERRNO(mremap(place, page, 0, 0), EINVAL);
    CHECK_ERRNO(mremap(place, 3 * page, 4 * page, MREMAP_MAYMOVE), EFAULT);
    CHECK_ERRNO(mremap(place, page, page, MREMAP_FIXED, place + 8 * page), EINVAL);
    // Unmapping what isn't mapped is success.
    CHECK_EQ(munmap(place, 3 * page), 0);
    CHECK_EQ(munmap(place, 3 * page), 0);
    CHECK(!is_mapped(place));
}

void test_file_rights() {
    int fd = file_with("hello", page + 100);
    std::string path = "/proc/self/fd/" + std::to_string(fd);
    int read_only = open(path.c_str(), O_RDONLY);
    int write_only = open(path.c_str(), O_WRONLY);
    CHECK(read_only >= 0 && write_only >= 0);
    CHECK_ERRNO(mmap(nullptr, page, PROT_READ, MAP_PRIVATE, write_only, 0), EACCES);
    CHECK_ERRNO(mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, read_only, 0), EACCES);
    CHECK_ERRNO(mmap(nullptr, page, PROT_READ, MAP_SHARED, read_only, 1), EINVAL);
    CHECK_ERRNO(mmap(nullptr, page, PROT_READ, MAP_SHARED_VALIDATE | 0x200000, read_only, 0), EOPNOTSUPP);
    void* shared = mmap(nullptr, page, PROT_READ, MAP_SHARED, read_only, 0);
    CHECK(shared != MAP_FAILED);
    CHECK_ERRNO(mprotect(shared, page, PROT_READ | PROT_WRITE), EACCES);
    char* copy = static_cast<char*>(mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, read_only, 0));
    CHECK(copy != MAP_FAILED);
    copy[0] = 'J';
    CHECK_EQ(static_cast<char*>(shared)[0], 'h');
    char text[6] = {};
    CHECK_EQ(pwrite(fd, "y", 1, 4), 1);
    memcpy(text, shared, 5);
    CHECK_EQ(strcmp(text, "helly"), 0);
    char* written = static_cast<char*>(mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CHECK(written != MAP_FAILED);
    written[1] = 'a';
    CHECK_EQ(pread(fd, text, 5, 0), 5);
    CHECK_EQ(strcmp(text, "hally"), 0);
    CHECK_EQ(msync(written, page, MS_SYNC), 0);
    munmap(written, page), munmap(copy, page), munmap(shared, page);
    close(fd), close(read_only), close(write_only);
}

void test_remap() {
    char* place = map(8);
    for (int i = 0; i < 8; i++) place[size_t(i) * page] = char(i + 1);
    CHECK(mremap(place, 8 * page, 4 * page, 0) == place);
    CHECK(!is_mapped(place + 4 * page));
    CHECK(mremap(place, 4 * page, 6 * page, 0) == place);
    CHECK_EQ(place[3 * page], 4);
    CHECK_EQ(place[5 * page], 0);
    char* wall = map(1);
    munmap(wall, page);
    CHECK(mmap(place + 6 * page, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
    CHECK_ERRNO(mremap(place, 6 * page, 9 * page, 0), ENOMEM);
    char* moved = static_cast<char*>(mremap(place, 6 * page, 9 * page, MREMAP_MAYMOVE));
    CHECK(moved != MAP_FAILED && moved != place);
    CHECK(!is_mapped(place));
    CHECK_EQ(moved[2 * page], 3);
    char* target = map(4);
    CHECK(mremap(moved + page, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, target + page) == target + page);
    CHECK_EQ(target[page], 2);
    CHECK_EQ(target[0], 0);
    CHECK(!is_mapped(moved + page));
    CHECK_EQ(moved[3 * page], 4);
    munmap(moved, 9 * page), munmap(target, 4 * page);
}

void test_advice() {
    char* place = map(4);
    memset(place, 7, 4 * page);
    CHECK_EQ(madvise(place + page, page, MADV_DONTNEED), 0);
    CHECK_EQ(place[page], 0);
    CHECK_EQ(place[0], 7);
    unsigned char resident[4];
    CHECK_EQ(madvise(place + 2 * page, page, MADV_DONTNEED), 0);
    CHECK_EQ(mincore(place, 4 * page, resident), 0);
    CHECK_EQ(resident[0] & 1, 1);
    CHECK_EQ(resident[2] & 1, 0);
    CHECK_EQ(madvise(place, 4 * page, 23 /* MADV_POPULATE_WRITE */), 0);
    CHECK_EQ(mincore(place, 4 * page, resident), 0);
    CHECK_EQ(resident[2] & 1, 1);
    CHECK_EQ(madvise(place, 4 * page, MADV_SEQUENTIAL), 0);
    CHECK_EQ(madvise(place, 4 * page, MADV_WILLNEED), 0);
    CHECK_EQ(madvise(place, 0, MADV_NORMAL), 0);
    munmap(place, 4 * page);
}

void test_limits() {
    rlimit old;
    CHECK_EQ(getrlimit(RLIMIT_AS, &old), 0);
    rlimit tight{size_t(64) << 20, old.rlim_max};
    char* before = map(1);
    CHECK_EQ(setrlimit(RLIMIT_AS, &tight), 0);
    CHECK_ERRNO(mmap(nullptr, size_t(100) << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    CHECK_EQ(setrlimit(RLIMIT_AS, &old), 0);
    munmap(before, page);
}

void test_break() {
    char* start = static_cast<char*>(sbrk(0));
    CHECK(start != reinterpret_cast<char*>(-1));
    CHECK(sbrk(long(3 * page)) == start);
    start[0] = 1, start[3 * page - 1] = 2;
    CHECK(sbrk(-long(2 * page)) == start + 3 * page);
    CHECK(sbrk(long(2 * page)) == start + page);
    CHECK_EQ(start[3 * page - 1], 0);
    CHECK_EQ(brk(start), 0);
    CHECK_ERRNO(brk(reinterpret_cast<void*>(~uintptr_t(0) / 4)), ENOMEM);
}

} // namespace

int main() {
    test_arguments();
    test_file_rights();
    test_remap();
    test_advice();
    test_limits();
    test_break();
    return check::result();
}
