// Netlink sockets between programs, and the kernel's answers to requests that it does not know (netlink(7)).
// timeout: 180
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "asleep.hpp"
#include "child.hpp"
#include "sockets.hpp"

using namespace check;

static sockaddr_nl address_of(unsigned port, unsigned groups = 0) {
    sockaddr_nl address = {};
    address.nl_family = AF_NETLINK;
    address.nl_pid = port;
    address.nl_groups = groups;
    return address;
}
static int bind_port(int fd, unsigned port, unsigned groups = 0) {
    sockaddr_nl address = address_of(port, groups);
    return bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
}
static int connect_port(int fd, unsigned port) {
    sockaddr_nl address = address_of(port);
    return connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
}
static unsigned port_of(int fd) {
    sockaddr_nl address = {};
    socklen_t length = sizeof address;
    CHECK_OK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length));
    CHECK_EQ(length, sizeof address);
    CHECK_EQ(address.nl_family, AF_NETLINK);
    return address.nl_pid;
}
static ssize_t send_port(int fd, const void* bytes, size_t size, unsigned port, int flags = 0) {
    sockaddr_nl address = address_of(port);
    return sendto(fd, bytes, size, flags, reinterpret_cast<sockaddr*>(&address), sizeof address);
}

static void test_making() {
    for (int type : {SOCK_RAW, SOCK_DGRAM}) {
        const int fd = socket(AF_NETLINK, type | SOCK_CLOEXEC, NETLINK_ROUTE);
        CHECK_OK(fd);
        CHECK_EQ(int_option(fd, SO_TYPE), type);
        CHECK_EQ(int_option(fd, SO_DOMAIN), AF_NETLINK);
        CHECK_EQ(int_option(fd, SO_PROTOCOL), NETLINK_ROUTE);
        CHECK_EQ(port_of(fd), 0u);
        CHECK_ERRNO(listen(fd, 1), EOPNOTSUPP);
        CHECK_ERRNO(accept(fd, nullptr, nullptr), EOPNOTSUPP);
        CHECK_ERRNO(shutdown(fd, SHUT_RD), EOPNOTSUPP);
        close(fd);
    }
    for (int type : {SOCK_STREAM, SOCK_SEQPACKET}) CHECK_ERRNO(socket(AF_NETLINK, type, 0), ESOCKTNOSUPPORT);
    for (int protocol : {-1, 32, 1000}) CHECK_ERRNO(socket(AF_NETLINK, SOCK_RAW, protocol), EPROTONOSUPPORT);
    CHECK_ERRNO(socket(AF_NETLINK, SOCK_RAW, 31), EPROTONOSUPPORT);
    int pair[2];
    CHECK_ERRNO(socketpair(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK, pair), EOPNOTSUPP);
}

static void test_ports() {
    const int first = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
    const int second = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
    const int other = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    sockaddr_nl address = address_of(0);
    CHECK_ERRNO(bind(first, reinterpret_cast<sockaddr*>(&address), sizeof address - 1), EINVAL);
    address.nl_family = AF_UNIX;
    CHECK_ERRNO(bind(first, reinterpret_cast<sockaddr*>(&address), sizeof address), EINVAL);
    // By itself a process's first gets its id, and the next something else; each protocol has ports of its own.
    CHECK_OK(bind_port(first, 0));
    CHECK_EQ(port_of(first), unsigned(getpid()));
    CHECK_OK(bind_port(second, 0));
    CHECK(int(port_of(second)) < 0);
    CHECK_OK(bind_port(other, 0));
    CHECK_EQ(port_of(other), unsigned(getpid()));
    CHECK_ERRNO(bind_port(first, 77), EINVAL);
    CHECK_OK(bind_port(first, unsigned(getpid())));
    const int third = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
    CHECK_ERRNO(bind_port(third, unsigned(getpid())), EADDRINUSE);
    CHECK_OK(bind_port(third, 4242));
    CHECK_EQ(port_of(third), 4242u);
    close(third);
    const int again = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
    CHECK_OK(bind_port(again, 4242));
    close(again);
    close(first), close(second), close(other);
    // A thousand, all with names of their own.
    static int many[1000];
    for (int& fd : many) {
        fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
        CHECK_OK(fd);
        CHECK_OK(bind_port(fd, 0));
    }
    CHECK_NE(port_of(many[1]), port_of(many[999]));
    for (int fd : many) close(fd);
}

