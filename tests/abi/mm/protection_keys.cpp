// pkey_alloc, pkey_free, pkey_mprotect: on CPUs that have keys, and what the others answer. Least Linux: 6.12.
// needs-linux: 6.12
#include "check.hpp"
#include <csignal>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace {

const size_t page = size_t(sysconf(_SC_PAGESIZE));
constexpr unsigned long no_access = 1, no_write = 2;

int allocate(unsigned long flags = 0, unsigned long denied = 0) { return int(syscall(SYS_pkey_alloc, flags, denied)); }
int release(int key) { return int(syscall(SYS_pkey_free, key)); }
int protect(void* place, size_t length, int prot, int key) {
    return int(syscall(SYS_pkey_mprotect, place, length, prot, key));
}
char* map(size_t pages) {
    void* place = mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(place != MAP_FAILED);
    return static_cast<char*>(place);
}

void on_fault(int, siginfo_t* info, void*) { _exit(info->si_code); }

// The si_code of the fault that a read (or a write) raises, or 0; of a child, because a signal handler begins with
// other rights and only a return from it brings back the old ones.
int code_of_access(volatile char* place, bool write) {
    pid_t child = fork();
    if (child == 0) {
        if (write)
            *place = *place;
        else
            (void)*place;
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
int code_of_read(char* place) { return code_of_access(place, false); }
int code_of_write(char* place) { return code_of_access(place, true); }

void test_arguments() {
    char* place = map(2);
    CHECK_ERRNO(allocate(1), EINVAL);
    CHECK_ERRNO(allocate(0, 4), EINVAL);
    CHECK_ERRNO(allocate(0, ~0ul), EINVAL);
    CHECK_ERRNO(release(-1), EINVAL);
    CHECK_ERRNO(release(16), EINVAL);
    CHECK_ERRNO(release(9), EINVAL);
    CHECK_ERRNO(protect(place, page, PROT_READ, 9), EINVAL);
    CHECK_ERRNO(protect(place, page, PROT_READ, -2), EINVAL);
    CHECK_ERRNO(protect(place, page, PROT_READ, 1 << 20), EINVAL);
    CHECK_ERRNO(protect(place + 1, page, PROT_READ, 0), EINVAL);
    CHECK_EQ(protect(place, page, PROT_READ, -1), 0); // mprotect
    CHECK_EQ(protect(place, page, PROT_READ | PROT_WRITE, 0), 0);
    munmap(place, 2 * page);
}

void test_rights() {
    int key = allocate(0, no_write);
    CHECK(key > 0);
    char* place = map(2);
    place[0] = 3;
    CHECK_EQ(protect(place, page, PROT_READ | PROT_WRITE, key), 0);
    CHECK_EQ(code_of_read(place), 0);
    CHECK_EQ(code_of_write(place), SEGV_PKUERR);
    CHECK_EQ(code_of_write(place + page), 0);
    CHECK_EQ(place[0], 3);
    int closed = allocate(0, no_access);
    CHECK_EQ(protect(place, page, PROT_READ | PROT_WRITE, closed), 0);
    CHECK_EQ(code_of_read(place), SEGV_PKUERR);
    CHECK_EQ(code_of_read(place + page), 0);
    // The kernel's copies obey too.
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_ERRNO(write(ends[1], place, 1), EFAULT);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_ERRNO(read(ends[0], place, 1), EFAULT);
    // mprotect leaves the key alone; the rights of the mapping hold besides.
    CHECK_EQ(mprotect(place, page, PROT_READ), 0);
    CHECK_EQ(code_of_read(place), SEGV_PKUERR);
    CHECK_EQ(protect(place, page, PROT_READ, 0), 0);
    CHECK_EQ(code_of_read(place), 0);
    CHECK_EQ(code_of_write(place), SEGV_ACCERR);
    CHECK_EQ(place[0], 3);
    CHECK_EQ(release(key), 0);
    CHECK_EQ(release(closed), 0);
    CHECK_ERRNO(release(closed), EINVAL);
    munmap(place, 2 * page);
    close(ends[0]), close(ends[1]);
}

void test_threads_and_children() {
    int key = allocate(0, 0);
    char* place = map(1);
    CHECK_EQ(protect(place, page, PROT_READ | PROT_WRITE, key), 0);
    CHECK_EQ(code_of_write(place), 0);
    // A thread takes over the rights of its maker; keys belong to the process.
    std::thread([&] {
        CHECK_EQ(code_of_write(place), 0);
        int own = allocate(0, no_access);
        CHECK(own > 0 && own != key);
        CHECK_EQ(protect(place, page, PROT_READ | PROT_WRITE, own), 0);
        CHECK_EQ(code_of_read(place), SEGV_PKUERR);
        CHECK_EQ(protect(place, page, PROT_READ | PROT_WRITE, key), 0);
        CHECK_EQ(release(own), 0);
    }).join();
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(code_of_write(place), 0);
        CHECK_EQ(release(key), 0); // its own list
        CHECK_ERRNO(release(key), EINVAL);
        CHECK_EQ(allocate(0, no_access), key);
        CHECK_EQ(code_of_read(place), SEGV_PKUERR); // mappings keep a key that was freed
        _exit(check::result());
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(code_of_write(place), 0);
    CHECK_EQ(release(key), 0);
    munmap(place, page);
}

void test_exhaustion(const char* self) {
    int keys[32], count = 0;
    for (int key; count < 32 && (key = allocate()) != -1;) keys[count++] = key;
    CHECK_ERRNO(allocate(), ENOSPC);
    CHECK(count >= 1 && count <= 15);
    pid_t child = fork();
    if (child == 0) {
        if (allocate() != -1 || errno != ENOSPC) _exit(1);
        execl("/proc/self/exe", self, "fresh", nullptr);
        _exit(2);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    for (int i = 0; i < count; i++) CHECK_EQ(release(keys[i]), 0);
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1) return allocate() > 0 ? 0 : 1; // exec gives all keys back
    int key = allocate();
    if (key == -1) {
        const int reason = errno;
#if defined(__x86_64__) || defined(__aarch64__)
        CHECK(reason == ENOSPC || reason == ENOSYS); // the CPU lacks them, or the kernel doesn't know them
#else
        CHECK_EQ(reason, ENOSYS);
        CHECK_ERRNO(release(1), ENOSYS);
        CHECK_ERRNO(protect(map(1), page, PROT_READ, -1), ENOSYS);
#endif
        return check::result();
    }
    CHECK_EQ(release(key), 0);
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
    test_arguments();
    test_rights();
    test_threads_and_children();
    test_exhaustion(arguments[0]);
    return check::result();
}
