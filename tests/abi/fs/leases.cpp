// Leases (fcntl(2)): who may have one beside whom, which opens and truncations break one, how its owner hears of it,
// and what becomes of those who wait.
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "asleep.hpp"
#include "check.hpp"

namespace {

constexpr const char* path = "leased";

/// An open file that closes itself.
struct Opened {
    int fd;
    explicit Opened(int flags, const char* name = path) : fd(open(name, flags, 0644)) {}
    Opened(const Opened&) = delete;
    ~Opened() {
        if (fd >= 0) close(fd);
    }
    [[nodiscard]] int lease() const { return fcntl(fd, F_GETLEASE); }
    [[nodiscard]] int set(int kind) const { return fcntl(fd, F_SETLEASE, kind); }
};

void write_number(const char* file, int number) {
    FILE* out = fopen(file, "w");
    CHECK(out && fprintf(out, "%d\n", number) > 0 && fclose(out) == 0);
}

/// The signal that waits, as si_code and si_fd; 0 none.
int take_signal(int signal, siginfo_t* info) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    const timespec none = {};
    memset(info, 0, sizeof *info);
    return sigtimedwait(&set, info, &none) == signal ? signal : 0;
}

void test_conditions() {
    {
        const Opened file(O_RDONLY);
        CHECK_EQ(file.lease(), F_UNLCK);
        CHECK_ERRNO(file.set(F_UNLCK), EAGAIN);
        CHECK_EQ(file.set(F_RDLCK), 0);
        CHECK_EQ(file.lease(), F_RDLCK);
        CHECK_EQ(fcntl(file.fd, F_GETOWN), getpid());
        CHECK_EQ(file.set(F_WRLCK), 0); // it is open but here
        CHECK_EQ(file.lease(), F_WRLCK);
        CHECK_EQ(file.set(F_RDLCK), 0);
        const Opened second(O_RDONLY);
        CHECK_EQ(second.lease(), F_UNLCK);
        CHECK_EQ(second.set(F_RDLCK), 0);
        CHECK_ERRNO(second.set(F_WRLCK), EAGAIN);
        CHECK_EQ(second.lease(), F_RDLCK);
        CHECK_EQ(second.set(F_UNLCK), 0);
        CHECK_ERRNO(second.set(F_UNLCK), EAGAIN);
        CHECK_ERRNO(file.set(F_WRLCK), EAGAIN); // open twice
        CHECK_EQ(file.set(F_UNLCK), 0);
        for (int kind : {3, 4, -1, 1000}) CHECK_ERRNO(file.set(kind), EINVAL);
    }
    {
        const Opened file(O_RDWR);
        CHECK_ERRNO(file.set(F_RDLCK), EAGAIN);
        CHECK_EQ(file.set(F_WRLCK), 0);
        CHECK_ERRNO(file.set(F_RDLCK), EAGAIN);
        CHECK_EQ(file.lease(), F_WRLCK);
    }
    {
        const Opened file(O_WRONLY), other(O_RDONLY);
        CHECK_ERRNO(file.set(F_WRLCK), EAGAIN);
        CHECK_ERRNO(other.set(F_RDLCK), EAGAIN);
    }
    {
        const Opened place(O_PATH), folder(O_RDONLY | O_DIRECTORY, ".");
        CHECK_ERRNO(place.set(F_RDLCK), EBADF);
        CHECK_ERRNO(place.lease(), EBADF);
        CHECK_ERRNO(folder.set(F_RDLCK), EINVAL);
        CHECK_ERRNO(fcntl(-1, F_GETLEASE), EBADF);
        int ends[2];
        CHECK_EQ(pipe(ends), 0);
        CHECK_ERRNO(fcntl(ends[0], F_SETLEASE, F_RDLCK), EINVAL);
        CHECK_EQ(fcntl(ends[0], F_GETLEASE), F_UNLCK);
        close(ends[0]);
        close(ends[1]);
    }
}

