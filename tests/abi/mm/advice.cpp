// madvise: every value, on every kind of mapping, with what it refuses. Least Linux: 6.1.
// needs-linux: 6.1
#include "child.hpp"
#include "memory.hpp"
#include <fcntl.h>
#include <sys/stat.h>

using check::in_child;
using memory::map_pages;
using memory::page;

namespace {

int file_of(size_t pages) {
    char name[] = "/tmp/advice.XXXXXX";
    mkdir("/tmp", 01777);
    int fd = mkstemp(name);
    REQUIRE(fd >= 0);
    unlink(name);
    for (size_t i = 0; i < pages; i++) CHECK_EQ(pwrite(fd, "file", 4, off_t(i * page)), 4);
    CHECK_EQ(ftruncate(fd, off_t(pages * page)), 0);
    return fd;
}

/// What isn't known is refused before anything else is looked at.
void check_unknown(char* place, int advice) {
    CHECK_ERRNO(madvise(place, page, advice), EINVAL);
    CHECK_ERRNO(madvise(place, 0, advice), EINVAL);
    CHECK_ERRNO(madvise(nullptr, page, advice), EINVAL); // where nothing is mapped
}

/// What is known, of two pages.
void check_known(char* place, int advice) {
    CHECK_OK(madvise(place, 2 * page, advice));
    CHECK_OK(madvise(place, 0, advice));
    CHECK_ERRNO(madvise(place + 1, page, advice), EINVAL);
    CHECK_ERRNO(madvise(nullptr, page, advice), ENOMEM);
}

bool exists(const char* path) { return access(path, F_OK) == 0; }

/// Advice that a kernel may be built without: then it isn't known, whoever asks.
void test_optional() {
    char* place = map_pages(2);
    place[0] = 1, place[page] = 2;
    const bool has_ksm = exists("/sys/kernel/mm/ksm/run");
    for (int advice : {MADV_MERGEABLE, MADV_UNMERGEABLE})
        has_ksm ? check_known(place, advice) : check_unknown(place, advice);
    const bool has_memory_failure = exists("/proc/sys/vm/memory_failure_recovery");
    for (int advice : {MADV_HWPOISON, MADV_SOFT_OFFLINE}) {
        // Where there is such a thing root would lose memory.
        if (!has_memory_failure) check_unknown(place, advice);
        check::run_in_child([&] {
            CHECK_EQ(setgid(65534), 0);
            CHECK_EQ(setuid(65534), 0);
            CHECK_ERRNO(madvise(place, page, advice), has_memory_failure ? EPERM : EINVAL);
            CHECK_ERRNO(madvise(place + 1, page, advice), EINVAL);
        });
    }
    const bool has_huge_pages = exists("/sys/kernel/mm/transparent_hugepage");
    for (int advice : {MADV_HUGEPAGE, MADV_NOHUGEPAGE})
        has_huge_pages ? check_known(place, advice) : check_unknown(place, advice);
    CHECK_EQ(place[0], 1);
    CHECK_EQ(place[page], 2);
    munmap(place, 2 * page);
}

void test_arguments() {
    char* place = map_pages(3);
    const int every[] = {
        MADV_NORMAL,         MADV_RANDOM,         MADV_SEQUENTIAL,    MADV_WILLNEED,         MADV_DONTNEED,
        MADV_FREE,           MADV_DONTFORK,       MADV_DOFORK,        MADV_DONTDUMP,         MADV_DODUMP,
        MADV_WIPEONFORK,     MADV_KEEPONFORK,     20 /* MADV_COLD */, 21 /* MADV_PAGEOUT */, MADV_POPULATE_READ,
        MADV_POPULATE_WRITE, MADV_DONTNEED_LOCKED};
    for (int advice : every) {
        CHECK_EQ(madvise(place, 3 * page, advice), 0);
        CHECK_EQ(madvise(place, 0, advice), 0);
        CHECK_EQ(madvise(place, 1, advice), 0); // rounded up
        CHECK_ERRNO(madvise(place + 1, page, advice), EINVAL);
        CHECK_ERRNO(madvise(place, ~size_t(0), advice), EINVAL);
        CHECK_ERRNO(madvise(place, ~page + 1, advice), EINVAL); // the end wraps
    }
    for (int advice : {5, 6, 7, -1, 0x7fffffff, MADV_HWPOISON | 0x10000}) check_unknown(place, advice);
    for (int advice = 30; advice < 100; ++advice) check_unknown(place, advice);
    for (int advice = 110; advice < 300; ++advice) check_unknown(place, advice);
    CHECK_EQ(munmap(place + page, page), 0);
    for (int advice : every) {
        CHECK_ERRNO(madvise(place, 3 * page, advice), ENOMEM);
        CHECK_ERRNO(madvise(place + page, page, advice), ENOMEM);
    }
    // Nothing holds for what lies behind a hole only: it has been advised too.
    place[2 * page] = 4;
    CHECK_ERRNO(madvise(place, 3 * page, MADV_DONTNEED), ENOMEM);
    CHECK_EQ(place[2 * page], 0);
    munmap(place, 3 * page);
}

void test_discard() {
    int fd = file_of(2);
    char* shared = map_pages(2, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    char* copy = map_pages(2, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
    copy[0] = 'F', shared[page] = 'S';
    CHECK_EQ(madvise(copy, 2 * page, MADV_DONTNEED), 0);
    CHECK_EQ(copy[0], 'f');
    CHECK_EQ(madvise(shared, 2 * page, MADV_DONTNEED), 0);
    CHECK_EQ(shared[page], 'S');
    CHECK_ERRNO(madvise(shared, page, MADV_FREE), EINVAL);
    CHECK_ERRNO(madvise(copy, page, MADV_FREE), EINVAL);
    char* memory = map_pages(2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
    memory[0] = 5;
    CHECK_EQ(madvise(memory, page, MADV_DONTNEED), 0);
    CHECK_EQ(memory[0], 5);
    CHECK_ERRNO(madvise(memory, page, MADV_FREE), EINVAL);

    char* locked = map_pages(2);
    locked[0] = 6;
    CHECK_EQ(mlock(locked, page), 0);
    CHECK_ERRNO(madvise(locked, page, MADV_DONTNEED), EINVAL);
    CHECK_ERRNO(madvise(locked, page, MADV_FREE), EINVAL);
    CHECK_ERRNO(madvise(locked, page, 20 /* MADV_COLD */), EINVAL);
    CHECK_ERRNO(madvise(locked, page, 21 /* MADV_PAGEOUT */), EINVAL);
    CHECK_EQ(locked[0], 6);
    CHECK_EQ(madvise(locked, page, MADV_DONTNEED_LOCKED), 0);
    CHECK_EQ(locked[0], 0);
    CHECK_EQ(munlock(locked, page), 0);
    munmap(locked, 2 * page), munmap(memory, 2 * page), munmap(copy, 2 * page), munmap(shared, 2 * page);
    close(fd);
}

void test_remove() {
    int fd = memfd_create("remove", 0);
    CHECK_EQ(ftruncate(fd, off_t(3 * page)), 0);
    char* place = map_pages(3, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    memset(place, 7, 3 * page);
    CHECK_EQ(madvise(place + page, page, MADV_REMOVE), 0);
    struct stat status;
    CHECK_EQ(fstat(fd, &status), 0);
    CHECK_EQ(size_t(status.st_size), 3 * page);
    CHECK_EQ(size_t(status.st_blocks) * 512, 2 * page);
    CHECK_EQ(place[page], 0);
    CHECK_EQ(place[0], 7);
    char* view = map_pages(1, PROT_READ, MAP_SHARED, fd);
    int read_only = open("/proc/self/exe", O_RDONLY);
    char* text = map_pages(1, PROT_READ, MAP_SHARED, read_only);
    CHECK_ERRNO(madvise(text, page, MADV_REMOVE), EACCES);
    char* copy = map_pages(1, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
    CHECK_ERRNO(madvise(copy, page, MADV_REMOVE), EACCES);
    char* anonymous = map_pages(1);
    CHECK_ERRNO(madvise(anonymous, page, MADV_REMOVE), EINVAL);
    CHECK_EQ(mlock(place, page), 0);
    CHECK_ERRNO(madvise(place, page, MADV_REMOVE), EINVAL);
    munmap(place, 3 * page), munmap(view, page), munmap(copy, page), munmap(anonymous, page), munmap(text, page);
    close(fd), close(read_only);
}

void test_fork() {
    char* place = map_pages(4);
    memset(place, 8, 4 * page);
    CHECK_EQ(madvise(place, page, MADV_DONTFORK), 0);
    CHECK_EQ(madvise(place + page, page, MADV_WIPEONFORK), 0);
    CHECK_EQ(madvise(place + 2 * page, page, MADV_WIPEONFORK), 0);
    CHECK_EQ(madvise(place + 2 * page, page, MADV_KEEPONFORK), 0);
    CHECK_EQ(in_child([&] {
                 unsigned char resident;
                 CHECK_ERRNO(mincore(place, page, &resident), ENOMEM);
                 CHECK_EQ(place[page], 0);
                 CHECK_EQ(place[2 * page], 8);
                 // Wiping is inherited.
                 place[page] = 9;
                 CHECK_EQ(in_child([&] { return int(place[page]); }), 0);
                 return check::result();
             }),
             0);
    CHECK_EQ(place[page], 8);
    CHECK_EQ(madvise(place, page, MADV_DOFORK), 0);
    CHECK_EQ(in_child([&] { return place[0] == 8 ? 0 : 1; }), 0);
    char* shared = map_pages(1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
    CHECK_ERRNO(madvise(shared, page, MADV_WIPEONFORK), EINVAL);
    int fd = file_of(1);
    char* copy = map_pages(1, PROT_READ, MAP_PRIVATE, fd);
    CHECK_ERRNO(madvise(copy, page, MADV_WIPEONFORK), EINVAL);
    munmap(place, 4 * page), munmap(shared, page), munmap(copy, page);
    close(fd);
}

void test_populate() {
    char* place = map_pages(4, PROT_READ);
    unsigned char resident[4];
    CHECK_EQ(madvise(place, 2 * page, MADV_POPULATE_READ), 0);
    CHECK_ERRNO(madvise(place, page, MADV_POPULATE_WRITE), EINVAL); // no right to write
    CHECK_EQ(mprotect(place, page, PROT_NONE), 0);
    CHECK_ERRNO(madvise(place, page, MADV_POPULATE_READ), EINVAL);
    munmap(place, 4 * page);
    int fd = file_of(2);
    char* file = map_pages(4, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    CHECK_EQ(madvise(file, 2 * page, MADV_POPULATE_WRITE), 0);
    CHECK_EQ(mincore(file, 2 * page, resident), 0);
    CHECK_EQ(resident[0] & resident[1] & 1, 1);
    CHECK_ERRNO(madvise(file, 3 * page, MADV_POPULATE_READ), EFAULT); // beyond the end: SIGBUS
    munmap(file, 4 * page);
    close(fd);
}

} // namespace

int main() {
    test_arguments();
    test_optional();
    test_discard();
    test_remove();
    test_fork();
    test_populate();
    return check::result();
}