static void test_messages() {
    const int one = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
    const int other = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_USERSOCK);
    CHECK_OK(bind_port(one, 1001));
    CHECK_OK(bind_port(other, 1002));
    char text[64] = {};
    CHECK_ERRNO(recv(other, text, sizeof text, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(ready(other), POLLOUT);
    CHECK_EQ(send_port(one, "hello", 5, 1002), 5);
    CHECK_EQ(send_port(one, "again", 5, 1002), 5);
    CHECK_EQ(ready(other), POLLIN | POLLOUT);
    sockaddr_nl from = {};
    socklen_t length = sizeof from;
    CHECK_EQ(recvfrom(other, text, sizeof text, MSG_PEEK, reinterpret_cast<sockaddr*>(&from), &length), 5);
    CHECK_EQ(from.nl_family, AF_NETLINK);
    CHECK_EQ(from.nl_pid, 1001u);
    CHECK_EQ(from.nl_groups, 0u);
    CHECK_EQ(length, sizeof from);
    iovec vector = {text, 2};
    msghdr header = {};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    CHECK_EQ(recvmsg(other, &header, MSG_TRUNC), 5);
    CHECK_EQ(header.msg_flags, MSG_TRUNC);
    CHECK_EQ(memcmp(text, "he", 2), 0);
    CHECK_EQ(recv(other, text, 2, 0), 2);
    CHECK_ERRNO(recv(other, text, 2, MSG_DONTWAIT), EAGAIN);
    CHECK_ERRNO(recv(other, text, 2, MSG_OOB), EOPNOTSUPP);
    CHECK_ERRNO(send_port(one, "x", 1, 1002, MSG_OOB), EOPNOTSUPP);

    CHECK_ERRNO(send_port(one, "x", 1, 999), ECONNREFUSED);
    CHECK_ERRNO(send_port(one, "x", 1, 0), ECONNREFUSED); // no kernel listens to this protocol
    sockaddr_nl wrong = address_of(1002);
    CHECK_ERRNO(sendto(one, "x", 1, 0, reinterpret_cast<sockaddr*>(&wrong), sizeof wrong - 1), EINVAL);
    wrong.nl_family = AF_UNIX;
    CHECK_ERRNO(sendto(one, "x", 1, 0, reinterpret_cast<sockaddr*>(&wrong), sizeof wrong), EINVAL);
    static char huge[1 << 20];
    CHECK_ERRNO(send_port(one, huge, sizeof huge, 1002), EMSGSIZE);
    CHECK_ERRNO(send_port(one, reinterpret_cast<void*>(8), 100, 1002), EFAULT);

    CHECK_OK(connect_port(one, 1002));
    CHECK_EQ(write(one, "to you", 6), 6);
    CHECK_EQ(read(other, text, sizeof text), 6);
    length = sizeof from;
    CHECK_OK(getpeername(one, reinterpret_cast<sockaddr*>(&from), &length));
    CHECK_EQ(from.nl_pid, 1002u);
    // Who is connected hears of nobody else.
    const int third = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
    CHECK_OK(bind_port(third, 1003));
    CHECK_ERRNO(send_port(third, "x", 1, 1001), ECONNREFUSED);
    CHECK_EQ(send_port(other, "x", 1, 1001), 1);
    sockaddr nothing = {};
    nothing.sa_family = AF_UNSPEC;
    CHECK_OK(connect(one, &nothing, sizeof nothing));
    CHECK_EQ(send_port(third, "y", 1, 1001), 1);
    CHECK_EQ(read(one, text, sizeof text), 1);
    CHECK_EQ(read(one, text, sizeof text), 1);
    CHECK_EQ(text[0], 'y');

    const int on = 1;
    CHECK_OK(setsockopt(other, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    CHECK_EQ(send_port(one, "who?", 4, 1002), 4);
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
    vector = {text, sizeof text};
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    CHECK_EQ(recvmsg(other, &header, 0), 4);
    const cmsghdr* first = CMSG_FIRSTHDR(&header);
    REQUIRE(first && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_CREDENTIALS);
    ucred credentials;
    memcpy(&credentials, CMSG_DATA(first), sizeof credentials);
    CHECK_EQ(credentials.pid, getpid());
    close(one), close(other), close(third);
}

static void test_full_queue() {
    const int one = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
    const int other = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
    CHECK_OK(bind_port(one, 2001));
    CHECK_OK(bind_port(other, 2002));
    CHECK_OK(connect_port(one, 2002));
    static char text[1000];
    int sent = 0;
    while (send(one, text, sizeof text, MSG_DONTWAIT) == sizeof text) ++sent;
    CHECK_ERRNO(send(one, text, sizeof text, MSG_DONTWAIT), EAGAIN);
    CHECK(sent > 10 && sent < 1000);
    const timeval soon = {0, 20000};
    CHECK_OK(setsockopt(one, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon));
    CHECK_ERRNO(send(one, text, sizeof text, 0), EAGAIN);
    const timeval never = {};
    CHECK_OK(setsockopt(one, SOL_SOCKET, SO_SNDTIMEO, &never, sizeof never));
    // A sender that waits goes on when somebody reads; when the receiver is closed it is refused.
    for (const bool reads : {true, false}) {
        const pid_t sender = fork();
        if (sender == 0) {
            close(other);
            const ssize_t result = send(one, text, sizeof text, 0);
            _exit(result == sizeof text ? 1 : errno == ECONNREFUSED ? 2 : 3);
        }
        CHECK(wait_asleep(sender));
        if (reads)
            for (int i = 0; i <= sent / 2; ++i) CHECK_EQ(recv(other, text, sizeof text, 0), ssize_t(sizeof text));
        else
            close(other);
        int status = 0;
        waitpid(sender, &status, 0);
        CHECK_EQ(WEXITSTATUS(status), reads ? 1 : 2);
        if (reads)
            while (send(one, text, sizeof text, MSG_DONTWAIT) == sizeof text) {
            }
    }
    close(one);
}

struct Request {
    nlmsghdr header;
    rtgenmsg body;
    char rest[3];
};

static Request request_of(unsigned short type, unsigned short flags, unsigned number) {
    Request request = {};
    request.header.nlmsg_len = NLMSG_LENGTH(sizeof(rtgenmsg));
    request.header.nlmsg_type = type;
    request.header.nlmsg_flags = flags;
    request.header.nlmsg_seq = number;
    return request;
}

/// The kernel's next answer: an error, and `extra` bytes of the request behind its header.
struct Answer {
    nlmsghdr header;
    nlmsgerr error;
    char rest[64];
};
static void expect(int fd, int error, unsigned number, unsigned extra, unsigned flags = 0) {
    Answer answer = {};
    sockaddr_nl from = address_of(55);
    socklen_t length = sizeof from;
    const unsigned size = NLMSG_LENGTH(sizeof(nlmsgerr)) + NLMSG_ALIGN(extra);
    CHECK_EQ(recvfrom(fd, &answer, sizeof answer, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &length),
             ssize_t(size));
    CHECK_EQ(from.nl_pid, 0u);
    CHECK_EQ(answer.header.nlmsg_len, size);
    CHECK_EQ(answer.header.nlmsg_type, NLMSG_ERROR);
    CHECK_EQ(answer.header.nlmsg_flags, flags);
    CHECK_EQ(answer.header.nlmsg_seq, number);
    CHECK_EQ(answer.header.nlmsg_pid, port_of(fd));
    CHECK_EQ(answer.error.error, -error);
    CHECK_EQ(answer.error.msg.nlmsg_seq, number);
}

static void test_kernel() {
    const int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    constexpr unsigned short unknown = RTM_MAX + 100;
    Request request = request_of(unknown, NLM_F_REQUEST, 7);
    const unsigned size = request.header.nlmsg_len;
    CHECK_EQ(send(fd, &request, size, 0), ssize_t(size)); // to the kernel, which has port 0
    CHECK_EQ(port_of(fd), unsigned(getpid()));
    expect(fd, EOPNOTSUPP, 7, 1);
    request.header.nlmsg_flags = 0; // no request: no answer
    CHECK_EQ(send_port(fd, &request, size, 0), ssize_t(size));
    CHECK_ERRNO(recv(fd, &request, sizeof request, MSG_DONTWAIT), EAGAIN);
    request = request_of(unknown, NLM_F_ACK, 8);
    CHECK_EQ(send_port(fd, &request, size, 0), ssize_t(size));
    expect(fd, 0, 8, 0, NLM_F_CAPPED);
    request = request_of(NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, 9);
    CHECK_EQ(send_port(fd, &request, size, 0), ssize_t(size));
    expect(fd, 0, 9, 0, NLM_F_CAPPED);
    // Several in one; what comes after a broken one is not looked at.
    Request three[3] = {request_of(unknown, NLM_F_REQUEST, 1), request_of(NLMSG_NOOP, NLM_F_ACK, 2),
                        request_of(unknown, NLM_F_REQUEST, 3)};
    CHECK_EQ(sizeof three, 60u);
    CHECK_EQ(send_port(fd, three, sizeof three, 0), ssize_t(sizeof three));
    expect(fd, EOPNOTSUPP, 1, 1);
    expect(fd, 0, 2, 0, NLM_F_CAPPED);
    expect(fd, EOPNOTSUPP, 3, 1);
    three[1].header.nlmsg_len = 1000;
    CHECK_EQ(send_port(fd, three, sizeof three, 0), ssize_t(sizeof three));
    expect(fd, EOPNOTSUPP, 1, 1);
    three[0].header.nlmsg_len = 15;
    CHECK_EQ(send_port(fd, three, sizeof three, 0), ssize_t(sizeof three));
    CHECK_EQ(send_port(fd, three, 3, 0), 3);
    CHECK_ERRNO(recv(fd, &request, sizeof request, MSG_DONTWAIT), EAGAIN);

    int on = 1;
    CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on));
    request = request_of(unknown, NLM_F_REQUEST, 10);
    CHECK_EQ(send_port(fd, &request, size, 0), ssize_t(size));
    expect(fd, EOPNOTSUPP, 10, 0, NLM_F_CAPPED);
    int value = 0;
    socklen_t length = sizeof value;
    CHECK_OK(getsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &value, &length));
    CHECK_EQ(value, 1);
    CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, 3)); // less than a number is 0
    CHECK_OK(getsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &value, &length));
    CHECK_EQ(value, 0);
    CHECK_ERRNO(setsockopt(fd, SOL_NETLINK, 1000, &on, sizeof on), ENOPROTOOPT);
    CHECK_ERRNO(getsockopt(fd, SOL_NETLINK, 1000, &value, &length), ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(fd, 999, 1, &on, sizeof on), ENOPROTOOPT);

    // Answers that have no room are lost, and that is told once.
    request = request_of(unknown, NLM_F_REQUEST, 11);
    for (int i = 0; i < 5000; ++i) CHECK_EQ(send_port(fd, &request, size, 0), ssize_t(size));
    CHECK_ERRNO(recv(fd, &request, sizeof request, MSG_DONTWAIT), ENOBUFS);
    int answers = 0;
    while (recv(fd, &request, sizeof request, MSG_DONTWAIT) > 0) ++answers;
    CHECK(answers > 10 && answers < 5000);
    close(fd);
}

