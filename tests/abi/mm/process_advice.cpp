// process_madvise and process_mrelease: who may, what is accepted, how much was done. Least Linux: 5.15.
// needs-linux: 5.15
#include "asleep.hpp"
#include <csignal>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

namespace {

const size_t page = size_t(sysconf(_SC_PAGESIZE));

char* map(size_t pages, int flags = MAP_PRIVATE | MAP_ANONYMOUS) {
    void* place = mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, flags, -1, 0);
    REQUIRE(place != MAP_FAILED);
    return static_cast<char*>(place);
}

int pidfd_of(pid_t pid) { return int(syscall(SYS_pidfd_open, pid, 0)); }

long advise(int fd, const iovec* vectors, size_t count, int advice, unsigned flags = 0) {
    return syscall(SYS_process_madvise, fd, vectors, count, advice, flags);
}
long release(int fd, unsigned flags = 0) { return syscall(SYS_process_mrelease, fd, flags); }

struct Child {
    pid_t pid;
    int pidfd;
    Child() {
        pid = fork();
        if (pid == 0)
            for (;;) pause();
        pidfd = pidfd_of(pid);
    }
    void end() {
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
        close(pidfd);
    }
};

void test_arguments() {
    char* place = map(4);
    memset(place, 1, 4 * page);
    iovec one{place, page};
    int self = pidfd_of(getpid());
    CHECK_ERRNO(advise(self, &one, 1, MADV_COLD, 1), EINVAL);
    CHECK_ERRNO(advise(-1, &one, 1, MADV_COLD), EBADF);
    CHECK_ERRNO(advise(0, &one, 1, MADV_COLD), EBADF);
    CHECK_ERRNO(advise(self, &one, 1025, MADV_COLD), EINVAL);
    CHECK_ERRNO(advise(self, reinterpret_cast<iovec*>(8), 1, MADV_COLD), EFAULT);
    CHECK_ERRNO(advise(self, &one, 1, 12345), EINVAL);
    iovec negative{place, ~size_t(0)};
    CHECK_ERRNO(advise(self, &negative, 1, MADV_COLD), EINVAL);
    iovec beyond{reinterpret_cast<void*>(~uintptr_t(0) - page + 1), 16};
    CHECK_ERRNO(advise(self, &beyond, 1, MADV_COLD), EFAULT);
    iovec odd{place + 1, page};
    CHECK_ERRNO(advise(self, &odd, 1, MADV_COLD), EINVAL);
    CHECK_EQ(advise(self, &one, 0, MADV_COLD), 0);
    CHECK_EQ(advise(self, &one, 1, MADV_COLD), long(page));
    CHECK_EQ(advise(self, &one, 1, MADV_PAGEOUT), long(page));
    CHECK_EQ(advise(self, &one, 1, MADV_WILLNEED), long(page));
    CHECK_EQ(place[0], 1);
    close(self);
}

/// What one process may advise another, without harm to it: 25 is MADV_COLLAPSE (since 6.1).
bool is_for_others(int advice) {
    return advice == MADV_WILLNEED || advice == MADV_COLD || advice == MADV_PAGEOUT || advice == 25;
}

