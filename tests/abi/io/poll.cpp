// poll(2), ppoll(2), select(2), epoll(7), eventfd(2), signalfd(2).
#include <csignal>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asleep.hpp"

namespace {

void on_alarm(int) {}

long elapsed_ms(const timespec& since) {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - since.tv_sec) * 1000 + (now.tv_nsec - since.tv_nsec) / 1000000;
}

void polling() {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    pollfd requests[3] = {{ends[0], POLLIN, 7}, {-1, POLLIN, 7}, {999, POLLIN, 7}};
    CHECK_EQ(poll(requests, 1, 50), 0);
    CHECK_GE(elapsed_ms(begin), 50);
    CHECK_EQ(poll(requests, 3, -1), 1);
    CHECK_EQ(requests[1].revents, 0);
    CHECK_EQ(requests[2].revents, POLLNVAL);
    const pid_t child = fork();
    if (child == 0) {
        check::wait_asleep(getppid());
        (void)!write(ends[1], "a", 1);
        _exit(0);
    }
    CHECK_EQ(poll(requests, 1, 10000), 1);
    CHECK_EQ(requests[0].revents, POLLIN);
    waitpid(child, nullptr, 0);
    CHECK_EQ(poll(nullptr, 0, 1), 0);
    CHECK_ERRNO(poll((pollfd*)8, 1, 0), EFAULT);
    close(ends[0]), close(ends[1]);
}

void signals_end_waits() {
    struct sigaction action = {};
    action.sa_handler = on_alarm;
    action.sa_flags = SA_RESTART; // does not help poll, select and epoll_wait
    sigaction(SIGALRM, &action, nullptr);
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    pollfd request = {ends[0], POLLIN, 0};
    ualarm(30000, 30000);
    CHECK_ERRNO(poll(&request, 1, 10000), EINTR);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    timeval limit = {10, 0};
    ualarm(30000, 30000);
    CHECK_ERRNO(select(ends[0] + 1, &set, nullptr, nullptr, &limit), EINTR);
    const int epoll = epoll_create1(0);
    epoll_event event = {};
    ualarm(30000, 30000);
    CHECK_ERRNO(epoll_wait(epoll, &event, 1, 10000), EINTR);
    ualarm(0, 0); // it beat until now, so that no wait could begin behind the only signal
    // ppoll opens the mask for as long as it waits.
    sigset_t blocked, open;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    sigprocmask(SIG_BLOCK, &blocked, nullptr);
    sigemptyset(&open);
    raise(SIGALRM);
    CHECK_ERRNO(ppoll(&request, 1, nullptr, &open), EINTR);
    sigprocmask(SIG_UNBLOCK, &blocked, nullptr);
    close(ends[0]), close(ends[1]), close(epoll);
}

void selecting() {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    fd_set readable, writable;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(ends[0], &readable);
    FD_SET(ends[1], &writable);
    CHECK_EQ(select(ends[1] + 1, &readable, &writable, nullptr, nullptr), 1);
    CHECK(!FD_ISSET(ends[0], &readable));
    CHECK(FD_ISSET(ends[1], &writable));
    FD_SET(ends[0], &readable);
    timeval limit = {0, 20000};
    CHECK_EQ(select(ends[0] + 1, &readable, nullptr, nullptr, &limit), 0);
    CHECK_EQ(limit.tv_sec, 0);
    CHECK_EQ(limit.tv_usec, 0);
    FD_ZERO(&readable);
    FD_SET(50, &readable);
    CHECK_ERRNO(select(51, &readable, nullptr, nullptr, &limit), EBADF);
    CHECK_ERRNO(select(-1, nullptr, nullptr, nullptr, &limit), EINVAL);
    close(ends[0]), close(ends[1]);
}

