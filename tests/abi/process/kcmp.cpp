// kcmp(2): which parts two tasks share, for each way to make one; an order among those that differ; files that an epoll
// instance watches; errors.
// needs-linux: 4.13
#include "asleep.hpp"
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace {

long kcmp(pid_t first, pid_t second, int type, unsigned long first_index = 0, unsigned long second_index = 0) {
    return syscall(SYS_kcmp, first, second, type, first_index, second_index);
}

void test_files() {
    const pid_t self = getpid();
    int fds[6];
    for (int& fd : fds) fd = open("/", O_RDONLY);
    const int copy = dup(fds[2]);
    CHECK_EQ(kcmp(self, self, KCMP_FILE, fds[2], copy), 0);
    CHECK_EQ(kcmp(self, self, KCMP_FILE, fds[2], fds[2]), 0);
    const int place = open("/", O_PATH);
    CHECK_EQ(kcmp(self, self, KCMP_FILE, place, place), 0);
    CHECK_ERRNO(kcmp(self, self, KCMP_FILE, fds[0], 999), EBADF);
    CHECK_ERRNO(kcmp(self, self, KCMP_FILE, -1ul, fds[0]), EBADF);
    // One order, whichever way they are asked for.
    auto before = [&](int a, int b) { return kcmp(self, self, KCMP_FILE, a, b) == 1; };
    for (int a : fds)
        for (int b : fds) {
            const long result = kcmp(self, self, KCMP_FILE, a, b);
            CHECK(a == b ? result == 0 : result == 1 || result == 2);
            if (a != b) CHECK_EQ(result + kcmp(self, self, KCMP_FILE, b, a), 3);
        }
    // Each has another number of files before it.
    unsigned ranks = 0;
    for (int a : fds) {
        int rank = 0;
        for (int b : fds) rank += before(b, a);
        ranks |= 1u << rank;
    }
    CHECK_EQ(ranks, 63u);
    const pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    CHECK_EQ(kcmp(self, child, KCMP_FILE, fds[0], fds[0]), 0);
    CHECK_EQ(kcmp(self, child, KCMP_FILE, copy, fds[2]), 0);
    CHECK(kcmp(self, child, KCMP_FILE, fds[0], fds[1]) > 0);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    for (int fd : fds) close(fd);
    close(copy);
    close(place);
}

char stack[64 << 10] __attribute__((aligned(16)));
int sleep_in(void*) {
    for (;;) pause();
}
void test_parts(int flags) {
    const pid_t self = getpid();
    const pid_t child = clone(sleep_in, stack + sizeof stack, flags | SIGCHLD, nullptr);
    CHECK(child > 0);
    CHECK_EQ(kcmp(self, child, KCMP_VM) == 0, (flags & CLONE_VM) != 0);
    CHECK_EQ(kcmp(self, child, KCMP_FILES) == 0, (flags & CLONE_FILES) != 0);
    CHECK_EQ(kcmp(self, child, KCMP_FS) == 0, (flags & CLONE_FS) != 0);
    CHECK_EQ(kcmp(self, child, KCMP_SIGHAND) == 0, (flags & CLONE_SIGHAND) != 0);
    CHECK_EQ(kcmp(self, child, KCMP_SYSVSEM), 0); // neither has any
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
}

struct Slot {
    unsigned epoll, watched, position;
};
void test_epoll() {
    const pid_t self = getpid();
    int ends[2], others[2];
    CHECK_OK(pipe(ends));
    CHECK_OK(pipe(others));
    const int epoll = epoll_create1(0);
    epoll_event event = {};
    const int number = dup(ends[0]);
    CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, number, &event));
    Slot slot = {unsigned(epoll), unsigned(number), 0};
    auto compare = [&](int fd) { return kcmp(self, self, KCMP_EPOLL_TFD, fd, reinterpret_cast<unsigned long>(&slot)); };
    CHECK_EQ(compare(ends[0]), 0);
    CHECK(compare(others[0]) > 0);
    slot.position = 1;
    CHECK_ERRNO(compare(ends[0]), ENOENT);
    // The number goes on to another file, the first is still watched under it: there are two now.
    CHECK_EQ(dup2(others[0], number), number);
    CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, number, &event));
    int first = 0, second = 0;
    for (slot.position = 0; slot.position < 2; slot.position++) {
        first += compare(ends[0]) == 0;
        second += compare(others[0]) == 0;
    }
    CHECK(first == 1 && second == 1);
    CHECK_ERRNO(compare(ends[0]), ENOENT);
    slot = {unsigned(epoll), 999, 0};
    CHECK_ERRNO(compare(ends[0]), ENOENT);
    slot = {unsigned(ends[0]), unsigned(number), 0};
    CHECK_ERRNO(compare(ends[0]), EINVAL);
    slot = {999, unsigned(number), 0};
    CHECK_ERRNO(compare(ends[0]), EBADF);
    slot = {unsigned(epoll), unsigned(number), 0};
    CHECK_ERRNO(compare(999), EBADF);
    CHECK_ERRNO(kcmp(self, self, KCMP_EPOLL_TFD, ends[0], 16), EFAULT);
    for (int fd : {ends[0], ends[1], others[0], others[1], epoll, number}) close(fd);
}

} // namespace

int main() {
    const pid_t self = getpid();
    if (kcmp(self, self, KCMP_VM) < 0 && errno == ENOSYS) check::skip("built without kcmp");
    CHECK_EQ(kcmp(self, self, KCMP_VM), 0);
    CHECK_EQ(kcmp(self, self, KCMP_IO), 0);
    CHECK_ERRNO(kcmp(self, self, KCMP_TYPES), EINVAL);
    CHECK_ERRNO(kcmp(self, self, -1), EINVAL);
    CHECK_ERRNO(kcmp(self, 0, KCMP_VM), ESRCH);
    CHECK_ERRNO(kcmp(-1, self, KCMP_TYPES), ESRCH);
    test_files();
    for (int flags : {0, CLONE_VM, CLONE_FILES, CLONE_FS, CLONE_VM | CLONE_SIGHAND,
                      CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | CLONE_SYSVSEM})
        test_parts(flags);
    test_epoll();
    return check::result();
}
