// F_NOTIFY (fcntl(2)): which change in a directory is told by which signal, to whom, how often, and until when. Also
// the hints of F_SET_RW_HINT.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.hpp"

namespace {

const int notice_signal = SIGRTMIN + 1;
constexpr int kinds = 6;
constexpr const char* names[kinds] = {"access", "modify", "create", "delete", "rename", "attrib"};

/// A directory opened once for each kind of notice.
struct Listeners {
    int fds[kinds];
    explicit Listeners(const char* directory, unsigned long more = DN_MULTISHOT) {
        for (int i = 0; i < kinds; ++i) {
            fds[i] = open(directory, O_RDONLY | O_DIRECTORY);
            CHECK_EQ(fcntl(fds[i], F_SETSIG, notice_signal), 0);
            CHECK_EQ(fcntl(fds[i], F_NOTIFY, (1ul << i) | more), 0);
        }
    }
    ~Listeners() {
        for (int fd : fds) close(fd);
    }
    /// The kinds that were told of, in the order of the signals.
    std::string told() const {
        std::string all;
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, notice_signal);
        siginfo_t info;
        const timespec none = {};
        while (sigtimedwait(&set, &info, &none) == notice_signal) {
            CHECK_EQ(info.si_code, POLL_MSG);
            CHECK_EQ(info.si_band, POLLIN | POLLRDNORM | POLLMSG);
            int which = 0;
            while (which < kinds && fds[which] != info.si_fd) ++which;
            all += (all.empty() ? "" : " ") + std::string(which < kinds ? names[which] : "?");
        }
        return all;
    }
};

void same(int line, const std::string& seen, const char* wanted) {
    if (seen != wanted)
        check::failed(__FILE__, line, ("\n  seen   \"" + seen + "\"\n  wanted \"" + wanted + "\"").c_str());
}
#define TOLD(listeners, wanted) same(__LINE__, (listeners).told(), wanted)

void list(const char* directory) {
    const int fd = open(directory, O_RDONLY | O_DIRECTORY);
    alignas(8) char buffer[4096];
    CHECK_GT(syscall(SYS_getdents64, fd, buffer, sizeof buffer), 0);
    close(fd);
}

void test_changes() {
    const Listeners in("d");
    const int fd = open("d/f", O_CREAT | O_RDWR, 0644);
    TOLD(in, "create");
    CHECK_EQ(write(fd, "123", 3), 3);
    TOLD(in, "modify");
    char buffer[3];
    CHECK_EQ(pread(fd, buffer, 3, 0), 3);
    TOLD(in, "access");
    CHECK_EQ(fchmod(fd, 0600), 0);
    TOLD(in, "attrib");
    CHECK_EQ(ftruncate(fd, 1), 0);
    TOLD(in, "modify");
    CHECK_EQ(utimes("d/f", nullptr), 0);
    TOLD(in, "attrib");
    CHECK_EQ(rename("d/f", "d/g"), 0);
    TOLD(in, "rename delete create");
    CHECK_EQ(rename("d/g", "e/g"), 0);
    TOLD(in, "delete");
    CHECK_EQ(rename("e/g", "d/g"), 0);
    TOLD(in, "create");
    CHECK_EQ(link("d/g", "d/h"), 0);
    TOLD(in, "create");
    CHECK_EQ(unlink("d/h"), 0);
    TOLD(in, "delete");
    CHECK_EQ(mkdir("d/m", 0755), 0);
    TOLD(in, "create");
    list("d/m");
    TOLD(in, "access");
    CHECK_EQ(chmod("d/m", 0700), 0);
    TOLD(in, "attrib");
    CHECK_EQ(rmdir("d/m"), 0);
    TOLD(in, "delete");
    CHECK_EQ(symlink("a", "d/l"), 0);
    TOLD(in, "create");
    CHECK_EQ(chmod("d", 0700), 0); // itself
    TOLD(in, "attrib");
    list("d");
    TOLD(in, "access");
    close(fd);
    close(open("d/g", O_RDONLY));
    TOLD(in, "");
    CHECK_EQ(unlink("d/g"), 0);
    CHECK_EQ(unlink("d/l"), 0);
    TOLD(in, "delete delete");
}

