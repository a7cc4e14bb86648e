// POSIX message queues: mq_open(2) and its relatives, their descriptors as files, and the file system of queues.
// timeout: 150
#include "asleep.hpp"
#include "memory.hpp"
#include "numbered_child.hpp"
#include "proc_text.hpp"
#include <dirent.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

namespace {

const char* const name = "/linnet_test";
char* const bad = reinterpret_cast<char*>(-4096);
char text[1 << 16];

mqd_t make(long messages = 10, long bytes = 100, int flags = 0) {
    mq_attr attributes = {};
    attributes.mq_maxmsg = messages, attributes.mq_msgsize = bytes;
    const mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | flags, 0600, &attributes);
    CHECK(queue >= 0);
    return queue;
}
void drop(mqd_t queue) {
    CHECK_EQ(mq_close(queue), 0);
    CHECK_EQ(mq_unlink(name), 0);
}
int send(mqd_t queue, int number, unsigned priority = 0, size_t size = sizeof(int)) {
    memcpy(text, &number, sizeof number);
    return mq_send(queue, text, size, priority);
}
int receive(mqd_t queue, unsigned* priority = nullptr) {
    char bytes[16384];
    if (mq_receive(queue, bytes, sizeof bytes, priority) < 0) return -1;
    int number;
    memcpy(&number, bytes, sizeof number);
    return number;
}
mq_attr attributes_of(mqd_t queue) {
    mq_attr attributes = {};
    CHECK_EQ(mq_getattr(queue, &attributes), 0);
    return attributes;
}
long open_raw(const char* raw, int flags, mode_t mode = 0600, const void* attributes = nullptr) {
    return syscall(SYS_mq_open, raw, flags, mode, attributes);
}

using check::outcome;

template <typename F>
pid_t child(F body) {
    return check::numbered_child(body);
}

void test_open() {
    CHECK_ERRNO(mq_open(name, O_RDWR), ENOENT);
    CHECK_ERRNO(mq_unlink(name), ENOENT);
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0640, nullptr);
    CHECK(queue >= 0);
    mq_attr attributes = attributes_of(queue);
    CHECK(attributes.mq_maxmsg == 10 && attributes.mq_msgsize == 8192 && attributes.mq_curmsgs == 0);
    CHECK_EQ(attributes.mq_flags, 0);
    CHECK_EQ(fcntl(queue, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, nullptr), EEXIST);
    CHECK_ERRNO(open_raw("linnet_test", O_ACCMODE), EINVAL);
    attributes.mq_maxmsg = 0; // not looked at where the queue is there
    const mqd_t again = mq_open(name, O_RDONLY | O_CREAT | O_NONBLOCK, 0600, &attributes);
    CHECK(again >= 0);
    CHECK_EQ(attributes_of(again).mq_flags, O_NONBLOCK);
    CHECK_EQ(send(queue, 4), 0);
    CHECK_EQ(receive(again), 4);
    mq_close(again);
    // A queue lives as long as somebody has it open.
    CHECK_EQ(mq_unlink(name), 0);
    CHECK_ERRNO(mq_open(name, O_RDWR), ENOENT);
    CHECK_EQ(send(queue, 5), 0);
    CHECK_EQ(receive(queue), 5);
    mq_close(queue);
    CHECK_ERRNO(send(queue, 5), EBADF);

    for (const char* wrong : {"a/b", "/a", ".", ".."}) {
        CHECK_ERRNO(open_raw(wrong, O_RDWR | O_CREAT), EACCES);
        CHECK_ERRNO(syscall(SYS_mq_unlink, wrong), EACCES);
    }
    CHECK_ERRNO(open_raw("", O_RDWR | O_CREAT), ENOENT);
    CHECK_ERRNO(open_raw(bad, O_RDWR | O_CREAT), EFAULT);
    CHECK_ERRNO(open_raw("linnet_test", O_RDWR | O_CREAT, 0600, bad), EFAULT);
    CHECK_ERRNO(syscall(SYS_mq_unlink, bad), EFAULT);
    char longest[257];
    memset(longest, 'n', 256), longest[256] = 0;
    CHECK_ERRNO(open_raw(longest, O_RDWR | O_CREAT), ENAMETOOLONG);
    longest[255] = 0;
    const long fd = open_raw(longest, O_RDWR | O_CREAT);
    CHECK(fd >= 0);
    close(int(fd));
    CHECK_EQ(syscall(SYS_mq_unlink, longest), 0);
    const long wrong[][2] = {{0, 10}, {10, 0}, {-1, 10}, {10, -1}, {65537, 10}, {10, (16 << 20) + 1}};
    for (auto& pair : wrong) {
        attributes.mq_maxmsg = pair[0], attributes.mq_msgsize = pair[1];
        CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &attributes), EINVAL);
    }
}

