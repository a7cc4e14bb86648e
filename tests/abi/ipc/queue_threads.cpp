// mq_notify(3) with SIGEV_THREAD: a message on a netlink socket, which the C library turns into a thread.
#include <fcntl.h>
#include <linux/netlink.h>
#include <mqueue.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "asleep.hpp"
#include "child.hpp"
#include "sockets.hpp"

using namespace check;

static constexpr int came = 1, not_told_any_more = 2; // the last byte of a cookie
static char cookie[32] = "thirty-two bytes, some of them.";

static mqd_t make(const char* name = "/threads") {
    mq_attr attributes = {};
    attributes.mq_maxmsg = 4;
    attributes.mq_msgsize = 16;
    const mqd_t queue = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attributes);
    CHECK_OK(queue);
    mq_unlink(name);
    return queue;
}

static long notify(mqd_t queue, int fd, const void* value = cookie) {
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD;
    event.sigev_signo = fd;
    event.sigev_value.sival_ptr = const_cast<void*>(value);
    return syscall(SYS_mq_notify, queue, &event);
}

/// The last byte of what was sent; 0: nothing.
static int told(int fd) {
    char text[64] = {};
    sockaddr_nl from = {};
    socklen_t length = sizeof from;
    const ssize_t size = recvfrom(fd, text, sizeof text, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 0) return 0;
    CHECK_EQ(size, 32);
    CHECK_EQ(memcmp(text, cookie, 31), 0);
    CHECK_EQ(from.nl_pid, 0u);
    return text[31];
}

static void test_messages(int protocol) {
    const mqd_t queue = make();
    const int fd = socket(AF_NETLINK, SOCK_RAW, protocol);
    CHECK_OK(notify(queue, fd));
    CHECK_ERRNO(notify(queue, fd), EBUSY);
    CHECK_EQ(told(fd), 0);
    CHECK_OK(mq_send(queue, "one", 3, 0));
    CHECK_EQ(told(fd), came);
    CHECK_OK(mq_send(queue, "two", 3, 0));
    CHECK_EQ(told(fd), 0);
    char text[16];
    CHECK_EQ(mq_receive(queue, text, sizeof text, nullptr), 3);
    CHECK_EQ(mq_receive(queue, text, sizeof text, nullptr), 3);
    CHECK_OK(notify(queue, fd));
    CHECK_OK(mq_notify(queue, nullptr));
    CHECK_EQ(told(fd), not_told_any_more);
    CHECK_OK(notify(queue, fd));
    close(dup(queue));
    CHECK_EQ(told(fd), not_told_any_more);
    // The message comes from another process, and to a socket whose descriptor is closed, too.
    CHECK_OK(notify(queue, fd));
    const int same = dup(fd);
    close(fd);
    run_in_child([&] { CHECK_OK(mq_send(queue, "far", 3, 0)); });
    CHECK_EQ(told(same), came);
    CHECK_EQ(mq_receive(queue, text, sizeof text, nullptr), 3);
    CHECK_OK(notify(queue, same));
    close(same);
    CHECK_OK(mq_send(queue, "lost", 4, 0));
    close(queue);
}

static void test_errors() {
    const mqd_t queue = make();
    const int fd = socket(AF_NETLINK, SOCK_RAW, 0);
    const int file = open("/dev/null", O_RDWR);
    SocketPair pair;
    CHECK_ERRNO(notify(queue, -1), EBADF);
    CHECK_ERRNO(notify(queue, 999), EBADF);
    CHECK_ERRNO(notify(queue, file), ENOTSOCK);
    CHECK_ERRNO(notify(queue, pair[0]), EINVAL);
    CHECK_ERRNO(notify(queue, fd, reinterpret_cast<void*>(8)), EFAULT);
    CHECK_ERRNO(notify(file, fd), EBADF);
    CHECK_ERRNO(notify(-1, fd), EBADF);
    CHECK_EQ(told(fd), 0);
    close(queue), close(fd), close(file);
}

/// What is asked for takes room at the socket: who finds none waits.
static void test_room() {
    const int fd = socket(AF_NETLINK, SOCK_RAW, 0);
    CHECK_OK(set_option(fd, SO_RCVBUF, 1));
    const pid_t asker = fork();
    if (asker == 0) {
        for (int i = 0; i < 100; ++i) notify(make(), fd);
        _exit(1);
    }
    CHECK(wait_asleep(asker));
    kill(asker, SIGKILL);
    int status = 0;
    waitpid(asker, &status, 0);
    CHECK(WIFSIGNALED(status));
    CHECK_NE(told(fd), 0);
    close(fd);
}

static sem_t called;
static void note(sigval value) {
    CHECK_EQ(value.sival_int, 77);
    sem_post(&called);
}

/// As programs do it.
static void test_threads() {
    sem_init(&called, 0, 0);
    const mqd_t queue = make();
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD;
    event.sigev_notify_function = note;
    event.sigev_value.sival_int = 77;
    char text[16];
    for (int i = 0; i < 200; ++i) {
        CHECK_OK(mq_notify(queue, &event));
        CHECK_OK(mq_send(queue, "go", 2, 0));
        while (sem_wait(&called) != 0) {
        }
        CHECK_EQ(mq_receive(queue, text, sizeof text, nullptr), 2);
    }
    CHECK_OK(mq_notify(queue, &event));
    CHECK_OK(mq_notify(queue, nullptr));
    close(queue);
}

int main() {
    test_messages(NETLINK_ROUTE);
    test_messages(NETLINK_USERSOCK);
    test_errors();
    test_room();
    test_threads();
    return result();
}
