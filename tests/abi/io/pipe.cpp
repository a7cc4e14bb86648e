// pipe(7): atomic writes, packets, capacity, poll, FIFOs and their opening.
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.hpp"

namespace {

char big[1 << 20];

void atomic_writes() {
    int ends[2];
    REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
    const int capacity = fcntl(ends[1], F_GETPIPE_SZ);
    CHECK_EQ(capacity, 16 * int(sysconf(_SC_PAGESIZE)));
    CHECK_EQ(write(ends[1], big, sizeof big), capacity);
    CHECK_ERRNO(write(ends[1], big, 1), EAGAIN);
    int queued = 0;
    CHECK_OK(ioctl(ends[0], FIONREAD, &queued));
    CHECK_EQ(queued, capacity);
    pollfd request = {ends[1], POLLOUT, 0};
    CHECK_EQ(poll(&request, 1, 0), 0);
    // A page's worth must go before a write of PIPE_BUF bytes fits, and then it goes whole.
    CHECK_EQ(read(ends[0], big, 100), 100);
    CHECK_ERRNO(write(ends[1], big, 4096), EAGAIN);
    CHECK_EQ(read(ends[0], big, size_t(sysconf(_SC_PAGESIZE)) - 100), sysconf(_SC_PAGESIZE) - 100);
    CHECK_EQ(poll(&request, 1, 0), 1);
    CHECK_EQ(request.revents, POLLOUT);
    CHECK_EQ(write(ends[1], big, 4096), 4096);
    close(ends[0]);
    CHECK_EQ(poll(&request, 1, 0), 1);
    CHECK_EQ(request.revents & (POLLERR | POLLHUP), POLLERR);
    close(ends[1]);
}

void capacity() {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const int page = int(sysconf(_SC_PAGESIZE));
    CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 2 * page + 1), 4 * page);
    CHECK_EQ(fcntl(ends[0], F_GETPIPE_SZ), 4 * page);
    CHECK_EQ(write(ends[1], big, size_t(3 * page)), 3 * page);
    CHECK_ERRNO(fcntl(ends[1], F_SETPIPE_SZ, page), EBUSY);
    CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 64 * page), 64 * page);
    CHECK_EQ(read(ends[0], big, sizeof big), 3 * page);
    close(ends[0]), close(ends[1]);
}

void packets() {
    int ends[2];
    REQUIRE(pipe2(ends, O_DIRECT) == 0);
    CHECK_EQ(write(ends[1], "first", 5), 5);
    CHECK_EQ(write(ends[1], "second", 6), 6);
    char buffer[16] = {};
    CHECK_EQ(read(ends[0], buffer, 3), 3); // the rest of the message is lost
    CHECK_EQ(read(ends[0], buffer, sizeof buffer), 6);
    CHECK_EQ(memcmp(buffer, "second", 6), 0);
    close(ends[0]), close(ends[1]);
}

void end_of_file() {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    pollfd request = {ends[0], POLLIN, 0};
    CHECK_EQ(poll(&request, 1, 0), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    close(ends[1]);
    CHECK_EQ(poll(&request, 1, -1), 1);
    CHECK_EQ(request.revents, POLLIN | POLLHUP);
    char c;
    CHECK_EQ(read(ends[0], &c, 1), 1);
    CHECK_EQ(poll(&request, 1, -1), 1);
    CHECK_EQ(request.revents, POLLHUP);
    CHECK_EQ(read(ends[0], &c, 1), 0);
    close(ends[0]);
}

void sigpipe_kills() {
    const pid_t child = fork();
    if (child == 0) {
        int ends[2];
        if (pipe(ends) != 0) _exit(1);
        close(ends[0]);
        (void)!write(ends[1], "x", 1);
        _exit(0);
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGPIPE);
}

// Blocking writer against blocking reader, over many refills of the ring.
void throughput() {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        unsigned char pattern[1000];
        unsigned next = 0;
        for (int i = 0; i < 2000; ++i) {
            for (unsigned char& byte : pattern) byte = static_cast<unsigned char>(next++ * 7);
            if (write(ends[1], pattern, sizeof pattern) != ssize_t(sizeof pattern)) _exit(1);
        }
        _exit(0);
    }
    close(ends[1]);
    unsigned char buffer[3001];
    unsigned next = 0, wrong = 0;
    for (;;) {
        const ssize_t count = read(ends[0], buffer, sizeof buffer);
        if (count <= 0) break;
        for (ssize_t i = 0; i < count; ++i)
            if (buffer[i] != static_cast<unsigned char>(next++ * 7)) ++wrong;
    }
    CHECK_EQ(next, 2000000u);
    CHECK_EQ(wrong, 0u);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    close(ends[0]);
}

void fifos() {
    char path[] = "/tmp/fifoXXXXXX";
    REQUIRE(mkdtemp(path) != nullptr);
    char name[64];
    snprintf(name, sizeof name, "%s/fifo", path);
    REQUIRE(mkfifo(name, 0600) == 0);
    CHECK_ERRNO(open(name, O_WRONLY | O_NONBLOCK), ENXIO);
    const int reader = open(name, O_RDONLY | O_NONBLOCK);
    CHECK_GE(reader, 0);
    pollfd request = {reader, POLLIN, 0};
    CHECK_EQ(poll(&request, 1, 0), 0); // nobody has written yet: not hung up
    char buffer[8];
    CHECK_EQ(read(reader, buffer, sizeof buffer), 0);
    const pid_t child = fork();
    if (child == 0) {
        const int writer = open(name, O_WRONLY);
        (void)!write(writer, "fifo", 4);
        _exit(0);
    }
    CHECK_EQ(poll(&request, 1, 5000), 1);
    CHECK_EQ(read(reader, buffer, sizeof buffer), 4);
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    CHECK_EQ(poll(&request, 1, 0), 1);
    CHECK_EQ(request.revents, POLLHUP);
    close(reader);
    // Both sides wait for one another.
    const pid_t opener = fork();
    if (opener == 0) {
        const int fd = open(name, O_WRONLY);
        _exit(fd >= 0 && write(fd, "y", 1) == 1 ? 0 : 1);
    }
    const int fd = open(name, O_RDONLY);
    CHECK_EQ(read(fd, buffer, 1), 1);
    int status = 1;
    CHECK_EQ(waitpid(opener, &status, 0), opener);
    CHECK_EQ(status, 0);
    close(fd);
    // A reader that came while somebody could write is hung up on as soon as nobody can, whether it waited for it or
    // not.
    const int both = open(name, O_RDWR);
    const int late = open(name, O_RDONLY | O_NONBLOCK);
    request = {late, POLLIN, 0};
    CHECK_EQ(poll(&request, 1, 0), 0);
    const int watcher = epoll_create1(0);
    epoll_event event = {EPOLLIN | EPOLLRDHUP | EPOLLET, {}};
    CHECK_OK(epoll_ctl(watcher, EPOLL_CTL_ADD, late, &event));
    CHECK_EQ(epoll_wait(watcher, &event, 1, 0), 0);
    close(both);
    CHECK_EQ(epoll_wait(watcher, &event, 1, 5000), 1);
    CHECK_EQ(event.events, unsigned{EPOLLHUP});
    CHECK_EQ(poll(&request, 1, 0), 1);
    CHECK_EQ(request.revents, POLLHUP);
    close(watcher), close(late);
    unlink(name), rmdir(path);
}

} // namespace

int main() {
    atomic_writes();
    capacity();
    packets();
    end_of_file();
    sigpipe_kills();
    throughput();
    fifos();
    return check::result();
}
