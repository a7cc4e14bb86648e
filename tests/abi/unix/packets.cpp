// Messages: datagrams and sequences (unix(7), SOCK_DGRAM, SOCK_SEQPACKET).
#include <csignal>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "asleep.hpp"
#include "child.hpp"
#include "sockets.hpp"

using namespace check;

static int signals;
static void count(int) { ++signals; }

static ssize_t send_to(int fd, const char* text, const char* name, int flags = 0) {
    UnixAddress address(name);
    return sendto(fd, text, strlen(text), flags, address.get(), address.length);
}

static void boundaries(int type) {
    SocketPair pair(type);
    char text[16] = {};
    CHECK_EQ(write(pair[0], "first", 5), 5);
    CHECK_EQ(write(pair[0], "", 0), 0); // a message without bytes
    CHECK_EQ(write(pair[0], "third", 5), 5);
    int left = -1;
    CHECK_OK(ioctl(pair[1], FIONREAD, &left));
    CHECK_EQ(left, type == SOCK_DGRAM ? 5 : 10);
    CHECK_EQ(recv(pair[1], text, 16, MSG_PEEK), 5);
    CHECK_EQ(read(pair[1], text, 16), 5);
    CHECK_EQ(read(pair[1], text, 16), 0);
    // What doesn't fit is lost.
    CHECK_EQ(recv(pair[1], text, 2, MSG_PEEK | MSG_TRUNC), 5);
    iovec vector = {text, 2};
    msghdr header = {};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    CHECK_EQ(recvmsg(pair[1], &header, 0), 2);
    CHECK_EQ(header.msg_flags, MSG_TRUNC);
    CHECK_ERRNO(recv(pair[1], text, 16, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(write(pair[0], "again", 5), 5);
    CHECK_EQ(recv(pair[1], text, 2, MSG_TRUNC), 5);
    CHECK_ERRNO(recv(pair[1], text, 16, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(send(pair[0], "end", 3, MSG_EOR), 3);
    header.msg_flags = 0;
    vector.iov_len = sizeof text;
    CHECK_EQ(recvmsg(pair[1], &header, 0), 3);
    CHECK_EQ(header.msg_flags, 0);
    // A message whose receiver has bad memory is lost.
    CHECK_EQ(write(pair[0], "gone", 4), 4);
    CHECK_ERRNO(read(pair[1], (void*)8, 4), EFAULT);
    CHECK_ERRNO(recv(pair[1], text, 16, MSG_DONTWAIT), EAGAIN);
    CHECK_ERRNO(write(pair[0], (void*)8, 4), EFAULT);
    // As large as the buffer, less a little.
    static char much[300000];
    CHECK_EQ(int_option(pair[0], SO_SNDBUF), 212992);
    CHECK_ERRNO(write(pair[0], much, 212992 - 31), EMSGSIZE);
    CHECK_EQ(write(pair[0], much, 212992 - 32), 212992 - 32);
    CHECK_ERRNO(send(pair[0], "x", 1, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(ready(pair[0]), 0);
    CHECK_EQ(read(pair[1], much, sizeof much), 212992 - 32);
    CHECK_EQ(ready(pair[0]), POLLOUT);
    CHECK_EQ(ready(pair[1]), POLLOUT);
    // SO_PEEK_OFF walks over the messages.
    CHECK_OK(set_option(pair[1], SO_PEEK_OFF, 0));
    CHECK_EQ(write(pair[0], "abc", 3), 3);
    CHECK_EQ(write(pair[0], "def", 3), 3);
    CHECK_EQ(recv(pair[1], text, 2, MSG_PEEK), 2);
    CHECK_EQ(recv(pair[1], text, 2, MSG_PEEK), 1);
    CHECK_EQ(text[0], 'c');
    CHECK_EQ(recv(pair[1], text, 8, MSG_PEEK), 3);
    CHECK_EQ(text[0], 'd');
}

static void sequence() {
    const int fd = listener("@sequence", SOCK_SEQPACKET);
    const int client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    char text[8];
    CHECK_ERRNO(read(client, text, 8), ENOTCONN);
    CHECK_ERRNO(write(client, text, 8), ENOTCONN);
    CHECK_EQ(ready(client), POLLOUT | POLLHUP);
    CHECK_OK(connect_to(client, "@sequence"));
    const int server = accept(fd, nullptr, nullptr);
    CHECK_EQ(write(client, "one", 3), 3);
    CHECK_EQ(write(client, "two", 3), 3);
    CHECK_EQ(send_to(client, "named", "@nobody"), 5); // the address is not looked at
    CHECK_EQ(read(server, text, 8), 3);
    close(client);
    CHECK_EQ(ready(server), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
    CHECK_EQ(read(server, text, 8), 3);
    CHECK_EQ(read(server, text, 8), 5);
    CHECK_EQ(read(server, text, 8), 0);
    signals = 0;
    handle(SIGPIPE, count);
    CHECK_ERRNO(write(server, "x", 1), EPIPE);
    CHECK_EQ(signals, 0);
    signal(SIGPIPE, SIG_DFL);
    close(server);
    close(fd);
    SocketPair pair(SOCK_SEQPACKET);
    CHECK_EQ(write(pair[0], "lost", 4), 4);
    pair.close_one(1);
    CHECK_ERRNO(write(pair[0], "x", 1), ECONNRESET);
    CHECK_EQ(recv(pair[0], text, 8, MSG_DONTWAIT), 0);
}

static void addresses() {
    const int one = socket(AF_UNIX, SOCK_DGRAM, 0), two = socket(AF_UNIX, SOCK_DGRAM, 0);
    const int nameless = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERRNO(listen(one, 1), EOPNOTSUPP);
    CHECK_ERRNO(accept(one, nullptr, nullptr), EOPNOTSUPP);
    CHECK_OK(bind_to(one, "@one"));
    CHECK_OK(bind_to(two, "@two"));
    CHECK_ERRNO(write(one, "x", 1), ENOTCONN);
    CHECK_ERRNO(send_to(one, "x", "@three"), ECONNREFUSED);
    CHECK_EQ(send_to(one, "from one", "@two"), 8);
    CHECK_EQ(send_to(nameless, "nameless", "@two"), 8);
    char text[16];
    UnixAddress from;
    CHECK_EQ(recvfrom(two, text, 16, 0, from.get(), &from.length), 8);
    CHECK_EQ(from.length, 2u + 4);
    CHECK_EQ(memcmp(from.address.sun_path, "\0one", 4), 0);
    from.length = sizeof from.address;
    CHECK_EQ(recvfrom(two, text, 16, 0, from.get(), &from.length), 8);
    CHECK_EQ(from.length, 0u);
    // To oneself.
    CHECK_EQ(send_to(one, "self", "@one"), 4);
    CHECK_EQ(read(one, text, 16), 4);
    // Connected: only from there.
    CHECK_OK(connect_to(one, "@two"));
    CHECK_ERRNO(send_to(nameless, "x", "@one"), EPERM);
    CHECK_ERRNO(connect_to(nameless, "@one"), EPERM);
    CHECK_EQ(send_to(two, "allowed", "@one"), 7);
    CHECK_EQ(read(one, text, 16), 7);
    CHECK_EQ(write(one, "x", 1), 1);
    CHECK_EQ(send_to(one, "elsewhere", "@two"), 9);
    // Not connected any more.
    UnixAddress none;
    none.address.sun_family = AF_UNSPEC;
    CHECK_OK(connect(one, none.get(), sizeof(sa_family_t)));
    CHECK_ERRNO(write(one, "x", 1), ENOTCONN);
    UnixAddress shown;
    CHECK_ERRNO(getpeername(one, shown.get(), &shown.length), ENOTCONN);
    CHECK_EQ(send_to(nameless, "x", "@one"), 1);
    // The peer goes.
    CHECK_OK(connect_to(one, "@two"));
    close(two);
    CHECK_ERRNO(write(one, "x", 1), ECONNREFUSED);
    CHECK_ERRNO(write(one, "x", 1), ENOTCONN);
    close(one);
    close(nameless);
}

static void long_queue() {
    const int server = socket(AF_UNIX, SOCK_DGRAM, 0), client = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    CHECK_OK(bind_to(server, "@queue"));
    CHECK_OK(connect_to(client, "@queue"));
    int most = 0, sent = 0;
    FILE* file = fopen("/proc/sys/net/unix/max_dgram_qlen", "r");
    CHECK(file && fscanf(file, "%d", &most) == 1);
    fclose(file);
    CHECK_EQ(ready(client), POLLOUT);
    while (write(client, "x", 1) == 1) ++sent;
    CHECK_EQ(sent, most + 1);
    CHECK_ERRNO(write(client, "x", 1), EAGAIN);
    CHECK_EQ(ready(client), 0);
    const int stranger = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERRNO(send_to(stranger, "x", "@queue", MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(ready(stranger), POLLOUT);
    // epoll hears of the room.
    const int epoll = epoll_create1(0);
    epoll_event event = {EPOLLOUT, {}}, got;
    CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event));
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 0);
    char text[4];
    CHECK_EQ(read(server, text, 4), 1);
    CHECK_EQ(epoll_wait(epoll, &got, 1, 10000), 1);
    CHECK_EQ(write(client, "x", 1), 1);
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 0);
    // A sender that waits goes on when there is room, and gives up when there won't be.
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        failures = 0;
        close(server);
        CHECK_EQ(send_to(stranger, "waited", "@queue"), 6);
        for (int i = 0; i < most + 5; ++i)
            if (send_to(stranger, "x", "@queue") < 0) break;
        CHECK_ERRNO(send_to(stranger, "x", "@queue"), ECONNREFUSED);
        _exit(result());
    }
    CHECK(wait_asleep(child));
    CHECK_EQ(read(server, text, 4), 1);
    CHECK(wait_asleep(child));
    close(server);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    for (int each : {client, stranger, epoll}) close(each);
}

static void shut() {
    SocketPair pair(SOCK_DGRAM);
    char text[8];
    CHECK_OK(shutdown(pair[0], SHUT_RD));
    CHECK_ERRNO(recv(pair[0], text, 8, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(recv(pair[0], text, 8, 0), 0);
    signals = 0;
    handle(SIGPIPE, count);
    CHECK_ERRNO(write(pair[1], "x", 1), EPIPE);
    CHECK_EQ(signals, 0);
    signal(SIGPIPE, SIG_DFL);
    CHECK_EQ(write(pair[0], "x", 1), 1);
    CHECK_OK(shutdown(pair[0], SHUT_WR));
    CHECK_ERRNO(write(pair[0], "x", 1), EPIPE);
    CHECK_EQ(read(pair[1], text, 8), 1);
    CHECK_EQ(ready(pair[0]), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
    // What a peer didn't read before it connected elsewhere is an error.
    SocketPair other(SOCK_DGRAM);
    CHECK_EQ(write(other[0], "x", 1), 1);
    UnixAddress none;
    none.address.sun_family = AF_UNSPEC;
    CHECK_OK(connect(other[1], none.get(), sizeof(sa_family_t)));
    CHECK_EQ(ready(other[0], 0), POLLERR);
    CHECK_EQ(int_option(other[0], SO_ERROR), ECONNRESET);
    // A closed peer of datagrams.
    SocketPair last(SOCK_DGRAM);
    last.close_one(1);
    CHECK_ERRNO(write(last[0], "x", 1), ECONNREFUSED);
    CHECK_ERRNO(write(last[0], "x", 1), ENOTCONN);
}

static void many_at_once() {
    SocketPair pair(SOCK_DGRAM);
    mmsghdr headers[5] = {};
    iovec vectors[5];
    const char* words[] = {"a", "bb", "ccc", "dddd", "eeeee"};
    for (int i = 0; i < 5; ++i) {
        vectors[i] = {(void*)words[i], strlen(words[i])};
        headers[i].msg_hdr.msg_iov = &vectors[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(sendmmsg(pair[0], headers, 5, 0), 5);
    CHECK_EQ(headers[3].msg_len, 4u);
    CHECK_EQ(sendmmsg(pair[0], headers, 0, 0), 0);
    // The third is bad: two are sent.
    vectors[2].iov_base = (void*)8;
    CHECK_EQ(sendmmsg(pair[0], headers, 5, 0), 2);
    CHECK_ERRNO(sendmmsg(pair[0], headers + 2, 3, 0), EFAULT);
    char texts[10][8];
    mmsghdr in[10] = {};
    iovec rooms[10];
    for (int i = 0; i < 10; ++i) {
        rooms[i] = {texts[i], 8};
        in[i].msg_hdr.msg_iov = &rooms[i];
        in[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(recvmmsg(pair[1], in, 3, 0, nullptr), 3);
    CHECK_EQ(in[2].msg_len, 3u);
    CHECK_EQ(recvmmsg(pair[1], in, 10, MSG_WAITFORONE, nullptr), 4);
    CHECK_ERRNO(recvmmsg(pair[1], in, 10, MSG_DONTWAIT, nullptr), EAGAIN);
    timespec bad = {0, -1}, time = {0, 1000000};
    CHECK_ERRNO(recvmmsg(pair[1], in, 10, 0, &bad), EINVAL);
    CHECK_EQ(write(pair[0], "x", 1), 1);
    CHECK_EQ(write(pair[0], "x", 1), 1);
    time = {0, 0};
    CHECK_EQ(recvmmsg(pair[1], in, 10, 0, &time), 1); // the time is looked at behind each
    CHECK_EQ(recvmmsg(pair[1], in, 10, MSG_DONTWAIT, nullptr), 1);
}

int main() {
    boundaries(SOCK_DGRAM);
    boundaries(SOCK_SEQPACKET);
    sequence();
    addresses();
    long_queue();
    shut();
    many_at_once();
    return result();
}