void test_messages() {
    mqd_t queue = make(4, 100);
    const unsigned priorities[] = {3, 32767, 3, 0};
    for (int i = 0; i < 4; i++) CHECK_EQ(send(queue, i, priorities[i], sizeof(int) + size_t(i)), 0);
    CHECK_EQ(attributes_of(queue).mq_curmsgs, 4);
    unsigned priority = 77;
    const int order[] = {1, 0, 2, 3};
    for (int each : order) {
        CHECK_EQ(mq_receive(queue, text, 100, &priority), ssize_t(sizeof(int)) + each);
        CHECK_EQ(priority, priorities[each]);
    }
    CHECK_ERRNO(send(queue, 1, 32768), EINVAL);
    CHECK_ERRNO(mq_send(queue, text, 101, 0), EMSGSIZE);
    CHECK_EQ(mq_send(queue, text, 0, 0), 0);
    CHECK_ERRNO(mq_receive(queue, text, 99, nullptr), EMSGSIZE);
    CHECK_EQ(mq_receive(queue, text, 100, nullptr), 0);
    CHECK_ERRNO(mq_send(queue, bad, 10, 0), EFAULT);
    CHECK_EQ(attributes_of(queue).mq_curmsgs, 0);
    // Non-blocking, by mq_setattr: no other attribute changes.
    mq_attr fresh = {}, old = {};
    fresh.mq_flags = O_NONBLOCK, fresh.mq_maxmsg = 99;
    CHECK_EQ(mq_setattr(queue, &fresh, &old), 0);
    CHECK(old.mq_flags == 0 && old.mq_maxmsg == 4);
    CHECK(attributes_of(queue).mq_flags == O_NONBLOCK && attributes_of(queue).mq_maxmsg == 4);
    CHECK_EQ(fcntl(queue, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    CHECK_ERRNO(receive(queue), EAGAIN);
    for (int i = 0; i < 4; i++) CHECK_EQ(send(queue, i), 0);
    CHECK_ERRNO(send(queue, 5), EAGAIN);
    fresh.mq_flags = O_NONBLOCK | O_APPEND;
    CHECK_ERRNO(mq_setattr(queue, &fresh, nullptr), EINVAL);
    CHECK_ERRNO(syscall(SYS_mq_getsetattr, queue, bad, nullptr), EFAULT);
    CHECK_ERRNO(syscall(SYS_mq_getsetattr, queue, nullptr, bad), EFAULT);
    fresh.mq_flags = 0;
    CHECK_EQ(mq_setattr(queue, &fresh, nullptr), 0);
    // Time.
    timespec when = {1, 0};
    CHECK_ERRNO(mq_timedsend(queue, text, 1, 0, &when), ETIMEDOUT);
    clock_gettime(CLOCK_REALTIME, &when);
    when.tv_nsec += 20'000'000;
    if (when.tv_nsec >= 1'000'000'000) when.tv_nsec -= 1'000'000'000, when.tv_sec++;
    const double before = memory::now();
    CHECK_ERRNO(mq_timedsend(queue, text, 1, 0, &when), ETIMEDOUT);
    CHECK_GE(memory::now() - before, 0.015);
    for (int i = 0; i < 4; i++) CHECK_EQ(mq_timedreceive(queue, text, 100, nullptr, &when), 4); // there is one
    CHECK_ERRNO(mq_timedreceive(queue, text, 100, nullptr, &when), ETIMEDOUT);
    for (timespec wrong : {timespec{-1, 0}, timespec{1, -1}, timespec{1, 1'000'000'000}}) {
        CHECK_ERRNO(mq_timedreceive(queue, text, 100, nullptr, &wrong), EINVAL);
        CHECK_ERRNO(mq_timedsend(queue, text, 1, 0, &wrong), EINVAL);
    }
    CHECK_ERRNO(syscall(SYS_mq_timedsend, queue, text, 1, 0, bad), EFAULT);
    // Descriptors of the wrong kind.
    const mqd_t reader = mq_open(name, O_RDONLY), writer = mq_open(name, O_WRONLY);
    CHECK_ERRNO(send(reader, 1), EBADF);
    CHECK_ERRNO(receive(writer), EBADF);
    const int file = open("/dev/null", O_RDWR);
    for (int wrong : {file, -1, 999}) {
        CHECK_ERRNO(send(wrong, 1), EBADF);
        CHECK_ERRNO(receive(wrong), EBADF);
        CHECK_ERRNO(mq_getattr(wrong, &old), EBADF);
        CHECK_ERRNO(mq_notify(wrong, nullptr), EBADF);
    }
    for (int each : {reader, writer, file}) close(each);
    drop(queue);
}

void test_file() {
    const mqd_t queue = make(2, 100);
    struct stat status;
    CHECK_OK(fstat(queue, &status));
    CHECK(S_ISREG(status.st_mode) && (status.st_mode & 07777) == 0600 && status.st_size == 80);
    auto line = [&] {
        static char bytes[200];
        const ssize_t length = pread(queue, bytes, sizeof bytes - 1, 0);
        bytes[length < 0 ? 0 : length] = 0;
        return bytes;
    };
    CHECK_STREQ(line(), "QSIZE:0          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n");
    CHECK_EQ(send(queue, 1, 0, 30), 0);
    CHECK_EQ(send(queue, 1, 0, 5), 0);
    CHECK_STREQ(line(), "QSIZE:35         NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n");
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL, event.sigev_signo = SIGUSR1;
    CHECK_EQ(mq_notify(queue, &event), 0);
    char expected[200];
    snprintf(expected, sizeof expected, "QSIZE:%-10u NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", 35u, SIGEV_SIGNAL,
             SIGUSR1, getpid());
    CHECK_STREQ(line(), expected);
    CHECK_EQ(mq_notify(queue, nullptr), 0);
    CHECK_ERRNO(write(queue, text, 10), EINVAL);
    CHECK(mmap(nullptr, 80, PROT_READ, MAP_SHARED, queue, 0) == MAP_FAILED && errno == ENODEV);
    // Readiness.
    pollfd wanted = {queue, POLLIN | POLLOUT, 0};
    CHECK(poll(&wanted, 1, 0) == 1 && wanted.revents == POLLIN);
    receive(queue);
    CHECK(poll(&wanted, 1, 0) == 1 && wanted.revents == (POLLIN | POLLOUT));
    receive(queue);
    CHECK(poll(&wanted, 1, 0) == 1 && wanted.revents == POLLOUT);
    wanted.events = POLLIN;
    CHECK_EQ(poll(&wanted, 1, 0), 0);
    const int epoll = epoll_create1(0);
    epoll_event watched = {.events = EPOLLIN, .data = {}}, got;
    CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, queue, &watched));
    pid_t pid = child([&] { return epoll_wait(epoll, &got, 1, -1); });
    CHECK(check::wait_asleep(pid));
    CHECK_EQ(send(queue, 1), 0);
    CHECK_EQ(outcome(pid), 1);
    CHECK_EQ(send(queue, 1), 0);
    pid = child([&] {
        pollfd room = {queue, POLLOUT, 0};
        return poll(&room, 1, -1);
    });
    CHECK(check::wait_asleep(pid));
    CHECK_EQ(receive(queue), 1);
    CHECK_EQ(outcome(pid), 1);
    // A child has the same description.
    pid = child([&] {
        mq_attr fresh = {};
        fresh.mq_flags = O_NONBLOCK;
        return mq_setattr(queue, &fresh, nullptr);
    });
    CHECK_EQ(outcome(pid), 0);
    CHECK_EQ(attributes_of(queue).mq_flags, O_NONBLOCK);
    close(epoll);
    drop(queue);
}

void on_signal(int) {}

void test_waiting() {
    mqd_t queue = make(1, 100);
    pid_t pids[3];
    for (int i = 0; i < 3; i++) {
        pids[i] = child([&] {
            if (i == 2 && nice(-5) == -1) return -1; // goes before the others
            return receive(queue);
        });
        CHECK(check::wait_asleep(pids[i]));
    }
    const int order[] = {2, 0, 1};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(send(queue, 10 + i), 0);
        CHECK_EQ(outcome(pids[order[i]]), 10 + i);
        CHECK_EQ(attributes_of(queue).mq_curmsgs, 0);
    }
    CHECK_EQ(send(queue, 1), 0);
    for (int i = 0; i < 2; i++) {
        pids[i] = child([&] { return send(queue, 20 + i, unsigned(i)); });
        CHECK(check::wait_asleep(pids[i]));
    }
    CHECK_EQ(receive(queue), 1);
    CHECK_EQ(outcome(pids[0]), 0);
    CHECK_EQ(receive(queue), 20);
    CHECK_EQ(outcome(pids[1]), 0);
    CHECK_EQ(receive(queue), 21);
    // Signals: EINTR, or begun anew with SA_RESTART.
    check::handle(SIGUSR1, on_signal);
    check::handle(SIGUSR2, on_signal, SA_RESTART);
    pids[0] = child([&] { return receive(queue); });
    CHECK(check::wait_asleep(pids[0]));
    kill(pids[0], SIGUSR1);
    CHECK_EQ(outcome(pids[0]), 100 + EINTR);
    pids[0] = child([&] { return receive(queue); });
    CHECK(check::wait_asleep(pids[0]));
    kill(pids[0], SIGUSR2);
    CHECK(check::wait_asleep(pids[0]));
    CHECK_EQ(send(queue, 30), 0);
    CHECK_EQ(outcome(pids[0]), 30);
    drop(queue);
}

void test_notification() {
    mqd_t queue = make(3, 100, O_NONBLOCK);
    const sigset_t set = check::set_of(SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL, event.sigev_signo = SIGUSR1, event.sigev_value.sival_int = 42;
    auto told = [&] {
        siginfo_t info = {};
        const timespec none = {0, 0};
        if (sigtimedwait(&set, &info, &none) < 0) return 0;
        CHECK_EQ(info.si_code, SI_MESGQ);
        CHECK_EQ(info.si_value.sival_int, 42);
        return int(info.si_pid);
    };
    CHECK_EQ(mq_notify(queue, &event), 0);
    CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
    const pid_t sender = child([&] { return send(queue, 1); });
    CHECK_EQ(outcome(sender), 0);
    CHECK_EQ(told(), sender);
    // Once only, and only when the queue was empty.
    CHECK_EQ(receive(queue), 1);
    CHECK_EQ(send(queue, 2), 0);
    CHECK_EQ(told(), 0);
    CHECK_EQ(mq_notify(queue, &event), 0);
    CHECK_EQ(send(queue, 3), 0);
    CHECK_EQ(told(), 0);
    CHECK(receive(queue) == 2 && receive(queue) == 3);
    // A receiver that waits comes first.
    mq_attr blocking = {};
    CHECK_EQ(mq_setattr(queue, &blocking, nullptr), 0);
    const pid_t receiver = child([&] { return receive(queue); });
    CHECK(check::wait_asleep(receiver));
    CHECK_EQ(send(queue, 4), 0);
    CHECK_EQ(outcome(receiver), 4);
    CHECK_EQ(told(), 0);
    CHECK_EQ(send(queue, 5), 0);
    CHECK_EQ(told(), getpid());
    CHECK_EQ(receive(queue), 5);
    // Ended by hand, by any close of the process, and by its end; not by another process.
    CHECK_EQ(mq_notify(queue, &event), 0);
    check::run_in_child([&] {
        CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
        CHECK_EQ(mq_notify(queue, nullptr), 0);
    });
    CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
    CHECK_EQ(mq_notify(queue, nullptr), 0);
    CHECK_EQ(mq_notify(queue, &event), 0);
    close(dup(queue));
    check::run_in_child([&] { CHECK_EQ(mq_notify(queue, &event), 0); });
    event.sigev_notify = SIGEV_NONE;
    CHECK_EQ(mq_notify(queue, &event), 0);
    CHECK_EQ(send(queue, 6), 0);
    CHECK_EQ(mq_notify(queue, &event), 0); // it was used up in silence
    CHECK_EQ(mq_notify(queue, nullptr), 0);
    // What makes no sense.
    event.sigev_notify = SIGEV_SIGNAL;
    for (int wrong : {-1, 65}) {
        event.sigev_signo = wrong;
        CHECK_ERRNO(mq_notify(queue, &event), EINVAL);
    }
    event.sigev_signo = SIGUSR1;
    event.sigev_notify = 99;
    CHECK_ERRNO(mq_notify(queue, &event), EINVAL);
    CHECK_ERRNO(syscall(SYS_mq_notify, queue, bad), EFAULT);
    char cookie[32] = {};
    event.sigev_notify = SIGEV_THREAD;
    event.sigev_value.sival_ptr = bad;
    CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), EFAULT);
    event.sigev_value.sival_ptr = cookie;
    event.sigev_signo = 999;
    CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), EBADF);
    event.sigev_signo = queue;
    CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), ENOTSOCK);
    drop(queue);
}

