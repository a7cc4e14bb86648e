// mmap's flags and errors one by one, and RLIMIT_AS, DATA, STACK and MEMLOCK to the page. Least Linux: 6.1.
// needs-linux: 6.1
#include "child.hpp"
#include "memory.hpp"
#include "proc_text.hpp"
#include <climits>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

using memory::limit;
using memory::map_pages;
using memory::page;

namespace {

constexpr int own = MAP_PRIVATE | MAP_ANONYMOUS;

char* map_at(void* where, size_t length, int prot, int flags, int fd = -1, off_t offset = 0) {
    return static_cast<char*>(mmap(where, length, prot, flags, fd, offset));
}

size_t status_pages(const char* name) { return size_t(proc_text::status(name)) * 1024 / page; }

void test_types() {
    int fd = memfd_create("types", 0);
    CHECK_EQ(ftruncate(fd, off_t(4 * page)), 0);
    for (int type : {0, 4, 5, 6, 7, 9, 15}) {
        CHECK_ERRNO(map_at(nullptr, page, PROT_READ, type, fd), EINVAL);
        CHECK_ERRNO(map_at(nullptr, page, PROT_READ, type | MAP_ANONYMOUS), EINVAL);
    }
    CHECK_ERRNO(map_at(nullptr, page, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS), EINVAL);
    CHECK(map_at(nullptr, page, PROT_READ, MAP_SHARED_VALIDATE, fd) != MAP_FAILED);
    CHECK(map_at(nullptr, page, PROT_READ, MAP_SHARED_VALIDATE | MAP_POPULATE | MAP_NORESERVE, fd) != MAP_FAILED);
    // What older kernels ignored is refused on request only.
    for (int unknown : {MAP_SYNC, MAP_FIXED_NOREPLACE, 0x200000, 0x400000, 0x2000000}) {
        CHECK_ERRNO(map_at(nullptr, page, PROT_READ, MAP_SHARED_VALIDATE | unknown, fd), EOPNOTSUPP);
        if (unknown == MAP_FIXED_NOREPLACE) continue;
        CHECK(map_at(nullptr, page, PROT_READ, MAP_SHARED | unknown, fd) != MAP_FAILED);
        CHECK(map_at(nullptr, page, PROT_READ, MAP_PRIVATE | unknown, fd) != MAP_FAILED);
    }
    CHECK_ERRNO(map_at(nullptr, page, PROT_READ, MAP_SHARED | MAP_GROWSDOWN, fd), EINVAL);
    CHECK_ERRNO(map_at(nullptr, page, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, fd), EINVAL);
    CHECK_ERRNO(map_at(nullptr, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN), EINVAL);
    CHECK(map_at(nullptr, page, PROT_READ, own | MAP_GROWSDOWN | MAP_STACK) != MAP_FAILED);
    CHECK(map_at(nullptr, page, PROT_READ, own | MAP_DENYWRITE | MAP_EXECUTABLE) != MAP_FAILED);
    close(fd);
}

void test_files() {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_ERRNO(map_at(nullptr, page, PROT_READ, MAP_SHARED, ends[0]), ENODEV);
    CHECK_ERRNO(map_at(nullptr, page, PROT_READ, MAP_SHARED, 1000), EBADF);
    int directory = open("/", O_RDONLY);
    CHECK_ERRNO(map_at(nullptr, page, PROT_READ, MAP_SHARED, directory), ENODEV);
    int path = open("/proc/self/exe", O_PATH);
    CHECK_ERRNO(map_at(nullptr, page, PROT_READ, MAP_SHARED, path), EBADF);
    int fd = memfd_create("offsets", 0);
    CHECK_EQ(ftruncate(fd, off_t(4 * page)), 0);
    CHECK_ERRNO(map_at(nullptr, page, PROT_READ, MAP_SHARED, fd, 1), EINVAL);
    CHECK_ERRNO(map_at(nullptr, page, PROT_READ, own, -1, 1), EINVAL);
    CHECK_ERRNO(map_at(nullptr, 0, PROT_READ, MAP_SHARED, fd), EINVAL);
    CHECK_ERRNO(map_at(nullptr, ~size_t(0), PROT_READ, MAP_SHARED, fd), ENOMEM);
    CHECK_ERRNO(map_at(nullptr, size_t(1) << 62, PROT_READ, MAP_SHARED, fd), ENOMEM);
    // The last page that a file of this system can have, and one further.
    off_t last = off_t(LLONG_MAX & ~(page - 1));
    CHECK_ERRNO(map_at(nullptr, 2 * page, PROT_READ, MAP_SHARED, fd, last), EOVERFLOW);
    CHECK_ERRNO(map_at(nullptr, page, PROT_READ, MAP_SHARED, fd, off_t(0 - page)), EOVERFLOW);
    CHECK(map_at(nullptr, page, PROT_READ, MAP_SHARED, fd, off_t(100 * page)) != MAP_FAILED); // beyond the end is fine
    close(ends[0]), close(ends[1]), close(directory), close(path), close(fd);
}

void test_places() {
    char* place = map_pages(4);
    CHECK_ERRNO(map_at(place + 1, page, PROT_READ, own | MAP_FIXED), EINVAL);
    CHECK_ERRNO(map_at(place + 1, page, PROT_READ, own | MAP_FIXED_NOREPLACE), EINVAL);
    CHECK_ERRNO(map_at(place + 3 * page, 2 * page, PROT_READ, own | MAP_FIXED_NOREPLACE), EEXIST);
    CHECK_ERRNO(map_at(place - page, 2 * page, PROT_READ, own | MAP_FIXED_NOREPLACE), EEXIST);
    CHECK_EQ(munmap(place + page, 2 * page), 0);
    CHECK(map_at(place + page, 2 * page, PROT_READ, own | MAP_FIXED_NOREPLACE) == place + page);
    // A hint is rounded down, and given up when something is there.
    CHECK_EQ(munmap(place + page, 2 * page), 0);
    CHECK(map_at(place + page + 5, page, PROT_READ, own) == place + page);
    CHECK(map_at(place, page, PROT_READ, own) != place);
    char* top = reinterpret_cast<char*>(~uintptr_t(0) & ~(page - 1));
    int reason = map_at(top, page, PROT_READ, own | MAP_FIXED) == MAP_FAILED ? errno : 0;
    CHECK(reason == ENOMEM || reason == EINVAL); // EINVAL on LoongArch
    CHECK_ERRNO(map_at(place, ~size_t(0) - 10 * page, PROT_READ, own | MAP_FIXED), ENOMEM);
    CHECK(map_at(top, page, PROT_READ, own) != MAP_FAILED);
    check::run_in_child([] {
        CHECK_EQ(setuid(65534), 0);
        CHECK_ERRNO(map_at(nullptr, page, PROT_READ, own | MAP_FIXED), EPERM);
        CHECK_ERRNO(map_at(nullptr, page, PROT_READ, own | MAP_FIXED_NOREPLACE), EPERM);
    });
#ifdef MAP_32BIT
    for (int i = 0; i < 4; i++) {
        char* low = map_at(nullptr, page, PROT_READ, own | MAP_32BIT);
        CHECK(low != MAP_FAILED && reinterpret_cast<uintptr_t>(low) < 0x80000000u);
    }
    CHECK_ERRNO(map_at(nullptr, size_t(1) << 31, PROT_READ, own | MAP_32BIT | MAP_NORESERVE), ENOMEM);
#endif
    munmap(place, 4 * page);
}

void test_address_space_limit() {
    check::run_in_child([] {
        char* old = map_pages(8);
        size_t now = status_pages("VmSize");
        limit(RLIMIT_AS, (now + 4) * page + page / 2); // the rest of a page doesn't count
        CHECK_ERRNO(map_at(nullptr, 5 * page, PROT_READ, own), ENOMEM);
        char* more = map_at(nullptr, 4 * page, PROT_NONE, own);
        CHECK(more != MAP_FAILED);
        CHECK_ERRNO(map_at(nullptr, page, PROT_NONE, own), ENOMEM);
        CHECK_ERRNO(map_at(nullptr, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS), ENOMEM);
        CHECK_ERRNO(mremap(more, 4 * page, 5 * page, MREMAP_MAYMOVE), ENOMEM);
        // What replaces mapped pages needs no more of them.
        CHECK(map_at(old, 8 * page, PROT_READ, own | MAP_FIXED) == old);
        CHECK_EQ(munmap(more + 3 * page, page), 0);
        CHECK(map_at(more + 2 * page, 2 * page, PROT_READ, own | MAP_FIXED) == more + 2 * page);
        CHECK_EQ(syscall(SYS_brk, 0), syscall(SYS_brk, static_cast<char*>(sbrk(0)) + 64 * page));
    });
}

void test_data_limit() {
    check::run_in_child([] {
        char* read_only = map_pages(4, PROT_READ);
        size_t now = status_pages("VmData");
        limit(RLIMIT_DATA, (now + 4) * page);
        CHECK_ERRNO(map_at(nullptr, 5 * page, PROT_READ | PROT_WRITE, own), ENOMEM);
        CHECK(map_at(nullptr, 50 * page, PROT_READ, own) != MAP_FAILED);
        CHECK(map_at(nullptr, 50 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS) != MAP_FAILED);
        CHECK(map_at(nullptr, 2 * page, PROT_READ | PROT_WRITE, own) != MAP_FAILED);
        CHECK_ERRNO(mprotect(read_only, 3 * page, PROT_READ | PROT_WRITE), ENOMEM);
        CHECK_EQ(mprotect(read_only, 2 * page, PROT_READ | PROT_WRITE), 0);
        CHECK_ERRNO(map_at(nullptr, page, PROT_WRITE, own), ENOMEM);
        CHECK_EQ(mprotect(read_only, 2 * page, PROT_READ), 0);
        CHECK(map_at(nullptr, 2 * page, PROT_READ | PROT_WRITE, own) != MAP_FAILED);
    });
}

void test_lock_limit() {
    check::run_in_child([] {
        CHECK_EQ(setuid(65534), 0);
        limit(RLIMIT_MEMLOCK, 4 * page);
        char* place = map_pages(8);
        CHECK_ERRNO(mlock(place, 5 * page), ENOMEM);
        CHECK_EQ(mlock(place, 3 * page), 0);
        CHECK_EQ(mlock(place, 3 * page), 0); // counted once
        CHECK_EQ(mlock(place + 2 * page, 2 * page), 0);
        CHECK_ERRNO(mlock(place + 4 * page, 1), ENOMEM);
        CHECK_ERRNO(map_at(nullptr, page, PROT_READ, own | MAP_LOCKED), EAGAIN);
        CHECK_EQ(status_pages("VmLck"), 4u);
        CHECK_EQ(munlock(place, page), 0);
        char* locked = map_at(nullptr, page, PROT_READ | PROT_WRITE, own | MAP_LOCKED);
        CHECK(locked != MAP_FAILED);
        CHECK_ERRNO(mremap(locked, page, 2 * page, MREMAP_MAYMOVE), EAGAIN);
        CHECK_EQ(munlock(place, 8 * page), 0);
        CHECK_EQ(status_pages("VmLck"), 1u);
        CHECK_ERRNO(mlockall(MCL_CURRENT), ENOMEM);
        CHECK_EQ(mlockall(MCL_FUTURE), 0);
        CHECK_ERRNO(map_at(nullptr, 4 * page, PROT_READ, own), EAGAIN);
        CHECK(map_at(nullptr, 3 * page, PROT_READ, own) != MAP_FAILED);
        CHECK_EQ(munlockall(), 0);
        limit(RLIMIT_MEMLOCK, 0);
        CHECK_ERRNO(mlock(place, page), EPERM);
        CHECK_ERRNO(mlock(place, 0), EPERM);
        CHECK_ERRNO(mlockall(MCL_FUTURE), EPERM);
        CHECK_ERRNO(map_at(nullptr, page, PROT_READ, own | MAP_LOCKED), EPERM);
        CHECK_EQ(munlock(place, page), 0);
    });
}

// The capability counts when memory is locked, not when the limit was set.
void test_lock_capability() {
    check::run_in_child([] {
        char* place = map_pages(8);
        limit(RLIMIT_MEMLOCK, 4 * page);
        CHECK_EQ(mlock(place, 8 * page), 0);
        CHECK_EQ(munlock(place, 8 * page), 0);
        CHECK_EQ(setuid(65534), 0);
        CHECK_ERRNO(mlock(place, 5 * page), ENOMEM);
        CHECK_EQ(mlock(place, 4 * page), 0);
    });
}

void test_lock_arguments() {
    char* place = map_pages(4);
    CHECK_EQ(mlock(place, 0), 0);
    CHECK_EQ(mlock(place + 5, page), 0); // touches two pages
    unsigned char resident[4];
    CHECK_EQ(mincore(place, 4 * page, resident), 0);
    CHECK_EQ(resident[1] & 1, 1);
    CHECK_EQ(resident[2] & 1, 0);
    CHECK_EQ(munlock(place, 4 * page), 0);
    CHECK_ERRNO(mlock(place, ~size_t(0) - 4 * page), EINVAL);
    CHECK_ERRNO(munlock(place, ~size_t(0) - 4 * page), EINVAL);
    CHECK_ERRNO(mlockall(0), EINVAL);
    CHECK_ERRNO(mlockall(8), EINVAL);
    CHECK_ERRNO(mlockall(4 /* MCL_ONFAULT */), EINVAL);
#ifdef SYS_mlock2
    CHECK_ERRNO(syscall(SYS_mlock2, place, page, 2), EINVAL);
    CHECK_EQ(syscall(SYS_mlock2, place + 2 * page, page, 1 /* MLOCK_ONFAULT */), 0);
    CHECK_EQ(mincore(place, 4 * page, resident), 0);
    CHECK_EQ(resident[2] & 1, 0);
    CHECK_EQ(munlock(place, 4 * page), 0);
#endif
    // Inaccessible memory can't be made present, but counts as locked.
    CHECK_EQ(mprotect(place, page, PROT_NONE), 0);
    CHECK_ERRNO(mlock(place, 2 * page), ENOMEM);
    CHECK_EQ(munmap(place + 2 * page, page), 0);
    CHECK_ERRNO(mlock(place + page, 3 * page), ENOMEM);
    CHECK_ERRNO(munlock(place + page, 3 * page), ENOMEM);
    munmap(place, 4 * page);
}

void test_sync_and_residency() {
    char* place = map_pages(3);
    CHECK_ERRNO(msync(place, page, 8), EINVAL);
    CHECK_ERRNO(msync(place, page, MS_ASYNC | MS_SYNC), EINVAL);
    CHECK_ERRNO(msync(place + 1, page, MS_SYNC), EINVAL);
    CHECK_EQ(msync(place, 0, MS_SYNC), 0);
    CHECK_EQ(msync(place, page, 0), 0);
    CHECK_EQ(msync(place, page + 1, MS_ASYNC | MS_INVALIDATE), 0);
    CHECK_ERRNO(msync(place, ~size_t(0) - 4 * page, MS_SYNC), ENOMEM);
    CHECK_EQ(mlock(place, page), 0);
    CHECK_ERRNO(msync(place, page, MS_SYNC | MS_INVALIDATE), EBUSY);
    CHECK_EQ(munlock(place, page), 0);
    CHECK_EQ(munmap(place + page, page), 0);
    CHECK_ERRNO(msync(place, 3 * page, MS_ASYNC), ENOMEM);
    CHECK_ERRNO(msync(place + page, page, MS_ASYNC), ENOMEM);
    unsigned char resident[4];
    CHECK_EQ(mincore(place, 0, resident), 0);
    CHECK_ERRNO(mincore(place, 2 * page, resident), ENOMEM);
    CHECK_ERRNO(mincore(place, ~size_t(0), resident), ENOMEM);
    CHECK_ERRNO(mincore(place, page, reinterpret_cast<unsigned char*>(~uintptr_t(0))), EFAULT);
    CHECK_ERRNO(mincore(place, page, reinterpret_cast<unsigned char*>(8)), EFAULT);
    int fd = memfd_create("cached", 0);
    CHECK_EQ(ftruncate(fd, off_t(3 * page)), 0);
    CHECK_EQ(pwrite(fd, "x", 1, off_t(page)), 1);
    char* view = map_pages(3, PROT_READ, MAP_SHARED, fd);
    CHECK_EQ(mincore(view, 3 * page, resident), 0); // in the cache, though not mapped
    CHECK_EQ(resident[0] & 1, 0);
    CHECK_EQ(resident[1] & 1, 1);
    CHECK_EQ(resident[2] & 1, 0);
    munmap(place, 3 * page), munmap(view, 3 * page);
    close(fd);
}

void test_break_edges() {
    char* end = static_cast<char*>(sbrk(0));
    char* edge = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(end) + page - 1) & ~(page - 1)) + 16 * page;
    CHECK(map_at(edge, page, PROT_NONE, own | MAP_FIXED_NOREPLACE) == edge);
    // One page stays free below what is mapped.
    CHECK_EQ(syscall(SYS_brk, edge), reinterpret_cast<long>(end));
    CHECK_EQ(syscall(SYS_brk, edge - page + 1), reinterpret_cast<long>(end));
    CHECK_EQ(syscall(SYS_brk, edge - page), reinterpret_cast<long>(edge - page));
    CHECK_EQ(syscall(SYS_brk, end), reinterpret_cast<long>(end));
    CHECK_EQ(syscall(SYS_brk, nullptr), reinterpret_cast<long>(end));
    munmap(edge, page);
}

} // namespace

int main() {
    test_types();
    test_files();
    test_places();
    test_address_space_limit();
    test_data_limit();
    test_lock_limit();
    test_lock_capability();
    test_lock_arguments();
    test_sync_and_residency();
    test_break_edges();
    return check::result();
}