static void test_rights() {
    run_in_child([] {
        CHECK_OK(setresuid(65534, 65534, 65534));
        const int route = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
        CHECK_OK(route);
        CHECK_ERRNO(send_port(route, "x", 1, 4000), EPERM);
        CHECK_ERRNO(connect_port(route, 4000), EPERM);
        CHECK_OK(bind_port(route, 0, 1)); // whoever wants may hear of links
        Request request = request_of(RTM_NEWLINK, NLM_F_REQUEST, 5);
        request.header.nlmsg_len = sizeof request;
        CHECK_EQ(send_port(route, &request, sizeof request, 0), ssize_t(sizeof request));
        expect(route, EPERM, 5, 4);
        const int between = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
        CHECK_ERRNO(send_port(between, "x", 1, 4000), ECONNREFUSED);
    });
}

/// Four threads that make, bind, send, receive and close.
static void* work(void* seed) {
    unsigned state = unsigned(reinterpret_cast<uintptr_t>(seed));
    char text[256];
    for (int i = 0; i < 300; ++i) {
        state = state * 1103515245 + 12345;
        const unsigned port = 5000 + (state >> 16) % 4;
        const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_USERSOCK);
        bind_port(fd, port);
        for (unsigned to = 5000; to < 5004; ++to) send_port(fd, text, sizeof text, to);
        while (recv(fd, text, sizeof text, 0) > 0) {
        }
        close(fd);
    }
    return nullptr;
}

static void test_races() {
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; ++i) pthread_create(&threads[i], nullptr, work, reinterpret_cast<void*>(i + 1));
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
}

int main() {
    test_making();
    test_ports();
    test_messages();
    test_full_queue();
    test_kernel();
    test_rights();
    test_races();
    return result();
}
