// Helpers for tests of Unix-domain sockets.
#pragma once

#include <cstddef>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.hpp"

namespace check {

/// Two connected sockets, closed at the end.
struct SocketPair {
    explicit SocketPair(int type = SOCK_STREAM) { CHECK_OK(socketpair(AF_UNIX, type, 0, fds)); }
    SocketPair(const SocketPair&) = delete;
    ~SocketPair() { close_one(0), close_one(1); }
    void close_one(int which) {
        if (fds[which] >= 0) close(fds[which]);
        fds[which] = -1;
    }
    int operator[](int which) const { return fds[which]; }
    int fds[2] = {-1, -1};
};

/// A sockaddr_un and how much of it counts. A name that begins with '@' is abstract.
struct UnixAddress {
    UnixAddress() = default;
    explicit UnixAddress(const char* name) {
        address.sun_family = AF_UNIX;
        const size_t size = strlen(name);
        memcpy(address.sun_path, name, size);
        if (name[0] == '@') address.sun_path[0] = 0;
        length = socklen_t(offsetof(sockaddr_un, sun_path) + size + (name[0] == '@' ? 0 : 1));
    }
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&address); }
    sockaddr_un address = {};
    socklen_t length = sizeof(sockaddr_un);
};

inline int bind_to(int fd, const char* name) {
    UnixAddress address(name);
    return bind(fd, address.get(), address.length);
}
inline int connect_to(int fd, const char* name) {
    UnixAddress address(name);
    return connect(fd, address.get(), address.length);
}

/// A socket that listens under that name.
inline int listener(const char* name, int type = SOCK_STREAM, int backlog = 16) {
    const int fd = socket(AF_UNIX, type, 0);
    CHECK_OK(bind_to(fd, name));
    CHECK_OK(listen(fd, backlog));
    return fd;
}

/// What poll(2) says at once.
inline int ready(int fd, int events = POLLIN | POLLOUT | POLLRDHUP | POLLPRI) {
    pollfd one = {fd, short(events), 0};
    poll(&one, 1, 0);
    return one.revents;
}

inline int int_option(int fd, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    CHECK_OK(getsockopt(fd, SOL_SOCKET, name, &value, &length));
    return value;
}
inline int set_option(int fd, int name, int value) { return setsockopt(fd, SOL_SOCKET, name, &value, sizeof value); }

inline void nonblocking(int fd) { CHECK_OK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK)); }

} // namespace check