void touch(const char* path) { close(open(path, O_CREAT | O_RDWR, 0644)); }

/// How long a notice lasts.
void test_ends() {
    {
        const Listeners once("d", 0);
        touch("d/a");
        TOLD(once, "create");
        touch("d/b");
        unlink("d/a");
        TOLD(once, "delete");
        unlink("d/b");
        TOLD(once, "");
        CHECK_EQ(fcntl(once.fds[0], F_NOTIFY, DN_DELETE), 0);
        CHECK_EQ(fcntl(once.fds[0], F_NOTIFY, DN_CREATE | DN_MULTISHOT), 0); // added to it
        touch("d/a");
        unlink("d/a");
        TOLD(once, "access access"); // the one that was opened for that
        CHECK_EQ(fcntl(once.fds[0], F_NOTIFY, 0), 0);
        touch("d/a");
        unlink("d/a");
        TOLD(once, "");
    }
    Listeners in("d");
    const int copy = dup(in.fds[2]);
    touch("d/a");
    TOLD(in, "create");
    close(copy); // any descriptor of it
    touch("d/b");
    TOLD(in, "");
    unlink("d/a");
    TOLD(in, "delete");
    const pid_t pid = fork();
    if (pid == 0) {
        for (int fd : in.fds) close(fd); // not those of this process
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, nullptr, 0), pid);
    unlink("d/b");
    TOLD(in, "delete");
}

void test_owner() {
    const int fd = open("d", O_RDONLY);
    CHECK_EQ(fcntl(fd, F_GETOWN), 0);
    CHECK_EQ(fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT), 0);
    CHECK_EQ(fcntl(fd, F_GETOWN), getpid());
    touch("d/a");
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    siginfo_t info;
    const timespec none = {};
    CHECK_EQ(sigtimedwait(&set, &info, &none), SIGIO);
    CHECK_EQ(info.si_code, SI_KERNEL);
    close(fd);
    unlink("d/a");
    CHECK_ERRNO(sigtimedwait(&set, &info, &none), EAGAIN);
}

void test_errors() {
    touch("d/f");
    const int file = open("d/f", O_RDONLY), place = open("d", O_PATH);
    CHECK_ERRNO(fcntl(file, F_NOTIFY, DN_ACCESS), ENOTDIR);
    CHECK_EQ(fcntl(file, F_NOTIFY, 0), 0);
    CHECK_ERRNO(fcntl(place, F_NOTIFY, DN_ACCESS), EBADF);
    CHECK_ERRNO(fcntl(-1, F_NOTIFY, DN_ACCESS), EBADF);
    close(place);
    close(file);
    unlink("d/f");
}

void test_hints() {
    const int fd = open("hinted", O_CREAT | O_RDWR, 0644);
    uint64_t hint = 99;
    CHECK_EQ(fcntl(fd, F_GET_RW_HINT, &hint), 0);
    CHECK_EQ(hint, 0u);
    for (uint64_t wanted : {5u, 1u, 3u}) {
        CHECK_EQ(fcntl(fd, F_SET_RW_HINT, &wanted), 0);
        const int other = open("hinted", O_RDONLY);
        CHECK_EQ(fcntl(other, F_GET_RW_HINT, &hint), 0); // it is the file's
        CHECK_EQ(hint, wanted);
        close(other);
    }
    for (uint64_t bad : {uint64_t{6}, ~uint64_t{0}}) CHECK_ERRNO(fcntl(fd, F_SET_RW_HINT, &bad), EINVAL);
    CHECK_ERRNO(fcntl(fd, F_SET_RW_HINT, 8), EFAULT);
    CHECK_ERRNO(fcntl(fd, F_GET_RW_HINT, 8), EFAULT);
    close(fd);
    unlink("hinted");
}

} // namespace

int main() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigaddset(&set, notice_signal);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    mkdir("d", 0755);
    mkdir("e", 0755);
    test_changes();
    test_ends();
    test_owner();
    test_errors();
    test_hints();
    return check::result();
}