void test_others() {
    char* place = map(8);
    memset(place, 3, 8 * page);
    CHECK_EQ(munmap(place + 4 * page, page), 0);
    Child child;
    iovec ranges[] = {{place, page}, {nullptr, 0}, {place + page, 2 * page}, {place + 4 * page, page}, {place, page}};
    CHECK_EQ(advise(child.pidfd, ranges, 3, MADV_COLD), long(3 * page));
    CHECK_EQ(advise(child.pidfd, ranges, 5, MADV_PAGEOUT), long(3 * page)); // up to the hole
    CHECK_ERRNO(advise(child.pidfd, ranges + 3, 2, MADV_COLD), ENOMEM);
    for (int advice = -1; advice < 300; ++advice)
        if (!is_for_others(advice)) CHECK_ERRNO(advise(child.pidfd, ranges, 1, advice), EINVAL);
    CHECK_EQ(advise(child.pidfd, ranges, 1, MADV_WILLNEED), long(page));
    // Without rights over it, and with those but without the capability.
    pid_t nobody = fork();
    if (nobody == 0) {
        CHECK_EQ(setgid(65534), 0);
        CHECK_EQ(setuid(65534), 0);
        CHECK_ERRNO(advise(child.pidfd, ranges, 1, MADV_COLD), EACCES);
        int self = pidfd_of(getpid());
        CHECK_EQ(advise(self, ranges, 1, MADV_COLD), long(page));
        // Over a child of its own, which takes a capability: what is never done is refused first.
        CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
        Child own;
        CHECK_ERRNO(advise(own.pidfd, ranges, 1, MADV_COLD), EPERM);
        CHECK_ERRNO(advise(own.pidfd, ranges, 1, MADV_DONTNEED), EINVAL);
        CHECK_ERRNO(advise(own.pidfd, ranges, 1, MADV_HWPOISON), EINVAL);
        own.end();
        _exit(check::result());
    }
    int status = -1;
    CHECK_EQ(waitpid(nobody, &status, 0), nobody);
    CHECK_EQ(status, 0);
    child.end();
    CHECK_ERRNO(advise(child.pidfd, ranges, 1, MADV_COLD), EBADF);
    Child dead;
    kill(dead.pid, SIGKILL);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, id_t(dead.pid), &info, WEXITED | WNOWAIT), 0);
    CHECK_ERRNO(advise(dead.pidfd, ranges, 1, MADV_COLD), ESRCH); // a zombie has no memory
    waitpid(dead.pid, nullptr, 0);
    CHECK_ERRNO(advise(dead.pidfd, ranges, 1, MADV_COLD), ESRCH);
    close(dead.pidfd);
}

void test_release() {
    Child child;
    CHECK_ERRNO(release(child.pidfd, 1), EINVAL);
    CHECK_ERRNO(release(-1), EBADF);
    CHECK_ERRNO(release(0), EBADF);
    CHECK_ERRNO(release(child.pidfd), EINVAL); // nobody kills it
    int self = pidfd_of(getpid());
    CHECK_ERRNO(release(self), EINVAL);
    close(self);
    kill(child.pid, SIGKILL);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, id_t(child.pid), &info, WEXITED | WNOWAIT), 0);
    CHECK_ERRNO(release(child.pidfd), ESRCH);
    waitpid(child.pid, nullptr, 0);
    CHECK_ERRNO(release(child.pidfd), ESRCH);
    close(child.pidfd);
}

// The memory of a dying process goes, and what it shares stays whole.
void test_release_while_dying() {
    char* shared = map(1, MAP_SHARED | MAP_ANONYMOUS);
    char* kept = map(64);
    memset(kept, 9, 64 * page);
    for (int round = 0; round < 50; round++) {
        shared[0] = 0;
        pid_t pid = fork();
        if (pid == 0) {
            char* own = map(256);
            for (unsigned char value = 1;; value++) {
                memset(own, value | 1, 256 * page);
                for (size_t i = 0; i < 256; i++)
                    if (own[i * page] == 0) shared[1] = 1; // seen by user code: must never be
                shared[0] = 1;
            }
        }
        int fd = pidfd_of(pid);
        // Not by a pipe: the child must be in its loop, not in a call, when it is killed.
        CHECK(check::eventually([&] { return *static_cast<volatile char*>(shared) != 0; }));
        kill(pid, SIGKILL);
        long result = release(fd);
        int error = result == 0 ? 0 : errno;
        if (error != ESRCH && error != EAGAIN) CHECK_EQ(error, 0);
        int status = -1;
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), SIGKILL);
        close(fd);
    }
    CHECK_EQ(shared[1], 0);
    for (size_t i = 0; i < 64; i++) CHECK_EQ(kept[i * page], 9);
}

} // namespace

int main() {
    test_arguments();
    test_others();
    test_release();
    test_release_while_dying();
    return check::result();
}
