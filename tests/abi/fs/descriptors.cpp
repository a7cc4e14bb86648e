// Descriptors: duplication, close-on-exec, ranges, limits, status flags, record locks, flock.
#include "asleep.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

void test_duplicates() {
    int fd = open("x", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    int copy = dup(fd);
    CHECK_EQ(fcntl(copy, F_GETFD), 0);
    CHECK_EQ(dup2(fd, 50), 50);
    CHECK_EQ(dup2(fd, fd), fd);
    CHECK_ERRNO(dup2(999, 999), EBADF);
    CHECK_ERRNO(dup2(fd, -1), EBADF);
    CHECK_ERRNO(dup2(fd, 1 << 30), EBADF);
    CHECK_ERRNO(dup3(fd, fd, 0), EINVAL);
    CHECK_ERRNO(dup3(fd, 51, 1), EINVAL);
    CHECK_EQ(dup3(fd, 51, O_CLOEXEC), 51);
    CHECK_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_DUPFD, 60), 60);
    CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 60), 61);
    CHECK_ERRNO(fcntl(fd, F_DUPFD, -1), EINVAL);
    CHECK_ERRNO(fcntl(fd, F_DUPFD, 1 << 30), EINVAL);
    CHECK_EQ(syscall(SYS_close_range, 50, 55, 0), 0);
    CHECK_ERRNO(fcntl(50, F_GETFD), EBADF);
    CHECK_EQ(fcntl(60, F_GETFD), 0);
    CHECK_EQ(syscall(SYS_close_range, 60, ~0u, 4), 0); // CLOSE_RANGE_CLOEXEC
    CHECK_EQ(fcntl(60, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO((long)syscall(SYS_close_range, 5, 4, 0), EINVAL);
    CHECK_ERRNO((long)syscall(SYS_close_range, 4, 5, 64), EINVAL);
    CHECK_EQ(close(60), 0);
    CHECK_ERRNO(close(60), EBADF);
    CHECK_ERRNO(close(-1), EBADF);
    // The lowest number is taken.
    close(copy);
    CHECK_EQ(open("x", O_RDONLY), copy);
}

void test_limits() {
    rlimit old;
    getrlimit(RLIMIT_NOFILE, &old);
    rlimit limit{20, old.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int last = -1, fd;
    while ((fd = open("x", O_RDONLY)) >= 0) last = fd;
    int why = errno;
    CHECK_EQ(why, EMFILE);
    CHECK_EQ(last, 19);
    CHECK_ERRNO(dup(0), EMFILE);
    CHECK_ERRNO(dup2(0, 20), EBADF);
    CHECK_ERRNO(fcntl(0, F_DUPFD, 20), EINVAL);
    for (int i = 5; i < 20; i++) close(i);
    setrlimit(RLIMIT_NOFILE, &old);
    CHECK_EQ(dup2(0, 300), 300);
    close(300);
}

void test_flags() {
    int fd = open("x", O_RDWR | O_APPEND);
    int flags = fcntl(fd, F_GETFL);
    CHECK_EQ(flags & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR | O_APPEND);
    CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR | O_NONBLOCK);
    CHECK_ERRNO(fcntl(fd, 9999), EINVAL);
    CHECK_ERRNO(fcntl(-1, F_GETFL), EBADF);
    close(fd);
}

struct flock lock_of(short type, off_t start, off_t length) {
    struct flock lock{};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = start;
    lock.l_len = length;
    return lock;
}

/// Runs in a child; its result is the exit status.
template <typename F>
int in_child(F function) {
    pid_t pid = fork();
    if (pid == 0) _Exit(function());
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

void test_record_locks() {
    int fd = open("locked", O_CREAT | O_RDWR, 0644);
    auto lock = lock_of(F_WRLCK, 10, 20);
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    lock = lock_of(F_UNLCK, 15, 5); // leaves [10,15) and [20,30)
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    pid_t parent = getpid();
    CHECK_EQ(in_child([&] {
                 auto l = lock_of(F_RDLCK, 12, 1);
                 if (fcntl(fd, F_SETLK, &l) == 0) return 1;
                 if (errno != EAGAIN && errno != EACCES) return 2;
                 l = lock_of(F_WRLCK, 15, 5);
                 if (fcntl(fd, F_SETLK, &l) != 0) return 3;
                 l = lock_of(F_WRLCK, 0, 0);
                 if (fcntl(fd, F_GETLK, &l) != 0) return 4;
                 if (l.l_type != F_WRLCK || l.l_start != 10 || l.l_len != 5 || l.l_pid != parent) return 5;
                 return 0;
             }),
             0);
    // Any close by the owner drops its locks.
    close(open("locked", O_RDONLY));
    CHECK_EQ(in_child([&] {
                 auto l = lock_of(F_WRLCK, 0, 0);
                 return fcntl(fd, F_SETLK, &l) == 0 ? 0 : 1;
             }),
             0);
    // Waiting, and a deadlock.
    lock = lock_of(F_WRLCK, 0, 1);
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    int ready[2];
    CHECK_EQ(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        auto l = lock_of(F_WRLCK, 1, 1);
        fcntl(fd, F_SETLK, &l);
        char byte = 0;
        if (write(ready[1], &byte, 1) != 1) _Exit(9);
        l = lock_of(F_WRLCK, 0, 1);
        _Exit(fcntl(fd, F_SETLKW, &l) == 0 ? 0 : 1);
    }
    char byte;
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    check::wait_asleep(pid);
    lock = lock_of(F_WRLCK, 1, 1);
    CHECK_ERRNO(fcntl(fd, F_SETLKW, &lock), EDEADLK);
    lock = lock_of(F_UNLCK, 0, 0);
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    int status;
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
    lock = lock_of(F_WRLCK, -5, 1);
    CHECK_ERRNO(fcntl(fd, F_SETLK, &lock), EINVAL);
    int reader = open("locked", O_RDONLY);
    lock = lock_of(F_WRLCK, 0, 1);
    CHECK_ERRNO(fcntl(reader, F_SETLK, &lock), EBADF);
}

void test_open_file_locks() {
    int a = open("ofd", O_CREAT | O_RDWR, 0644), b = open("ofd", O_RDWR);
    auto lock = lock_of(F_WRLCK, 0, 10);
    CHECK_EQ(fcntl(a, F_OFD_SETLK, &lock), 0);
    lock = lock_of(F_WRLCK, 5, 1);
    CHECK_ERRNO(fcntl(b, F_OFD_SETLK, &lock), EAGAIN);
    CHECK_EQ(fcntl(b, F_OFD_GETLK, &lock), 0);
    CHECK_EQ(lock.l_pid, -1);
    close(a);
    lock = lock_of(F_WRLCK, 5, 1);
    CHECK_EQ(fcntl(b, F_OFD_SETLK, &lock), 0);
    a = open("ofd", O_RDWR);
    CHECK_EQ(flock(a, LOCK_EX), 0);
    CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EAGAIN);
    int copy = dup(a);
    CHECK_EQ(flock(copy, LOCK_SH), 0);
    CHECK_EQ(flock(b, LOCK_SH | LOCK_NB), 0);
    CHECK_ERRNO(flock(b, LOCK_EX | LOCK_NB), EAGAIN);
    close(a);
    CHECK_ERRNO(flock(b, LOCK_EX | LOCK_NB), EAGAIN);
    close(copy);
    CHECK_EQ(flock(b, LOCK_EX | LOCK_NB), 0);
    CHECK_ERRNO(flock(b, 77), EINVAL);
}

void test_memory_files() {
    int fd = syscall(SYS_memfd_create, "name", MFD_ALLOW_SEALING);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "abcd", 4), 4);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    CHECK_ERRNO(ftruncate(fd, 2), EPERM);
    CHECK_ERRNO(ftruncate(fd, 8), EPERM);
    CHECK_ERRNO(pwrite(fd, "x", 1, 4), EPERM);
    CHECK_EQ(pwrite(fd, "x", 1, 3), 1);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL), 0);
    CHECK_ERRNO(pwrite(fd, "x", 1, 3), EPERM);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    CHECK(mmap(nullptr, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
    fd = syscall(SYS_memfd_create, "plain", 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    CHECK_ERRNO((long)syscall(SYS_memfd_create, "x", 0x8000u), EINVAL);
}

} // namespace

int main() {
    char base[] = "/tmp/descriptors.XXXXXX";
    CHECK(mkdtemp(base) != nullptr);
    CHECK_EQ(chdir(base), 0);
    test_duplicates();
    test_limits();
    test_flags();
    test_record_locks();
    test_open_file_locks();
    test_memory_files();
    return check::result();
}
