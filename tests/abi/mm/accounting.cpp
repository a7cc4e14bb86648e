// What /proc/PID/status counts of a process's memory, and the limits that it meets: RLIMIT_AS, DATA, MEMLOCK. Least
// Linux: 4.5.
#include "child.hpp"
#include "proc_text.hpp"
#include <cstdint>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

namespace {

using namespace proc_text;

const size_t page = size_t(sysconf(_SC_PAGESIZE));
const long long page_kib = (long long)page / 1024;
constexpr int anonymous = MAP_PRIVATE | MAP_ANONYMOUS, rw = PROT_READ | PROT_WRITE;

char* map(size_t pages, int flags = anonymous, int prot = rw, int fd = -1) {
    void* place = mmap(nullptr, pages * page, prot, flags, fd, 0);
    return place == MAP_FAILED ? nullptr : static_cast<char*>(place);
}

void touch(char* place, size_t pages) {
    for (size_t i = 0; i < pages; i++) *reinterpret_cast<volatile char*>(place + i * page) = 1;
}

// In pages.
long long pages_of(const char* name) { return status(name) / page_kib; }

struct Sizes {
    long long total = pages_of("VmSize"), data = pages_of("VmData"), locked = pages_of("VmLck");
    long long stack = pages_of("VmStk"), exe = pages_of("VmExe"), lib = pages_of("VmLib");
};

void expect(const Sizes& before, long long total, long long data, long long locked, long long stack, int line) {
    const Sizes now;
    char what[160];
    if (now.total - before.total == total && now.data - before.data == data && now.locked - before.locked == locked &&
        now.stack - before.stack == stack && now.exe == before.exe)
        return;
    snprintf(what, sizeof what, "VmSize %+lld (%+lld), VmData %+lld (%+lld), VmLck %+lld (%+lld), VmStk %+lld (%+lld)",
             now.total - before.total, total, now.data - before.data, data, now.locked - before.locked, locked,
             now.stack - before.stack, stack);
    check::failed(__FILE__, line, what);
}
#define EXPECT(total, data, locked, stack) expect(before, total, data, locked, stack, __LINE__)

void test_sizes() {
    char* room = map(400, anonymous, PROT_NONE);
    munmap(room, 400 * page);
    const Sizes before;
    char* place = map(20);
    EXPECT(20, 20, 0, 0);
    CHECK_EQ(mprotect(place, 5 * page, PROT_READ), 0);
    EXPECT(20, 15, 0, 0);
    CHECK_EQ(mlock(place + 10 * page, 4 * page), 0);
    EXPECT(20, 15, 4, 0);
    CHECK_EQ(mlock2(place + 12 * page, 4 * page, MLOCK_ONFAULT), 0);
    EXPECT(20, 15, 6, 0);
    CHECK_EQ(munlock(place + 10 * page, page), 0);
    EXPECT(20, 15, 5, 0);
    munmap(place + 10 * page, 10 * page);
    EXPECT(10, 5, 0, 0);
    munmap(place, 10 * page);
    EXPECT(0, 0, 0, 0);
    place = map(20, MAP_SHARED | MAP_ANONYMOUS);
    EXPECT(20, 0, 0, 0);
    munmap(place, 20 * page);
    CHECK(mmap(room + 390 * page, 6 * page, rw, anonymous | MAP_GROWSDOWN | MAP_FIXED, -1, 0) != MAP_FAILED);
    EXPECT(6, 0, 0, 6);
    touch(room + 380 * page, 1);
    EXPECT(16, 0, 0, 16);
    munmap(room + 380 * page, 16 * page);
    EXPECT(0, 0, 0, 0);
    place = map(3, anonymous, PROT_READ | PROT_EXEC);
    CHECK_EQ(pages_of("VmLib"), before.lib + 3);
    munmap(place, 3 * page);
    CHECK_GE(pages_of("VmPeak"), before.total + 20);
    CHECK_EQ(pages_of("VmPin"), 0);
    CHECK_EQ(pages_of("VmSwap"), 0);
}

// Linux counts resident pages to about 32 for each processor.
void test_resident(long long slack) {
    constexpr long long pages = 2000;
    const long long total = pages_of("VmRSS"), private_before = pages_of("RssAnon"), shared = pages_of("RssShmem");
    auto check = [&](const char* name, long long wanted, int line) {
        long long is = pages_of(name);
        char what[100];
        snprintf(what, sizeof what, "%s is %lld, not %lld", name, is, wanted);
        if (llabs(is - wanted) > slack) check::failed(__FILE__, line, what);
    };
    char* place = map(pages);
    touch(place, pages);
    check("RssAnon", private_before + pages, __LINE__);
    check("VmRSS", total + pages, __LINE__);
    char* other = map(pages, MAP_SHARED | MAP_ANONYMOUS);
    touch(other, pages);
    check("RssShmem", shared + pages, __LINE__);
    check("VmRSS", total + 2 * pages, __LINE__);
    pid_t child = fork();
    if (child == 0) {
        // Private pages are there at once; those of objects come back by faults.
        check("RssAnon", private_before + pages, __LINE__);
        touch(place, pages);
        check("RssAnon", private_before + pages, __LINE__);
        _exit(check::result());
    }
    int code = -1;
    waitpid(child, &code, 0);
    CHECK_EQ(code, 0);
    CHECK_EQ(madvise(place, pages / 2 * page, MADV_DONTNEED), 0);
    check("RssAnon", private_before + pages / 2, __LINE__);
    CHECK_GE(pages_of("VmHWM"), total + 2 * pages - slack);
    munmap(place, pages * page), munmap(other, pages * page);
    check("VmRSS", total, __LINE__);
    check("RssShmem", shared, __LINE__);
}

void test_tables() {
    const long long before = status("VmPTE");
    // Far from everything else: tables of its own.
    constexpr size_t size = size_t(1) << 30;
    char* room = static_cast<char*>(mmap(nullptr, 3 * size, PROT_NONE, anonymous | MAP_NORESERVE, -1, 0));
    REQUIRE(room != MAP_FAILED);
    munmap(room, 3 * size);
    char* place = reinterpret_cast<char*>((uintptr_t(room) + size) / size * size);
    CHECK(mmap(place, size, rw, anonymous | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED);
    madvise(place, size, MADV_NOHUGEPAGE);
    CHECK_EQ(status("VmPTE"), before);
    // One last-level table maps page / 8 pages.
    const size_t reach = page / 8 * page;
    touch(place, 1);
    const long long first = status("VmPTE");
    CHECK_GE(first, before + page_kib);
    CHECK_LE(first, before + 3 * page_kib);
    touch(place + reach, 1);
    CHECK_EQ(status("VmPTE"), first + page_kib);
    touch(place + 2 * reach - page, 1);
    CHECK_EQ(status("VmPTE"), first + page_kib);
    munmap(place, size);
    CHECK_EQ(status("VmPTE"), before);
}

void limit(int resource, unsigned long long bytes) {
    rlimit value{};
    getrlimit(__rlimit_resource(resource), &value);
    value.rlim_cur = bytes;
    CHECK_EQ(setrlimit(__rlimit_resource(resource), &value), 0);
}

void test_address_space_limit() {
    limit(RLIMIT_AS, (unsigned long long)(status("VmSize") + 10 * page_kib) * 1024);
    char* place = map(10, MAP_SHARED | MAP_ANONYMOUS);
    CHECK(place != nullptr);
    CHECK_ERRNO(mmap(nullptr, page, PROT_NONE, anonymous, -1, 0), ENOMEM);
    CHECK_ERRNO(mremap(place, 10 * page, 11 * page, MREMAP_MAYMOVE), ENOMEM);
    char* end = static_cast<char*>(sbrk(0));
    CHECK_ERRNO(brk(end + 4 * page), ENOMEM);
    // In the place of another it needs no more.
    CHECK(mmap(place, 10 * page, rw, anonymous | MAP_FIXED, -1, 0) == place);
    munmap(place, 10 * page);
    CHECK(map(10) != nullptr);
}

void test_data_limit() {
    limit(RLIMIT_DATA, (unsigned long long)(status("VmData") + 10 * page_kib) * 1024);
    char* place = map(10);
    CHECK(place != nullptr);
    CHECK_ERRNO(mmap(nullptr, page, rw, anonymous, -1, 0), ENOMEM);
    CHECK_ERRNO(mremap(place, 10 * page, 11 * page, MREMAP_MAYMOVE), ENOMEM);
    CHECK(map(10, MAP_SHARED | MAP_ANONYMOUS) != nullptr);
    char* constant = map(10, anonymous, PROT_READ);
    CHECK(constant != nullptr);
    CHECK_ERRNO(mprotect(constant, page, rw), ENOMEM);
    munmap(place, page);
    CHECK_EQ(mprotect(constant, page, rw), 0);
}

void test_lock_limit() {
    char* place = map(10);
    limit(RLIMIT_MEMLOCK, 4 * page);
    CHECK_EQ(mlock(place, 10 * page), 0); // the privileged have no limit
    CHECK_EQ(munlock(place, 10 * page), 0);
    REQUIRE(setgid(65534) == 0 && setuid(65534) == 0);
    CHECK_EQ(mlock(place, 4 * page), 0);
    CHECK_EQ(mlock(place, 4 * page), 0); // counted once
    CHECK_ERRNO(mlock(place + 4 * page, page), ENOMEM);
    CHECK_ERRNO(mmap(nullptr, page, rw, anonymous | MAP_LOCKED, -1, 0), EAGAIN);
    CHECK_EQ(munlock(place, 10 * page), 0);
    char* locked = map(4, anonymous | MAP_LOCKED);
    CHECK(locked != nullptr);
    CHECK_ERRNO(mremap(locked, 4 * page, 5 * page, MREMAP_MAYMOVE), EAGAIN);
    munmap(locked, 4 * page);
    CHECK_ERRNO(mlockall(MCL_CURRENT), ENOMEM);
    CHECK_EQ(mlockall(MCL_FUTURE), 0);
    CHECK_ERRNO(mmap(nullptr, 5 * page, rw, anonymous, -1, 0), EAGAIN);
    CHECK_EQ(munlockall(), 0);
    limit(RLIMIT_MEMLOCK, 100);
    CHECK_ERRNO(mlock(place, page), ENOMEM);
    CHECK_ERRNO(mlockall(MCL_CURRENT), ENOMEM);
    limit(RLIMIT_MEMLOCK, 0);
    CHECK_ERRNO(mlock(place, page), EPERM);
    CHECK_ERRNO(mlockall(MCL_CURRENT), EPERM);
    CHECK_ERRNO(mmap(nullptr, page, rw, anonymous | MAP_LOCKED, -1, 0), EPERM);
}

} // namespace

int main() {
    test_sizes();
    test_resident(1 << 30); // brings in the code and data that it takes itself
    test_resident(counts_exactly() ? 0 : 400);
    test_tables();
    check::run_in_child(test_address_space_limit);
    check::run_in_child(test_data_limit);
    check::run_in_child(test_lock_limit);
    return check::result();
}