/// What queues may need is reckoned up for each user.
// What a program asked to be told ends with it, also where the queue stays open over execve.
void test_notification_over_exec() {
    for (const bool keeps : {false, true}) {
        const mqd_t queue = make(3, 100, O_NONBLOCK);
        int ready[2];
        CHECK_OK(pipe2(ready, O_CLOEXEC));
        const pid_t pid = check::numbered_child([&] {
            const sigset_t set = check::set_of(SIGUSR1);
            sigprocmask(SIG_BLOCK, &set, nullptr);
            sigevent event = {};
            event.sigev_notify = SIGEV_SIGNAL, event.sigev_signo = SIGUSR1;
            CHECK_EQ(mq_notify(queue, &event), 0);
            if (keeps) fcntl(queue, F_SETFD, 0);
            char number[12];
            snprintf(number, sizeof number, "%d", queue);
            execl("/proc/self/exe", "posix_queues", keeps ? "kept" : "closed", number, nullptr);
            return 99;
        });
        close(ready[1]);
        char byte;
        CHECK_EQ(read(ready[0], &byte, 1), 0); // the child has executed
        close(ready[0]);
        sigevent event = {};
        event.sigev_notify = SIGEV_NONE;
        if (keeps)
            CHECK_EQ(outcome(pid), 0);
        else
            CHECK_EQ(mq_notify(queue, &event), 0);
        if (!keeps) {
            kill(pid, SIGKILL);
            waitpid(pid, nullptr, 0);
        }
        drop(queue);
    }
}
int after_exec(const char* what, mqd_t queue) {
    if (strcmp(what, "closed") == 0) {
        CHECK_ERRNO(fcntl(queue, F_GETFD), EBADF);
        for (;;) pause();
    }
    sigevent event = {};
    event.sigev_notify = SIGEV_NONE;
    CHECK_ERRNO(mq_notify(queue, &event), EBUSY); // somebody is to be told still, but nobody will
    CHECK_EQ(send(queue, 1), 0);
    sigset_t pending;
    CHECK_OK(sigpending(&pending));
    CHECK(!sigismember(&pending, SIGUSR1));
    CHECK_EQ(mq_notify(queue, &event), 0);
    return check::result();
}

