// Threads that fault on the same page at the same moment: one of them resolves the fault, for the others it is spurious
// and succeeds (SEMANTICS F6, P1, P2, P4). All add to the page, and no addition may be lost: that would be a page put
// in place of another. Fresh anonymous pages, pages shared with a child, private pages of a file, pages that another
// thread drops or makes read-only meanwhile. Least Linux: 3.17 (memfd_create).
//
#include "memory.hpp"
#include <csetjmp>
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

namespace {

using memory::page;

constexpr int adders = 4;
constexpr size_t pages = 64;
pthread_barrier_t barrier;
std::atomic<bool> stop{false};
std::atomic<int>* place;

std::atomic<int>& word(size_t i) { return place[i * page / sizeof(int)]; }

void meet() { pthread_barrier_wait(&barrier); }

void* add(void*) {
    for (;;) {
        meet();
        if (stop) return nullptr;
        for (size_t i = 0; i < pages; i++) word(i)++;
        meet();
    }
}

/// Calls prepare() before and right() after the threads' adding to every page, for a while.
void rounds(const char* what, auto prepare, auto meanwhile, auto right) {
    pthread_t threads[adders];
    stop = false;
    REQUIRE(pthread_barrier_init(&barrier, nullptr, adders + 1) == 0);
    for (pthread_t& thread : threads) REQUIRE(pthread_create(&thread, nullptr, add, nullptr) == 0);
    double end = memory::now() + memory::seconds(2, 30);
    int done = 0;
    while (memory::now() < end && check::result() == 0) {
        prepare();
        meet();
        meanwhile();
        meet();
        if (!right()) printf("%s, round %d\n", what, done);
        done++;
    }
    stop = true;
    meet();
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    pthread_barrier_destroy(&barrier);
    printf("%s: %d rounds\n", what, done);
}

bool all_are(int wanted) {
    for (size_t i = 0; i < pages; i++)
        if (!CHECK_EQ(word(i).load(), wanted)) return false;
    return true;
}

void use(void* memory) {
    REQUIRE(memory != MAP_FAILED);
    place = static_cast<std::atomic<int>*>(memory);
}

void test_fresh_pages() {
    use(memory::map(pages * page));
    auto drop = [] { madvise(place, pages * page, MADV_DONTNEED); };
    rounds("fresh pages", drop, [] {}, [] { return all_are(adders); });
    // What was only read is the page of zeros.
    auto read_first = [&] {
        drop();
        for (size_t i = 0; i < pages; i++) CHECK_EQ(word(i).load(), 0);
    };
    rounds("pages of zeros", read_first, [] {}, [] { return all_are(adders); });
    munmap(place, pages * page);
}

void test_shared_with_child() {
    use(memory::map(pages * page));
    for (size_t i = 0; i < pages; i++) word(i) = 100;
    int go[2];
    pid_t child = -1;
    auto have_child = [&] {
        for (size_t i = 0; i < pages; i++) word(i) = 100;
        REQUIRE(pipe(go) == 0);
        child = fork();
        REQUIRE(child >= 0);
        if (child > 0) return;
        char byte;
        close(go[1]);
        (void)!read(go[0], &byte, 1);
        for (size_t i = 0; i < pages; i++)
            if (word(i) != 100) _exit(1);
        _exit(0);
    };
    auto check = [&] {
        close(go[0]), close(go[1]);
        int status = -1;
        waitpid(child, &status, 0);
        return CHECK_EQ(status, 0) && all_are(100 + adders);
    };
    rounds("pages shared with a child", have_child, [] {}, check);
    // The child is born, and may be gone again, while they write.
    auto forks = [&] {
        for (int i = 0; i < 2; i++) {
            pid_t one = fork();
            if (one == 0) _exit(0);
            waitpid(one, nullptr, 0);
        }
    };
    auto reset = [] {
        for (size_t i = 0; i < pages; i++) word(i) = 100;
    };
    rounds("forks meanwhile", reset, forks, [] { return all_are(100 + adders); });
    munmap(place, pages * page);
}

void test_private_file() {
    int fd = memfd_create("same_page", 0);
    REQUIRE(fd >= 0 && ftruncate(fd, off_t(pages * page)) == 0);
    int value = 7;
    for (size_t i = 0; i < pages; i++)
        CHECK_EQ(pwrite(fd, &value, sizeof value, off_t(i * page)), ssize_t(sizeof value));
    use(mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    auto drop = [] { madvise(place, pages * page, MADV_DONTNEED); };
    auto check = [&] {
        int in_file = 0;
        CHECK_EQ(pread(fd, &in_file, sizeof in_file, off_t((pages - 1) * page)), ssize_t(sizeof in_file));
        return CHECK_EQ(in_file, 7) && all_are(7 + adders);
    };
    rounds("private pages of a file", drop, [] {}, check);
    munmap(place, pages * page);
    // Shared: all add to the file itself.
    use(mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    auto zero = [&] { REQUIRE(ftruncate(fd, 0) == 0 && ftruncate(fd, off_t(pages * page)) == 0); };
    rounds("shared pages of a file", zero, [] {}, [] { return all_are(adders); });
    munmap(place, pages * page);
    close(fd);
}

/// Rights that come and go make faults spurious, or real ones that the handler repairs.
void make_writable(int, siginfo_t* info, void*) {
    auto at = reinterpret_cast<uintptr_t>(info->si_addr) & ~uintptr_t(page - 1);
    if (info->si_code != SEGV_ACCERR || mprotect(reinterpret_cast<void*>(at), page, PROT_READ | PROT_WRITE) != 0)
        _exit(4);
}

void test_rights() {
    use(memory::map(pages * page));
    struct sigaction action{};
    action.sa_sigaction = make_writable;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
    auto reset = [] {
        madvise(place, pages * page, MADV_DONTNEED);
        mprotect(place, pages * page, PROT_READ);
    };
    auto toggle = [] {
        for (int i = 0; i < 4; i++) {
            mprotect(place, pages / 2 * page, PROT_READ);
            mprotect(place, pages / 3 * page, PROT_READ | PROT_WRITE);
        }
    };
    rounds("rights that change", reset, toggle, [] { return all_are(adders); });
    signal(SIGSEGV, SIG_DFL);
    munmap(place, pages * page);
}

} // namespace

int main() {
    test_fresh_pages();
    test_shared_with_child();
    test_private_file();
    test_rights();
    return check::result();
}
