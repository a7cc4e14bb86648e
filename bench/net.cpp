// What Unix-domain sockets cost, in instructions under -icount, else in nanoseconds. Prints a line "bench NAME VALUE"
// for each.
//
// pair: socketpair and two closes. alone: one byte of a stream written and read by one process; datagram: the same by a
// datagram socket. round-trip: a byte there and back between two processes. bandwidth: a MiB written to a stream in
// pieces of 64 KiB, which another process reads. connect: socket, connect, accept and two closes. rights: a descriptor
// sent, received and closed. poll: of eight sockets, one of which is ready.
#include <cstddef>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.hpp"

using namespace measuring;

namespace {

struct Pair {
    explicit Pair(int type = SOCK_STREAM) { must(socketpair(AF_UNIX, type, 0, ends) == 0, "socketpair"); }
    ~Pair() { close(ends[0]), close(ends[1]); }
    int ends[2];
};

void make_pairs(int count) {
    for (int i = 0; i < count; i++) Pair pair;
}

double to_oneself(int type, int count) {
    Pair pair(type);
    return least(count, [&](int times) {
        char byte = 0;
        for (int i = 0; i < times; i++) {
            must(write(pair.ends[0], &byte, 1) == 1, "write");
            must(read(pair.ends[1], &byte, 1) == 1, "read");
        }
    });
}

double round_trip(int count) {
    Pair pair;
    const pid_t child = fork();
    if (child == 0) {
        close(pair.ends[0]);
        char byte;
        while (read(pair.ends[1], &byte, 1) == 1)
            if (write(pair.ends[1], &byte, 1) != 1) break;
        _exit(0);
    }
    const double cost = least(count, [&](int times) {
        char byte = 0;
        for (int i = 0; i < times; i++) {
            must(write(pair.ends[0], &byte, 1) == 1, "write");
            must(read(pair.ends[0], &byte, 1) == 1, "read");
        }
    });
    shutdown(pair.ends[0], SHUT_RDWR);
    waitpid(child, nullptr, 0);
    return cost;
}

double bandwidth(int count) {
    constexpr size_t piece = 64 << 10, whole = 1 << 20;
    static char data[piece];
    Pair pair;
    const pid_t child = fork();
    if (child == 0) {
        close(pair.ends[0]);
        size_t have = 0;
        for (ssize_t n; (n = read(pair.ends[1], data, piece)) > 0;) {
            have += size_t(n);
            if (have % whole == 0 && write(pair.ends[1], "", 1) != 1) break;
        }
        _exit(0);
    }
    const double cost = least(count, [&](int times) {
        for (int i = 0; i < times; i++) {
            for (size_t sent = 0; sent < whole; sent += piece)
                must(write(pair.ends[0], data, piece) == ssize_t(piece), "write");
            char byte;
            must(read(pair.ends[0], &byte, 1) == 1, "read");
        }
    });
    shutdown(pair.ends[0], SHUT_RDWR);
    waitpid(child, nullptr, 0);
    return cost;
}

double connections(int count) {
    sockaddr_un address = {AF_UNIX, "\0bench"};
    constexpr socklen_t length = offsetof(sockaddr_un, sun_path) + 6;
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    must(bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0 && listen(listener, 5) == 0, "listen");
    const double cost = least(count, [&](int times) {
        for (int i = 0; i < times; i++) {
            const int client = socket(AF_UNIX, SOCK_STREAM, 0);
            must(connect(client, reinterpret_cast<sockaddr*>(&address), length) == 0, "connect");
            const int server = accept(listener, nullptr, nullptr);
            must(server >= 0, "accept");
            close(client);
            close(server);
        }
    });
    close(listener);
    return cost;
}

double rights(int count) {
    Pair pair;
    alignas(8) char control[CMSG_SPACE(sizeof(int))];
    char byte = 0;
    iovec vector = {&byte, 1};
    msghdr message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    return least(count, [&](int times) {
        for (int i = 0; i < times; i++) {
            message.msg_controllen = sizeof control;
            cmsghdr* header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof(int));
            int fd = 0;
            memcpy(CMSG_DATA(header), &fd, sizeof fd);
            must(sendmsg(pair.ends[0], &message, 0) == 1, "sendmsg");
            must(recvmsg(pair.ends[1], &message, 0) == 1, "recvmsg");
            memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
            close(fd);
        }
    });
}

double poll_eight(int count) {
    Pair pairs[8];
    pollfd fds[8];
    for (int i = 0; i < 8; i++) fds[i] = {pairs[i].ends[1], POLLIN, 0};
    must(write(pairs[7].ends[0], "", 1) == 1, "write");
    return least(count, [&](int times) {
        for (int i = 0; i < times; i++) must(poll(fds, 8, -1) == 1, "poll");
    });
}

} // namespace

int main() {
    measure("pair", 200, make_pairs);
    report("alone", to_oneself(SOCK_STREAM, 500));
    report("datagram", to_oneself(SOCK_DGRAM, 500));
    report("round-trip", round_trip(500));
    report("bandwidth", bandwidth(4));
    report("connect", connections(200));
    report("rights", rights(200));
    report("poll", poll_eight(500));
}