// The priority comes to where it is to go before, or after, the text: seen where one of the two can't.
void test_order_of_results() {
    const mqd_t queue = make(3, 100, O_NONBLOCK);
    unsigned priority = 77;
    CHECK_EQ(send(queue, 1, 5), 0);
    CHECK_ERRNO(syscall(SYS_mq_timedreceive, queue, bad, 100, &priority, nullptr), EFAULT);
    CHECK_EQ(priority, 5u);
    CHECK_EQ(attributes_of(queue).mq_curmsgs, 0);
    char bytes[100] = {};
    CHECK_EQ(send(queue, 1, 5), 0);
    CHECK_ERRNO(syscall(SYS_mq_timedreceive, queue, bytes, 100, bad, nullptr), EFAULT);
    CHECK_EQ(bytes[0], 0);
    CHECK_EQ(attributes_of(queue).mq_curmsgs, 0);
    drop(queue);
}

void test_limits() {
    const char* const folder = "/proc/sys/fs/mqueue/";
    const char* const defaults[][2] = {{"queues_max", "256\n"},
                                       {"msg_max", "10\n"},
                                       {"msgsize_max", "8192\n"},
                                       {"msg_default", "10\n"},
                                       {"msgsize_default", "8192\n"}};
    char path[100];
    for (auto& pair : defaults) {
        snprintf(path, sizeof path, "%s%s", folder, pair[0]);
        CHECK_STREQ(proc_text::read_file(path), pair[1]);
    }
    CHECK(!proc_text::write_file("/proc/sys/fs/mqueue/msg_max", "0"));
    CHECK(!proc_text::write_file("/proc/sys/fs/mqueue/msg_max", "65537"));
    CHECK(!proc_text::write_file("/proc/sys/fs/mqueue/msgsize_max", "127"));
    check::run_in_child([&] {
        const rlimit limit = {10000, 10000};
        CHECK_OK(setrlimit(RLIMIT_MSGQUEUE, &limit));
        CHECK_OK(setgid(1234));
        CHECK_OK(setuid(1234));
        mq_attr attributes = {};
        // 48 bytes are reckoned for each message, and for each priority that there may be.
        attributes.mq_maxmsg = 10, attributes.mq_msgsize = 905;
        CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &attributes), EMFILE);
        attributes.mq_msgsize = 904;
        mqd_t first = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
        CHECK(first >= 0);
        attributes.mq_maxmsg = attributes.mq_msgsize = 1;
        CHECK_ERRNO(mq_open("/linnet_second", O_RDWR | O_CREAT, 0600, &attributes), EMFILE);
        CHECK_ERRNO(mq_open("/linnet_second", O_RDWR), ENOENT);
        // Given back when the last one lets go.
        CHECK_EQ(mq_unlink(name), 0);
        CHECK_ERRNO(mq_open("/linnet_second", O_RDWR | O_CREAT, 0600, &attributes), EMFILE);
        mq_close(first);
        first = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
        CHECK(first >= 0);
        drop(first);
        attributes.mq_maxmsg = 11;
        CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &attributes), EINVAL);
        attributes.mq_maxmsg = 1, attributes.mq_msgsize = 8193;
        CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &attributes), EINVAL);
    });
    {
        proc_text::Setting none("/proc/sys/fs/mqueue/queues_max", "0"), few("/proc/sys/fs/mqueue/msg_default", "3");
        const mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0600, nullptr); // root may all the same
        CHECK_EQ(attributes_of(queue).mq_maxmsg, 3);
        check::run_in_child([&] {
            CHECK_OK(setuid(1234));
            CHECK_ERRNO(mq_open("/linnet_second", O_RDWR | O_CREAT, 0600, nullptr), ENOSPC);
        });
        drop(queue);
    }
    mq_attr large = {};
    large.mq_maxmsg = 2, large.mq_msgsize = 300000;
    const mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0600, &large);
    CHECK(queue >= 0);
    static char bytes[300000];
    bytes[299999] = 'e';
    CHECK_EQ(mq_send(queue, bytes, sizeof bytes, 0), 0);
    bytes[299999] = 0;
    CHECK_EQ(mq_receive(queue, bytes, sizeof bytes, nullptr), 300000);
    CHECK_EQ(bytes[299999], 'e');
    drop(queue);
}