/// Whether `action` holds in a child that is nobody.
void as_nobody(auto action) {
    const pid_t pid = fork();
    if (pid == 0) {
        check::failures = 0;
        if (setresuid(65534, 65534, 65534) != 0) _exit(1);
        _exit(action() ? 0 : 2);
    }
    int status = -1;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

void test_rights() {
    as_nobody([] {
        const Opened file(O_RDONLY);
        return file.fd >= 0 && file.set(F_RDLCK) == -1 && errno == EACCES && file.set(F_UNLCK) == -1 &&
               errno == EACCES && file.lease() == F_UNLCK;
    });
    CHECK_EQ(chown(path, 65534, 65534), 0);
    as_nobody([] {
        const Opened file(O_RDONLY);
        return file.fd >= 0 && file.set(F_RDLCK) == 0;
    });
    CHECK_EQ(chown(path, 0, 0), 0);
    write_number("/proc/sys/fs/leases-enable", 0);
    {
        const Opened file(O_RDONLY);
        CHECK_ERRNO(file.set(F_RDLCK), EINVAL);
        CHECK_EQ(file.lease(), F_UNLCK);
    }
    write_number("/proc/sys/fs/leases-enable", 1);
}

/// What breaks a lease, seen by opens that don't wait.
void test_breaks() {
    siginfo_t info;
    {
        const Opened file(O_RDONLY);
        CHECK_EQ(file.set(F_RDLCK), 0);
        const Opened reader(O_RDONLY | O_NONBLOCK);
        CHECK_GE(reader.fd, 0);
        CHECK_EQ(take_signal(SIGIO, &info), 0);
        CHECK_ERRNO(open(path, O_WRONLY | O_NONBLOCK), EAGAIN);
        CHECK_EQ(take_signal(SIGIO, &info), SIGIO);
        CHECK_EQ(info.si_code, SI_KERNEL);
        CHECK_EQ(file.lease(), F_UNLCK); // what it is to become
        CHECK_ERRNO(open(path, O_RDWR | O_NONBLOCK), EAGAIN);
        CHECK_EQ(take_signal(SIGIO, &info), 0); // it was told
        CHECK_ERRNO(reader.set(F_RDLCK), EAGAIN);
        CHECK_EQ(file.set(F_RDLCK), 0); // no way out
        CHECK_EQ(file.lease(), F_UNLCK);
        CHECK_EQ(file.set(F_UNLCK), 0);
        const Opened writer(O_WRONLY | O_NONBLOCK);
        CHECK_GE(writer.fd, 0);
    }
    {
        const Opened file(O_RDWR);
        CHECK_EQ(file.set(F_WRLCK), 0);
        CHECK_EQ(fcntl(file.fd, F_SETSIG, SIGRTMIN + 1), 0);
        CHECK_ERRNO(open(path, O_RDONLY | O_NONBLOCK), EAGAIN);
        CHECK_EQ(take_signal(SIGRTMIN + 1, &info), SIGRTMIN + 1);
        CHECK_EQ(info.si_code, POLL_MSG);
        CHECK_EQ(info.si_fd, file.fd);
        CHECK_EQ(info.si_band, POLLIN | POLLRDNORM | POLLMSG);
        CHECK_EQ(file.lease(), F_RDLCK);
        CHECK_ERRNO(open(path, O_RDONLY | O_NONBLOCK), EAGAIN);
        CHECK_EQ(take_signal(SIGRTMIN + 1, &info), 0);
        CHECK_ERRNO(open(path, O_WRONLY | O_NONBLOCK), EAGAIN); // more than was asked for
        CHECK_EQ(take_signal(SIGRTMIN + 1, &info), SIGRTMIN + 1);
        CHECK_EQ(file.lease(), F_UNLCK);
        CHECK_EQ(file.set(F_UNLCK), 0);
        CHECK_EQ(file.lease(), F_UNLCK);
        const Opened reader(O_RDONLY | O_NONBLOCK);
        CHECK_GE(reader.fd, 0);
    }
    {
        const Opened file(O_RDONLY);
        CHECK_EQ(file.set(F_WRLCK), 0);
        CHECK_ERRNO(open(path, O_RDONLY | O_NONBLOCK), EAGAIN);
        CHECK_EQ(file.lease(), F_RDLCK);
        CHECK_EQ(file.set(F_RDLCK), 0);
        CHECK_EQ(file.lease(), F_RDLCK);
        const Opened reader(O_RDONLY | O_NONBLOCK), place(O_PATH);
        CHECK_GE(reader.fd, 0);
        CHECK_GE(place.fd, 0);
        struct stat status;
        CHECK_EQ(stat(path, &status), 0);
        CHECK_EQ(take_signal(SIGIO, &info), SIGIO);
    }
}

/// The lease is the file's, not the descriptor's, nor the process's.
void test_descriptors() {
    Opened file(O_RDONLY);
    CHECK_EQ(file.set(F_RDLCK), 0);
    const int copy = dup(file.fd);
    CHECK_EQ(fcntl(copy, F_GETLEASE), F_RDLCK);
    close(file.fd);
    file.fd = copy;
    siginfo_t info;
    CHECK_ERRNO(open(path, O_WRONLY | O_NONBLOCK), EAGAIN);
    CHECK_EQ(take_signal(SIGIO, &info), SIGIO);
    const pid_t pid = fork();
    if (pid == 0) _exit(file.lease() == F_UNLCK && file.set(F_UNLCK) == 0 ? 0 : 1); // the parent's
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_ERRNO(file.set(F_UNLCK), EAGAIN);
    CHECK_EQ(file.set(F_RDLCK), 0);
    close(copy); // the last one
    file.fd = -1;
    const Opened writer(O_WRONLY | O_NONBLOCK);
    CHECK_GE(writer.fd, 0);
}

/// A child in `action` until somebody lets it go on.
pid_t start(auto action) {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    check::failures = 0;
    _exit(action());
}
int end(pid_t pid) {
    int status = -1;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return status;
}
void wait_for(int signal, int code) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    siginfo_t info;
    const timespec long_time = {60, 0};
    CHECK_EQ(sigtimedwait(&set, &info, &long_time), signal);
    CHECK_EQ(info.si_code, code);
}

