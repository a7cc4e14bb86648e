// What Committed_AS counts, to the page, and what the three modes of overcommit_memory allow. Least Linux: 6.7
// (mprotect that gives up memory never written to gives up the promise). needs-linux: 6.7
#include "proc_text.hpp"
#include <csignal>
#include <sys/mman.h>
#include <sys/wait.h>

namespace {

using namespace proc_text;

const size_t page = size_t(sysconf(_SC_PAGESIZE));
constexpr int anonymous = MAP_PRIVATE | MAP_ANONYMOUS, rw = PROT_READ | PROT_WRITE;

// In pages.
long long committed() { return meminfo("Committed_AS") * 1024 / (long long)page; }

// Checks by how much the count has changed since the last time.
struct Ledger {
    long long before = committed();
    void expect(long long pages, int line) {
        long long now = committed();
        if (now - before != pages) {
            printf("%s:%d: %lld pages more are promised, not %lld\n", __FILE__, line, now - before, pages);
            check::failures++;
        }
        before = now;
    }
};
#define EXPECT(pages) ledger.expect(pages, __LINE__)

char* map(size_t pages, int flags = anonymous, int prot = rw, int fd = -1) {
    void* place = mmap(nullptr, pages * page, prot, flags, fd, 0);
    return place == MAP_FAILED ? nullptr : static_cast<char*>(place);
}

void touch(char* place, size_t pages) {
    for (size_t i = 0; i < pages; i++) *reinterpret_cast<volatile char*>(place + i * page) = 1;
}

void test_private() {
    // Holes around it: a neighbour that has been written to would be joined, and count as written.
    char* room = map(102, anonymous, PROT_NONE);
    munmap(room, 102 * page);
    Ledger ledger;
    char* place = static_cast<char*>(mmap(room + page, 100 * page, rw, anonymous | MAP_FIXED, -1, 0));
    EXPECT(100);
    munmap(place + 90 * page, 10 * page);
    EXPECT(-10);
    CHECK_EQ(mprotect(place, 10 * page, PROT_NONE), 0);
    EXPECT(-10);
    touch(place + 10 * page, 80);
    CHECK_EQ(mprotect(place + 10 * page, 80 * page, PROT_READ), 0);
    EXPECT(0);
    CHECK(mmap(place + 20 * page, 5 * page, PROT_READ, anonymous | MAP_FIXED, -1, 0) != MAP_FAILED);
    EXPECT(-5);
    munmap(place, 90 * page);
    EXPECT(-75);
    place = map(50, anonymous, PROT_READ);
    EXPECT(0);
    CHECK_EQ(mprotect(place + 10 * page, 20 * page, rw), 0);
    EXPECT(20);
    munmap(place, 50 * page);
    EXPECT(-20);
    place = map(50, anonymous | MAP_NORESERVE);
    EXPECT(0);
    touch(place, 50);
    EXPECT(0);
    munmap(place, 50 * page);
    place = map(20);
    EXPECT(20);
    place = static_cast<char*>(mremap(place, 20 * page, 35 * page, MREMAP_MAYMOVE));
    EXPECT(15);
    place = static_cast<char*>(mremap(place, 35 * page, 5 * page, 0));
    EXPECT(-30);
    munmap(place, 5 * page);
    EXPECT(-5);
    char* end = static_cast<char*>(sbrk(0));
    CHECK_EQ(brk(end + 16 * page), 0);
    EXPECT(16);
    CHECK_EQ(brk(end), 0);
    EXPECT(-16);
}

void test_shared() {
    Ledger ledger;
    char* place = map(30, MAP_SHARED | MAP_ANONYMOUS);
    EXPECT(30);
    touch(place, 10);
    EXPECT(0);
    munmap(place, 15 * page); // the object stays whole
    EXPECT(0);
    munmap(place + 15 * page, 15 * page);
    EXPECT(-30);
    place = map(30, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE);
    EXPECT(0);
    touch(place, 7);
    EXPECT(7);
    munmap(place, 30 * page);
    EXPECT(-7);
    int fd = memfd_create("commit", 0);
    CHECK_EQ(ftruncate(fd, off_t(40 * page)), 0);
    EXPECT(0);
    CHECK_EQ(pwrite(fd, "x", 1, off_t(3 * page)), 1);
    EXPECT(1);
    place = map(40, MAP_SHARED, rw, fd);
    touch(place, 3);
    EXPECT(3);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, off_t(2 * page)), 0);
    EXPECT(-2);
    CHECK_EQ(ftruncate(fd, off_t(3 * page)), 0);
    EXPECT(-1);
    char* copy = map(40, MAP_PRIVATE, rw, fd);
    EXPECT(40);
    munmap(place, 40 * page), munmap(copy, 40 * page), close(fd);
    EXPECT(-41);
}

void test_stack() {
    char* room = map(600, anonymous, PROT_NONE);
    munmap(room, 600 * page);
    Ledger ledger;
    char* stack = room + 590 * page;
    CHECK(mmap(stack, 4 * page, rw, anonymous | MAP_GROWSDOWN | MAP_FIXED, -1, 0) != MAP_FAILED);
    EXPECT(4);
    touch(stack - 10 * page, 1);
    EXPECT(10);
    munmap(stack - 10 * page, 14 * page);
    EXPECT(-14);
}

// Pages of all mappings that memory is promised for.
long long accounted() {
    long long kib = 0, size = 0;
    for (const char* at = read_file("/proc/self/smaps"); at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : nullptr) {
        if (strncmp(at, "Size:", 5) == 0) size = atoll(at + 5);
        const char* end = strchr(at, '\n');
        const char* flag = strncmp(at, "VmFlags:", 8) == 0 ? strstr(at, " ac ") : nullptr;
        if (flag && flag < end) kib += size;
    }
    return kib * 1024 / (long long)page;
}

