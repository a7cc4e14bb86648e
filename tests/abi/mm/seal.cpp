// mseal: what a sealed mapping refuses, and that the rest goes on. Least Linux: 6.12.
// needs-linux: 6.12
#include "check.hpp"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

namespace {

const size_t page = size_t(sysconf(_SC_PAGESIZE));

char* map(size_t pages, int prot = PROT_READ | PROT_WRITE, int flags = MAP_PRIVATE | MAP_ANONYMOUS) {
    void* place = mmap(nullptr, pages * page, prot, flags, -1, 0);
    REQUIRE(place != MAP_FAILED);
    return static_cast<char*>(place);
}

long seal(void* place, size_t length, unsigned long flags = 0) { return syscall(SYS_mseal, place, length, flags); }

void test_arguments() {
    char* place = map(4);
    CHECK_ERRNO(seal(place, page, 1), EINVAL);
    CHECK_ERRNO(seal(place + 1, page), EINVAL);
    CHECK_ERRNO(seal(place, ~size_t(0)), EINVAL);
    CHECK_ERRNO(seal(place, ~size_t(0) - page + 1), EINVAL);
    CHECK_EQ(seal(place, 0), 0);
    CHECK_EQ(munmap(place + page, page), 0);
    CHECK_ERRNO(seal(place, 2 * page), ENOMEM);
    CHECK_ERRNO(seal(place, 3 * page), ENOMEM);
    CHECK_ERRNO(seal(place + page, page), ENOMEM);
    // Nothing has been sealed by what failed.
    CHECK_EQ(munmap(place, 4 * page), 0);
}

void test_refusals() {
    char* place = map(4);
    char* other = map(4);
    memset(place, 5, 4 * page);
    CHECK_EQ(seal(place + page, 2 * page - 1), 0); // rounded up
    CHECK_EQ(seal(place + page, 2 * page), 0);     // again is no change
    char* sealed = place + page;
    CHECK_ERRNO(munmap(sealed, page), EPERM);
    CHECK_ERRNO(munmap(place, 4 * page), EPERM);
    CHECK_EQ(place[0], 5); // all or nothing
    CHECK_ERRNO(mprotect(sealed, page, PROT_READ), EPERM);
    CHECK_ERRNO(mprotect(sealed, page, PROT_READ | PROT_WRITE), EPERM);
    CHECK_ERRNO(mremap(sealed, page, 2 * page, MREMAP_MAYMOVE), EPERM);
    CHECK_ERRNO(mremap(sealed, 2 * page, page, 0), EPERM);
    CHECK_ERRNO(mremap(sealed, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, other), EPERM);
    CHECK_ERRNO(mremap(other, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, sealed), EPERM);
    CHECK_ERRNO(mmap(sealed, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EPERM);
    CHECK_EQ(sealed[0], 5);
    // Writing, locking and throwing away what could be overwritten anyway remain allowed.
    sealed[0] = 6;
    CHECK_EQ(mlock(sealed, page), 0);
    CHECK_EQ(munlock(sealed, page), 0);
    CHECK_EQ(madvise(sealed, page, MADV_DONTNEED), 0);
    CHECK_EQ(sealed[0], 0);
    CHECK_EQ(mprotect(place, page, PROT_READ), 0);
    CHECK_EQ(munmap(place, page), 0);
    CHECK_EQ(munmap(place + 3 * page, page), 0);
    CHECK_EQ(munmap(other, 4 * page), 0);
}

void test_advice_on_read_only() {
    char* place = map(2);
    place[0] = 7, place[page] = 8;
    CHECK_EQ(mprotect(place, 2 * page, PROT_READ), 0);
    CHECK_EQ(seal(place, 2 * page), 0);
    CHECK_ERRNO(madvise(place, page, MADV_DONTNEED), EPERM);
    CHECK_ERRNO(madvise(place, page, MADV_FREE), EPERM);
    CHECK_ERRNO(madvise(place, page, MADV_DONTFORK), EPERM);
    CHECK_ERRNO(madvise(place, page, MADV_WIPEONFORK), EPERM);
    CHECK_EQ(madvise(place, page, MADV_WILLNEED), 0);
    CHECK_EQ(madvise(place, page, MADV_RANDOM), 0);
    CHECK_EQ(place[0], 7);
    CHECK_EQ(place[page], 8);
}

void test_fork_inherits() {
    char* place = map(1);
    CHECK_EQ(seal(place, page), 0);
    pid_t child = fork();
    if (child == 0) _exit(munmap(place, page) == -1 && errno == EPERM ? 0 : 1);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

void test_shared_files() {
    int fd = memfd_create("sealed", 0);
    CHECK_EQ(ftruncate(fd, long(page)), 0);
    char* place = static_cast<char*>(mmap(nullptr, page, PROT_READ, MAP_SHARED, fd, 0));
    REQUIRE(place != MAP_FAILED);
    CHECK_EQ(seal(place, page), 0);
    CHECK_ERRNO(munmap(place, page), EPERM);
    CHECK_EQ(madvise(place, page, MADV_DONTNEED), 0); // the file keeps the contents
    CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
    CHECK_EQ(place[0], 'x');
    close(fd);
}

void test_break() {
    char* start = static_cast<char*>(sbrk(0));
    char* aligned = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(start) + page - 1) & ~(page - 1));
    REQUIRE(brk(aligned + 2 * page) == 0);
    CHECK_EQ(seal(aligned, page), 0);
    CHECK_EQ(syscall(SYS_brk, aligned), reinterpret_cast<long>(aligned + 2 * page));
    CHECK_EQ(syscall(SYS_brk, aligned + page), reinterpret_cast<long>(aligned + page));
}

} // namespace

int main() {
    test_arguments();
    test_refusals();
    test_advice_on_read_only();
    test_fork_inherits();
    test_shared_files();
    test_break();
    return check::result();
}