void test_waits() {
    {
        const Opened file(O_RDONLY);
        CHECK_EQ(file.set(F_RDLCK), 0);
        const pid_t opens = start([] { return open(path, O_WRONLY) >= 0 ? 0 : 1; });
        wait_for(SIGIO, SI_KERNEL);
        const pid_t cuts = start([] { return truncate(path, 3) == 0 ? 0 : 1; });
        check::wait_asleep(opens);
        check::wait_asleep(cuts);
        CHECK_EQ(waitpid(opens, nullptr, WNOHANG), 0);
        CHECK_EQ(waitpid(cuts, nullptr, WNOHANG), 0);
        CHECK_EQ(file.set(F_UNLCK), 0);
        CHECK_EQ(end(opens), 0);
        CHECK_EQ(end(cuts), 0);
        struct stat status;
        CHECK_EQ(stat(path, &status), 0);
        CHECK_EQ(status.st_size, 3);
    }
    {
        const Opened file(O_RDONLY);
        CHECK_EQ(file.set(F_WRLCK), 0);
        const pid_t reads = start([] { return open(path, O_RDONLY) >= 0 ? 0 : 1; });
        wait_for(SIGIO, SI_KERNEL);
        check::wait_asleep(reads);
        CHECK_EQ(file.set(F_RDLCK), 0); // enough for it
        CHECK_EQ(end(reads), 0);
        const pid_t writes = start([] { return open(path, O_RDWR) >= 0 ? 0 : 1; });
        wait_for(SIGIO, SI_KERNEL);
        check::wait_asleep(writes);
        close(dup(file.fd)); // nothing happens
        CHECK_EQ(waitpid(writes, nullptr, WNOHANG), 0);
        CHECK_EQ(file.set(F_UNLCK), 0);
        CHECK_EQ(end(writes), 0);
    }
    {
        const Opened file(O_RDONLY);
        CHECK_EQ(file.set(F_RDLCK), 0);
        const pid_t interrupted = start([] {
            struct sigaction action = {};
            action.sa_handler = [](int) {};
            sigaction(SIGUSR1, &action, nullptr);
            return open(path, O_WRONLY) == -1 && errno == EINTR ? 0 : 1;
        });
        wait_for(SIGIO, SI_KERNEL);
        check::wait_asleep(interrupted);
        kill(interrupted, SIGUSR1);
        CHECK_EQ(end(interrupted), 0);
        CHECK_EQ(file.lease(), F_UNLCK); // as it was to become
        CHECK_EQ(file.set(F_UNLCK), 0);
    }
}

/// Who doesn't give way loses the lease after a while.
void test_overdue() {
    write_number("/proc/sys/fs/lease-break-time", 1);
    {
        const Opened file(O_RDONLY);
        CHECK_EQ(file.set(F_RDLCK), 0);
        const Opened writer(O_WRONLY);
        CHECK_GE(writer.fd, 0);
        CHECK_ERRNO(file.set(F_UNLCK), EAGAIN);
        wait_for(SIGIO, SI_KERNEL);
    }
    {
        const Opened file(O_RDONLY);
        CHECK_EQ(file.set(F_WRLCK), 0);
        const Opened reader(O_RDONLY);
        CHECK_GE(reader.fd, 0);
        CHECK_EQ(file.lease(), F_RDLCK);
        CHECK_EQ(file.set(F_UNLCK), 0);
        wait_for(SIGIO, SI_KERNEL);
    }
    write_number("/proc/sys/fs/lease-break-time", 45);
}

/// Never are two open where one has a lease against the other.
void test_races() {
    std::vector<std::thread> threads;
    static std::atomic<int> taken, refused;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([i] {
            for (int round = 0; round < 300; ++round) {
                const Opened file((i & 1 ? O_RDONLY : O_RDWR) | O_NONBLOCK);
                if (file.fd < 0) {
                    if (errno != EAGAIN) check::failed(__FILE__, __LINE__, strerror(errno));
                    ++refused;
                    continue;
                }
                if (file.set(round & 1 && i & 1 ? F_RDLCK : F_WRLCK) == 0) {
                    ++taken;
                    if (file.set(F_UNLCK) != 0) check::failed(__FILE__, __LINE__, strerror(errno));
                } else if (errno != EAGAIN) {
                    check::failed(__FILE__, __LINE__, strerror(errno));
                }
            }
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(taken > 0);
    siginfo_t info;
    take_signal(SIGIO, &info);
    const Opened file(O_RDWR | O_NONBLOCK);
    CHECK_GE(file.fd, 0);
    CHECK_EQ(file.set(F_WRLCK), 0);
}

} // namespace

int main() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    close(open(path, O_CREAT | O_RDWR, 0666));
    test_conditions();
    test_rights();
    test_breaks();
    test_descriptors();
    test_waits();
    test_overdue();
    test_races();
    return check::result();
}