void test_fork() {
    char* place = map(64);
    char* shared = map(64, MAP_SHARED | MAP_ANONYMOUS);
    Ledger ledger;
    const long long mine = accounted();
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(ends[1]);
        (void)!read(ends[0], &byte, 1);
        _exit(0);
    }
    EXPECT(mine);
    close(ends[1]), close(ends[0]);
    waitpid(child, nullptr, 0);
    EXPECT(-mine);
    munmap(place, 64 * page), munmap(shared, 64 * page);
    EXPECT(-128);
}

bool set(const char* name, long long value) {
    char path[80], text[32];
    snprintf(path, sizeof path, "/proc/sys/vm/%s", name);
    snprintf(text, sizeof text, "%lld\n", value);
    return write_file(path, text);
}
long long get(const char* name) {
    char path[80];
    snprintf(path, sizeof path, "/proc/sys/vm/%s", name);
    const char* text = read_file(path);
    return text ? atoll(text) : -1;
}

void test_guess() {
    const size_t all = size_t(meminfo("MemTotal") + meminfo("SwapTotal")) * 1024 / page;
    char* place = map(all);
    CHECK(place != nullptr);
    munmap(place, all * page);
    CHECK_ERRNO(mmap(nullptr, (all + 1) * page, rw, anonymous, -1, 0), ENOMEM);
    place = map(all * 4, anonymous | MAP_NORESERVE);
    CHECK(place != nullptr);
    munmap(place, all * 4 * page);
    CHECK(set("overcommit_memory", 1));
    place = map(all * 4);
    CHECK(place != nullptr);
    munmap(place, all * 4 * page);
    CHECK(set("overcommit_memory", 0));
    CHECK(!set("overcommit_memory", 3) && errno == EINVAL);
    CHECK(!set("overcommit_memory", -1) && errno == EINVAL);
}

constexpr long long headroom = 6000;

// In mode 2 with `headroom` pages left. Linux looks at a count that may lag by a batch for each processor.
int in_strict_mode(long long slack) {
    int wrong = 0;
    auto want = [&](bool good, int bit) { wrong |= good ? 0 : 1 << bit; };
    char* place = map(size_t(headroom - 1 - slack));
    want(place != nullptr, 0);
    pid_t child = fork(); // would need as much again
    if (child == 0) _exit(0);
    want(child < 0 && errno == ENOMEM, 1);
    if (child > 0) waitpid(child, nullptr, 0);
    munmap(place, size_t(headroom - 1 - slack) * page);
    want(!map(size_t(headroom + slack)) && errno == ENOMEM, 2);
    want(!map(size_t(headroom + slack), anonymous | MAP_NORESERVE) && errno == ENOMEM, 3);
    want(!map(size_t(headroom + slack), MAP_SHARED | MAP_ANONYMOUS) && errno == ENOMEM, 4);
    place = map(size_t(headroom + slack), anonymous, PROT_READ);
    want(place != nullptr, 5);
    want(mprotect(place, size_t(headroom + slack) * page, rw) == -1 && errno == ENOMEM, 6);
    munmap(place, size_t(headroom + slack) * page);
    return wrong;
}

void test_never() {
    const long long kbytes = get("overcommit_kbytes"), ratio = get("overcommit_ratio");
    const long long user = get("user_reserve_kbytes"), admin = get("admin_reserve_kbytes");
    CHECK(kbytes == 0 && ratio == 50);
    CHECK_LE(llabs(meminfo("CommitLimit") - meminfo("MemTotal") / 2 - meminfo("SwapTotal")), (long long)page / 1024);
    const long long slack = counts_exactly() ? 0 : 2500;
    CHECK(set("user_reserve_kbytes", 0));
    const long long limit = committed() + headroom;
    CHECK(set("overcommit_kbytes", limit * (long long)page / 1024));
    CHECK_EQ(get("overcommit_ratio"), 0);
    CHECK_EQ(meminfo("CommitLimit"), limit * (long long)page / 1024 + meminfo("SwapTotal"));
    CHECK(set("overcommit_memory", 2));
    int wrong = in_strict_mode(slack);
    CHECK(set("admin_reserve_kbytes", headroom * (long long)page / 1024));
    char* place = map(size_t(headroom / 2));
    CHECK(place != nullptr);
    munmap(place, size_t(headroom / 2) * page);
    CHECK(set("overcommit_memory", 0));
    CHECK_EQ(wrong, 0);
    int go[2];
    CHECK_EQ(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) { // what is kept for administrators isn't for others
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(1);
        char byte;
        if (read(go[0], &byte, 1) != 1) _exit(3);
        bool refused = !map(size_t(headroom / 2)) && errno == ENOMEM;
        _exit(refused ? 0 : 2);
    }
    CHECK(set("overcommit_memory", 2));
    CHECK_EQ(write(go[1], "g", 1), 1);
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(set("overcommit_memory", 0));
    CHECK_EQ(status, 0);
    CHECK(set("overcommit_ratio", 50));
    CHECK_EQ(get("overcommit_kbytes"), 0);
    CHECK(set("user_reserve_kbytes", user) && set("admin_reserve_kbytes", admin));
}

} // namespace

int main() {
    touch(map(1), 1);
    test_private();
    test_shared();
    test_stack();
    test_fork();
    test_guess();
    test_never();
    return check::result();
}