void epolling() {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event = {EPOLLIN, {.u64 = 0x1234567890abcdef}};
    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event), 0);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event), EEXIST);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[1], &event), ENOENT);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event), EINVAL);
    epoll_event got[4] = {};
    CHECK_EQ(epoll_wait(epoll, got, 4, 0), 0);
    CHECK_EQ(write(ends[1], "ab", 2), 2);
    // Level-triggered: again and again.
    for (int i = 0; i < 2; ++i) {
        CHECK_EQ(epoll_wait(epoll, got, 4, -1), 1);
        CHECK_EQ(uint32_t(got[0].events), uint32_t(EPOLLIN));
        CHECK_EQ(uint64_t(got[0].data.u64), 0x1234567890abcdefull);
    }
    // Edge-triggered: once for each arrival.
    event.events = EPOLLIN | EPOLLET;
    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event), 0);
    CHECK_EQ(epoll_wait(epoll, got, 4, 0), 1);
    CHECK_EQ(epoll_wait(epoll, got, 4, 0), 0);
    CHECK_EQ(write(ends[1], "c", 1), 1);
    CHECK_EQ(epoll_wait(epoll, got, 4, 0), 1);
    // One shot: until armed again.
    event.events = EPOLLIN | EPOLLONESHOT;
    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event), 0);
    CHECK_EQ(epoll_wait(epoll, got, 4, 0), 1);
    CHECK_EQ(write(ends[1], "d", 1), 1);
    CHECK_EQ(epoll_wait(epoll, got, 4, 0), 0);
    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event), 0);
    CHECK_EQ(epoll_wait(epoll, got, 4, 0), 1);
    // An instance within an instance.
    event.events = EPOLLIN;
    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event), 0);
    const int outer = epoll_create1(0);
    CHECK_EQ(epoll_ctl(outer, EPOLL_CTL_ADD, epoll, &event), 0);
    CHECK_EQ(epoll_wait(outer, got, 4, 0), 1);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, outer, &event), ELOOP);
    // Closing the file takes it out.
    char buffer[8];
    CHECK_EQ(read(ends[0], buffer, 8), 4);
    CHECK_EQ(epoll_wait(outer, got, 4, 0), 0);
    close(ends[0]);
    CHECK_EQ(epoll_wait(epoll, got, 4, 0), 0);
    const int file = open("/proc/self/exe", O_RDONLY);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event), EPERM);
    CHECK_ERRNO(epoll_wait(epoll, got, 0, 0), EINVAL);
    CHECK_ERRNO(epoll_wait(file, got, 1, 0), EINVAL);
    close(file), close(outer), close(epoll), close(ends[1]);
}

void events() {
    const int fd = eventfd(3, EFD_NONBLOCK);
    uint64_t value = 0;
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_EQ(value, 3u);
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
    CHECK_ERRNO(read(fd, &value, 4), EINVAL);
    value = ~uint64_t(0);
    CHECK_ERRNO(write(fd, &value, 8), EINVAL);
    value = ~uint64_t(0) - 1;
    CHECK_EQ(write(fd, &value, 8), 8);
    pollfd request = {fd, POLLIN | POLLOUT, 0};
    CHECK_EQ(poll(&request, 1, 0), 1);
    CHECK_EQ(request.revents, POLLIN);
    value = 1;
    CHECK_ERRNO(write(fd, &value, 8), EAGAIN);
    close(fd);
    const int semaphore = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    CHECK_EQ(read(semaphore, &value, 8), 8);
    CHECK_EQ(value, 1u);
    CHECK_EQ(read(semaphore, &value, 8), 8);
    CHECK_ERRNO(read(semaphore, &value, 8), EAGAIN);
    close(semaphore);
}

void signal_files() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    const int fd = signalfd(-1, &set, SFD_NONBLOCK);
    CHECK_GE(fd, 0);
    signalfd_siginfo info = {};
    CHECK_ERRNO(read(fd, &info, sizeof info), EAGAIN);
    kill(getpid(), SIGUSR1);
    pollfd request = {fd, POLLIN, 0};
    CHECK_EQ(poll(&request, 1, 1000), 1);
    CHECK_EQ(read(fd, &info, sizeof info), ssize_t(sizeof info));
    CHECK_EQ(info.ssi_signo, unsigned(SIGUSR1));
    CHECK_EQ(info.ssi_pid, unsigned(getpid()));
    CHECK_EQ(poll(&request, 1, 0), 0);
    close(fd);
}

} // namespace

int main() {
    polling();
    signals_end_waits();
    selecting();
    epolling();
    events();
    signal_files();
    return check::result();
}
