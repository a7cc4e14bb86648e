// MREMAP_DONTUNMAP against the limits: what it leaves behind counts as much as what it makes. Least Linux: 6.1.
// needs-linux: 6.1
#include "asleep.hpp"
#include "memory.hpp"
#include "proc_text.hpp"
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

using memory::page;

namespace {

constexpr size_t pages = 64;
constexpr int flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;

/// By the call itself: glibc leaves the new address to chance unless MREMAP_FIXED is given.
void* move(void* place, size_t count) {
    return (void*)syscall(SYS_mremap, place, count * page, count * page, flags, 0);
}

void limit(int resource, size_t bytes) {
    const rlimit value = {bytes, bytes};
    CHECK_OK(setrlimit(__rlimit_resource_t(resource), &value));
}

/// The limit leaves room for half of the mapping.
void test_limit(int resource, const char* used) {
    CHECK_EQ(check::in_child([&] {
                 char* place = memory::map(pages * page);
                 memset(place, 1, pages * page);
                 const size_t now = size_t(proc_text::status(used)) << 10;
                 limit(resource, now + pages / 2 * page);
                 CHECK(move(place, pages) == MAP_FAILED && errno == ENOMEM);
                 CHECK_EQ(place[0], 1); // nothing has moved
                 void* moved = move(place, pages / 4);
                 REQUIRE(moved != MAP_FAILED);
                 CHECK_EQ(*static_cast<char*>(moved), 1);
                 CHECK_EQ(place[0], 0);
                 CHECK_EQ(place[pages / 4 * page], 1);
                 CHECK_EQ(size_t(proc_text::status(used)) << 10, now + pages / 4 * page);
                 CHECK(move(place, pages / 2) == MAP_FAILED && errno == ENOMEM);
                 // A plain move needs no more than is there.
                 void* plain = mmap(nullptr, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                 REQUIRE(plain != MAP_FAILED);
                 CHECK(mremap(static_cast<char*>(moved), page, page, MREMAP_MAYMOVE | MREMAP_FIXED, plain) == plain);
             }),
             0);
}

/// Memory is promised to both.
void test_promise() {
    constexpr size_t size = 256 << 20;
    char* place = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(place != MAP_FAILED);
    const long long before = proc_text::meminfo("Committed_AS");
    void* moved = move(place, size / page);
    REQUIRE(moved != MAP_FAILED);
    const long long after = proc_text::meminfo("Committed_AS");
    CHECK(after - before > (200 << 10) && after - before < (300 << 10));
    munmap(place, size);
    munmap(moved, size);
    CHECK(before - proc_text::meminfo("Committed_AS") > (200 << 10));
}

} // namespace

int main() {
    test_limit(RLIMIT_AS, "VmSize");
    test_limit(RLIMIT_DATA, "VmData");
    test_promise();
    return check::result();
}