void test_permissions() {
    umask(022);
    const mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0646, nullptr);
    struct stat status;
    fstat(queue, &status);
    CHECK_EQ(status.st_mode & 07777, 0644u);
    CHECK_OK(fchmod(queue, 0602));
    check::run_in_child([&] {
        CHECK_OK(setgid(1234));
        CHECK_OK(setuid(1234));
        CHECK_ERRNO(mq_open(name, O_RDONLY), EACCES);
        CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, nullptr), EACCES);
        const mqd_t mine = mq_open(name, O_WRONLY);
        CHECK(mine >= 0);
        CHECK_EQ(send(mine, 3), 0);
        CHECK(mq_unlink(name) == -1 && (errno == EPERM || errno == EACCES)); // glibc makes one of the other
    });
    CHECK_EQ(receive(queue), 3);
    drop(queue);
}

void test_file_system() {
    const char* const place = "/tmp/queues";
    CHECK_OK(mkdir(place, 0700));
    CHECK_OK(mount("mqueue", place, "mqueue", 0, nullptr));
    const mqd_t queue = make();
    CHECK_EQ(send(queue, 7, 0, 20), 0);
    struct stat status, same;
    CHECK_OK(stat("/tmp/queues", &status));
    CHECK_EQ(status.st_mode, S_IFDIR | S_ISVTX | 0777u);
    CHECK_EQ(status.st_nlink, 2u);
    CHECK_EQ(status.st_size, 60);
    CHECK_OK(stat("/tmp/queues/linnet_test", &status));
    CHECK_OK(fstat(queue, &same));
    CHECK(status.st_ino == same.st_ino && status.st_dev == same.st_dev && status.st_size == 80);
    struct statfs system;
    CHECK_OK(statfs(place, &system));
    CHECK_EQ((unsigned long)system.f_type, 0x19800202ul);
    const char* line = proc_text::read_file("/tmp/queues/linnet_test");
    CHECK(line && strncmp(line, "QSIZE:20 ", 9) == 0);
    auto listed = [&](const char* wanted) {
        DIR* list = opendir(place);
        bool found = false;
        while (dirent* entry = readdir(list)) found |= strcmp(entry->d_name, wanted) == 0;
        closedir(list);
        return found;
    };
    CHECK(listed("linnet_test"));
    CHECK(listed("."));
    CHECK(!listed("linnet_second"));
    // open(2) makes queues too, and opens them.
    CHECK_ERRNO(open("/tmp/queues/linnet_second", O_RDWR), ENOENT);
    const int second = open("/tmp/queues/linnet_second", O_RDWR | O_CREAT, 0600);
    CHECK(second >= 0);
    CHECK_EQ(attributes_of(second).mq_maxmsg, 10);
    CHECK_EQ(send(second, 8), 0);
    CHECK_EQ(receive(second), 8);
    CHECK(listed("linnet_second"));
    CHECK_EQ(mq_unlink("/linnet_second"), 0);
    CHECK(!listed("linnet_second"));
    close(second);
    CHECK_ERRNO(mkdir("/tmp/queues/folder", 0700), EPERM);
    CHECK_ERRNO(symlink("a", "/tmp/queues/link"), EPERM);
    CHECK_ERRNO(link("/tmp/queues/linnet_test", "/tmp/queues/other"), EPERM);
    CHECK_ERRNO(rename("/tmp/queues/linnet_test", "/tmp/queues/other"), EPERM);
    CHECK_OK(unlink("/tmp/queues/linnet_test"));
    CHECK_ERRNO(mq_unlink(name), ENOENT);
    mq_close(queue);
    // A second mount shows the same queues; without any they live on.
    const mqd_t third = make();
    CHECK_OK(umount(place));
    CHECK_OK(mount("none", place, "mqueue", 0, nullptr));
    CHECK(listed("linnet_test"));
    CHECK_OK(umount(place));
    CHECK_OK(rmdir(place));
    drop(third);
}

