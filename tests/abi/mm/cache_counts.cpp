// cachestat and remap_file_pages. Least Linux: 6.5.
// needs-linux: 6.5
#include "check.hpp"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

namespace {

const size_t page = size_t(sysconf(_SC_PAGESIZE));

struct Range {
    unsigned long offset, length;
};
struct Counts {
    unsigned long cached, dirty, written_back, evicted, recently_evicted;
};

int count(int fd, const Range* range, Counts* counts, unsigned flags = 0) {
    return int(syscall(SYS_cachestat, fd, range, counts, flags));
}
long cached(int fd, size_t offset, size_t length) {
    Range range{offset, length};
    Counts counts{};
    return count(fd, &range, &counts) == 0 ? long(counts.cached) : -1;
}

void test_cachestat() {
    int fd = memfd_create("counts", 0);
    Range all{0, 0};
    Counts counts;
    CHECK_ERRNO(count(-1, &all, &counts), EBADF);
    CHECK_ERRNO(count(fd, nullptr, &counts), EFAULT);
    CHECK_ERRNO(count(fd, &all, nullptr), EFAULT);
    CHECK_ERRNO(count(fd, &all, &counts, 1), EINVAL);
    int path = open("/", O_PATH);
    CHECK_ERRNO(count(path, &all, &counts), EBADF);
    close(path);
    CHECK_EQ(ftruncate(fd, long(16 * page)), 0);
    CHECK_EQ(cached(fd, 0, 0), 0);
    for (size_t i = 2; i < 10; i++) CHECK_EQ(pwrite(fd, "x", 1, off_t(i * page)), 1);
    CHECK_EQ(cached(fd, 0, 0), 8);
    CHECK_EQ(cached(fd, 0, 16 * page), 8);
    CHECK_EQ(cached(fd, 4 * page, 0), 6);
    CHECK_EQ(cached(fd, 2 * page, 1), 1);
    CHECK_EQ(cached(fd, 3 * page - 1, 2), 2);
    CHECK_EQ(cached(fd, 0, 2 * page), 0);
    CHECK_EQ(cached(fd, 0, 2 * page + 1), 1);
    CHECK_EQ(cached(fd, 100 * page, page), 0);
    CHECK_EQ(cached(fd, ~0ul, 0), 0);
    CHECK_EQ(cached(fd, page, ~0ul), 0); // the end wraps
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(cached(ends[0], 0, 0), 0);
    close(ends[0]), close(ends[1]), close(fd);
}

#ifdef SYS_remap_file_pages
long remap(void* place, size_t length, long prot, size_t first, long flags = 0) {
    return syscall(SYS_remap_file_pages, place, length, prot, first, flags);
}

void test_remap_file_pages() {
    int fd = memfd_create("pages", 0);
    CHECK_EQ(ftruncate(fd, long(8 * page)), 0);
    for (int i = 0; i < 8; i++) {
        char byte = char('0' + i);
        CHECK_EQ(pwrite(fd, &byte, 1, off_t(size_t(i) * page)), 1);
    }
    char* place = static_cast<char*>(mmap(nullptr, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    REQUIRE(place != MAP_FAILED);
    CHECK_EQ(remap(place, page, 0, 3), 0);
    CHECK_EQ(remap(place + page, 2 * page + 5, 0, 6, MAP_NONBLOCK), 0);
    CHECK_EQ(place[0], '3');
    CHECK_EQ(place[page], '6');
    CHECK_EQ(place[2 * page], '7');
    CHECK_EQ(place[3 * page], '3');
    place[0] = 'n';
    CHECK_EQ(place[3 * page], 'n');
    CHECK_ERRNO(remap(place, page, PROT_READ, 0), EINVAL);
    CHECK_ERRNO(remap(place, 0, 0, 0), EINVAL);
    CHECK_ERRNO(remap(place, ~size_t(0), 0, 0), EINVAL);
    CHECK_ERRNO(remap(place, page, 0, ~size_t(0)), EINVAL);
    CHECK_ERRNO(remap(place, 8 * page, 0, 0), EINVAL);
    CHECK_EQ(remap(place + 5, page, 0, 1), 0); // rounded down
    CHECK_EQ(place[0], '1');
    CHECK_EQ(munmap(place, 4 * page), 0);
    CHECK_ERRNO(remap(place, page, 0, 0), EINVAL);
    char* own = static_cast<char*>(mmap(nullptr, page, PROT_READ, MAP_PRIVATE, fd, 0));
    CHECK_ERRNO(remap(own, page, 0, 1), EINVAL);
    munmap(own, page);
    close(fd);
    char* shared =
        static_cast<char*>(mmap(nullptr, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    shared[0] = 'a', shared[2 * page] = 'c';
    CHECK_EQ(remap(shared, page, 0, 2), 0);
    CHECK_EQ(shared[0], 'c');
    munmap(shared, 4 * page);
}
#else
void test_remap_file_pages() {}
#endif

} // namespace

int main() {
    test_cachestat();
    test_remap_file_pages();
    return check::result();
}