/// Several send and receive; receivers that sleep are killed now and then: no message is lost.
void test_race(int messages) {
    struct Ledger {
        std::atomic<int> next, got;
        std::atomic<unsigned char> received[20000];
    };
    auto* ledger = check::shared<Ledger>();
    mqd_t queue = make(3, 100);
    pid_t pids[8];
    for (int i = 0; i < 8; i++)
        pids[i] = i % 2 ? child([&] {
            for (int number; (number = ledger->next++) < messages;)
                if (send(queue, number, unsigned(number % 5), 4 + size_t(number % 90)) != 0) return -1;
            return 0;
        })
                        : child([&] {
                              for (;;) {
                                  const int number = receive(queue);
                                  if (number < 0) return -1;
                                  if (number >= messages) return 0;
                                  ledger->received[number]++;
                                  ledger->got++;
                              }
                          });
    CHECK(check::eventually([&] { return ledger->got == messages; }, 120));
    for (int i = 0; i < 4; i++) CHECK_EQ(send(queue, messages), 0);
    for (pid_t pid : pids) CHECK_EQ(outcome(pid), 0);
    for (int i = 0; i < messages; i++) CHECK_EQ(int(ledger->received[i]), 1);
    const char* version = proc_text::read_file("/proc/version");
    const bool is_kept = version && strstr(version, "linnet");
    mq_attr refuse = {};
    refuse.mq_flags = O_NONBLOCK;
    for (int round = 1; round <= 10; round++) {
        for (int i = 0; i < 3; i++) {
            pids[i] = child([&] { return receive(queue) >= 0 ? 0 : -1; });
            CHECK(check::wait_asleep(pids[i]));
        }
        for (int i = 0; i < 3; i++) kill(pids[i], SIGKILL);
        CHECK_EQ(send(queue, round), 0);
        for (int i = 0; i < 3; i++) CHECK_EQ(outcome(pids[i]), 1000 + SIGKILL);
        const long left = attributes_of(queue).mq_curmsgs;
        CHECK(left == 1 || (!is_kept && left == 0));
        if (left) CHECK_EQ(receive(queue), round);
    }
    drop(queue);
}

} // namespace

int main(int argc, char** argv) {
    if (argc == 3) return after_exec(argv[1], atoi(argv[2]));
    if (open_raw("linnet_test", O_RDWR) < 0 && errno == ENOSYS) check::skip("built without POSIX message queues");
    test_open();
    test_messages();
    test_file();
    test_waiting();
    test_notification();
    test_notification_over_exec();
    test_order_of_results();
    test_limits();
    test_permissions();
    test_file_system();
    test_race(memory::long_run() ? 20000 : 1500);
    return check::result();
}
