// Names of Unix-domain sockets, and connections to who listens under one (unix(7), bind(2), listen(2), connect(2)).
#include <csignal>
#include <grp.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "asleep.hpp"
#include "child.hpp"
#include "sockets.hpp"

using namespace check;

static void paths() {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    UnixAddress shown;
    CHECK_OK(getsockname(fd, shown.get(), &shown.length));
    CHECK_EQ(shown.length, 2u);
    CHECK_EQ(shown.address.sun_family, AF_UNIX);
    CHECK_ERRNO(listen(fd, 1), EINVAL); // without a name
    UnixAddress bad("named");
    bad.address.sun_family = AF_INET;
    CHECK_ERRNO(bind(fd, bad.get(), bad.length), EINVAL);
    bad.address.sun_family = AF_UNIX;
    CHECK_ERRNO(bind(fd, bad.get(), 1), EINVAL);
    CHECK_ERRNO(bind(fd, bad.get(), sizeof(sockaddr_un) + 1), EINVAL);
    CHECK_ERRNO(bind(fd, bad.get(), socklen_t(-1)), EINVAL);
    CHECK_ERRNO(bind(fd, bad.get(), 1000), EINVAL);
    CHECK_ERRNO(bind(fd, (sockaddr*)8, 20), EFAULT);
    CHECK_ERRNO(bind_to(fd, "no/such/directory"), ENOENT);
    umask(022);
    CHECK_OK(bind_to(fd, "named"));
    struct stat status;
    CHECK_OK(stat("named", &status));
    CHECK_EQ(status.st_mode, mode_t(S_IFSOCK | 0755));
    CHECK_ERRNO(bind_to(fd, "again"), EINVAL);
    CHECK_ERRNO(open("named", O_RDWR), ENXIO);
    const int other = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(bind_to(other, "named"), EADDRINUSE);
    CHECK_ERRNO(connect_to(other, "named"), ECONNREFUSED); // nobody listens
    shown.length = sizeof shown.address;
    CHECK_OK(getsockname(fd, shown.get(), &shown.length));
    CHECK_EQ(shown.length, 2u + 6);
    CHECK_STREQ(shown.address.sun_path, "named");
    shown = UnixAddress();
    shown.length = 4; // less room: cut, but its true length is told
    CHECK_OK(getsockname(fd, shown.get(), &shown.length));
    CHECK_EQ(shown.length, 2u + 6);
    CHECK_STREQ(shown.address.sun_path, "na");
    CHECK_OK(listen(fd, 1));
    CHECK_EQ(int_option(fd, SO_ACCEPTCONN), 1);
    CHECK_OK(connect_to(other, "named"));
    CHECK_ERRNO(connect_to(other, "named"), EISCONN);
    CHECK_ERRNO(listen(other, 1), EINVAL);
    CHECK_ERRNO(connect_to(fd, "named"), EINVAL);
    close(other);
    close(fd);
    // The name outlives the socket, and leads nowhere.
    const int late = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(connect_to(late, "named"), ECONNREFUSED);
    CHECK_ERRNO(bind_to(late, "named"), EADDRINUSE);
    CHECK_OK(unlink("named"));
    CHECK_ERRNO(connect_to(late, "named"), ENOENT);
    CHECK_OK(bind_to(late, "named"));
    CHECK_OK(unlink("named"));
    close(late);
    // A node without a socket, and what is no socket.
    const int third = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_OK(mknod("node", S_IFSOCK | 0666, 0));
    CHECK_ERRNO(connect_to(third, "node"), ECONNREFUSED);
    CHECK_OK(unlink("node"));
    CHECK_ERRNO(connect_to(third, "/"), ECONNREFUSED);
    CHECK_ERRNO(connect_to(third, "/dev/null"), ECONNREFUSED);
    // A path may fill sun_path without a NUL.
    UnixAddress full;
    full.address.sun_family = AF_UNIX;
    memset(full.address.sun_path, 'x', sizeof full.address.sun_path);
    CHECK_OK(bind(third, full.get(), sizeof(sockaddr_un)));
    shown = UnixAddress();
    CHECK_OK(getsockname(third, shown.get(), &shown.length));
    CHECK_EQ(shown.length, socklen_t(sizeof(sockaddr_un) + 1));
    char path[109] = {};
    memset(path, 'x', 108);
    CHECK_OK(unlink(path));
    close(third);
    // The socket's own mode decides too.
    const int moded = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_OK(fchmod(moded, 0640));
    CHECK_OK(bind_to(moded, "moded"));
    CHECK_OK(stat("moded", &status));
    CHECK_EQ(status.st_mode, mode_t(S_IFSOCK | 0640));
    CHECK_OK(listen(moded, 1));
    run_in_child([] {
        CHECK_OK(setgid(65534));
        CHECK_OK(setuid(65534));
        CHECK_ERRNO(connect_to(socket(AF_UNIX, SOCK_STREAM, 0), "moded"), EACCES);
    });
    // Through a link, and after a renaming.
    CHECK_OK(symlink("moded", "link"));
    const int client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_OK(connect_to(client, "link"));
    CHECK_OK(rename("moded", "renamed"));
    const int second = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_OK(connect_to(second, "renamed"));
    // Another type has that path.
    const int datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERRNO(connect_to(datagram, "renamed"), EPROTOTYPE);
    for (int each : {client, second, datagram, moded}) close(each);
    CHECK_OK(unlink("renamed"));
    CHECK_OK(unlink("link"));
}

static void abstract_names() {
    const int fd = listener("@abstract\0no");
    const int other = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(bind_to(other, "@abstract"), EADDRINUSE);
    CHECK_ERRNO(connect_to(other, "@abstrac"), ECONNREFUSED);
    CHECK_ERRNO(connect_to(other, "@abstract2"), ECONNREFUSED);
    // The name of another type is another name.
    const int datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERRNO(connect_to(datagram, "@abstract"), ECONNREFUSED);
    CHECK_OK(bind_to(datagram, "@abstract"));
    CHECK_OK(connect_to(other, "@abstract"));
    UnixAddress shown;
    CHECK_OK(getpeername(other, shown.get(), &shown.length));
    CHECK_EQ(shown.length, 2u + 9);
    CHECK_EQ(memcmp(shown.address.sun_path, "\0abstract", 9), 0);
    shown = UnixAddress();
    const int accepted = accept(fd, shown.get(), &shown.length);
    CHECK_OK(accepted);
    CHECK_EQ(shown.length, 2u); // the client has none
    shown = UnixAddress();
    CHECK_OK(getsockname(accepted, shown.get(), &shown.length));
    CHECK_EQ(shown.length, 2u + 9);
    close(fd);
    // Free at once, though a connection shows it still.
    const int next = listener("@abstract");
    close(next);
    CHECK_OK(getpeername(other, shown.get(), &shown.length));
    close(accepted);
    CHECK_OK(getpeername(other, shown.get(), &shown.length)); // the end of it stays known
    for (int each : {other, datagram}) close(each);
    // Autobind.
    const int automatic = socket(AF_UNIX, SOCK_DGRAM, 0);
    UnixAddress none;
    none.address.sun_family = AF_UNIX;
    CHECK_OK(bind(automatic, none.get(), sizeof(sa_family_t)));
    shown = UnixAddress();
    CHECK_OK(getsockname(automatic, shown.get(), &shown.length));
    CHECK_EQ(shown.length, 2u + 6);
    CHECK_EQ(shown.address.sun_path[0], 0);
    CHECK_EQ(strspn(shown.address.sun_path + 1, "0123456789abcdef"), 5u);
    close(automatic);
}

static void connections() {
    const int fd = listener("@connections", SOCK_STREAM, 1);
    CHECK_EQ(ready(fd), 0);
    CHECK_ERRNO(accept4(fd, nullptr, nullptr, 1), EINVAL);
    CHECK_ERRNO(read(fd, nullptr, 1), EINVAL);
    CHECK_ERRNO(send(fd, "x", 1, 0), ENOTCONN);
    nonblocking(fd);
    CHECK_ERRNO(accept(fd, nullptr, nullptr), EAGAIN);
    int clients[3];
    for (int& client : clients) client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_EQ(ready(clients[0]), POLLOUT | POLLHUP);
    CHECK_ERRNO(accept(clients[0], nullptr, nullptr), EINVAL);
    CHECK_ERRNO(send(clients[0], "x", 1, 0), ENOTCONN);
    CHECK_ERRNO(recv(clients[0], nullptr, 1, 0), EINVAL);
    UnixAddress shown;
    CHECK_ERRNO(getpeername(clients[0], shown.get(), &shown.length), ENOTCONN);
    CHECK_OK(shutdown(clients[0], SHUT_RD));
    close(clients[0]);
    clients[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    // A backlog of one holds two.
    CHECK_OK(connect_to(clients[0], "@connections"));
    CHECK_EQ(ready(fd), POLLIN);
    CHECK_OK(connect_to(clients[1], "@connections"));
    CHECK_ERRNO(connect_to(clients[2], "@connections"), EAGAIN);
    // Bytes sent before somebody accepts.
    CHECK_EQ(write(clients[0], "early", 5), 5);
    const int first = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK_EQ(fcntl(first, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(first, F_GETFL), O_RDWR | O_NONBLOCK);
    char text[8];
    CHECK_EQ(read(first, text, 8), 5);
    CHECK_OK(connect_to(clients[2], "@connections"));
    // Connections that nobody accepted are lost with the listener.
    close(fd);
    CHECK_EQ(ready(clients[1]), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
    CHECK_ERRNO(read(clients[1], text, 8), ECONNRESET);
    CHECK_EQ(read(clients[1], text, 8), 0);
    for (int client : clients) close(client);
    close(first);
    // A larger backlog lets in who waits; a time-out doesn't wait for ever.
    const int small = listener("@small", SOCK_STREAM, 0);
    const int one = socket(AF_UNIX, SOCK_STREAM, 0), two = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_OK(connect_to(one, "@small"));
    const timeval time = {0, 50000};
    CHECK_OK(setsockopt(two, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time));
    CHECK_ERRNO(connect_to(two, "@small"), EAGAIN);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) _exit(connect_to(socket(AF_UNIX, SOCK_STREAM, 0), "@small") == 0 ? 0 : 1);
    CHECK(wait_asleep(child));
    CHECK_OK(listen(small, 5));
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    // A listener shut down for reading refuses, and accepts no more.
    close(accept(small, nullptr, nullptr));
    close(accept(small, nullptr, nullptr));
    CHECK_OK(shutdown(small, SHUT_RD));
    CHECK_ERRNO(connect_to(two, "@small"), ECONNREFUSED);
    CHECK_ERRNO(accept(small, nullptr, nullptr), EINVAL);
    for (int each : {one, two, small}) close(each);
}

static void blocked_accept() {
    const int fd = listener("@blocked");
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        failures = 0;
        UnixAddress shown;
        const int taken = accept(fd, shown.get(), &shown.length);
        CHECK_EQ(shown.length, 2u + 7);
        CHECK_EQ(memcmp(shown.address.sun_path, "\0client", 7), 0);
        CHECK_EQ(write(taken, "hi", 2), 2);
        _exit(result());
    }
    CHECK(wait_asleep(child));
    const int client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_OK(bind_to(client, "@client"));
    CHECK_OK(connect_to(client, "@blocked"));
    char text[4];
    CHECK_EQ(read(client, text, 4), 2);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    const timeval time = {0, 50000};
    CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    CHECK_ERRNO(accept(fd, nullptr, nullptr), EAGAIN);
    // An address that can't be stored costs the connection, not a descriptor.
    const int another = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_OK(connect_to(another, "@blocked"));
    UnixAddress shown;
    CHECK_ERRNO(accept(fd, (sockaddr*)8, &shown.length), EFAULT);
    CHECK_EQ(read(another, text, 4), 0);
    const int lowest = dup(0);
    CHECK_EQ(lowest, another + 1);
    for (int each : {fd, client, another, lowest}) close(each);
}

static void credentials() {
    SocketPair pair;
    ucred who = {};
    socklen_t length = sizeof who;
    CHECK_OK(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &who, &length));
    CHECK(who.pid == getpid() && who.uid == geteuid() && who.gid == getegid());
    const int alone = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_OK(getsockopt(alone, SOL_SOCKET, SO_PEERCRED, &who, &length));
    CHECK(who.pid == 0 && who.uid == uid_t(-1) && who.gid == gid_t(-1));
    gid_t groups[8];
    length = sizeof groups;
    CHECK_ERRNO(getsockopt(alone, SOL_SOCKET, SO_PEERGROUPS, groups, &length), ENODATA);
    close(alone);
    const int fd = listener("@credentials");
    int go[2];
    CHECK_OK(pipe(go));
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        failures = 0;
        const gid_t mine[] = {20, 30, 40};
        CHECK_OK(setgroups(3, mine));
        CHECK_OK(setresgid(1000, 1001, 1000));
        CHECK_OK(setresuid(1000, 1001, 1000));
        const int client = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK_OK(connect_to(client, "@credentials"));
        ucred listening = {};
        socklen_t size = sizeof listening;
        CHECK_OK(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &listening, &size));
        CHECK(listening.pid == getppid() && listening.uid == 0);
        char byte;
        CHECK_EQ(read(go[0], &byte, 1), 1);
        _exit(result());
    }
    const int accepted = accept(fd, nullptr, nullptr);
    length = sizeof who;
    CHECK_OK(getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &who, &length));
    CHECK(who.pid == child && who.uid == 1001 && who.gid == 1001);
    length = sizeof groups;
    CHECK_OK(getsockopt(accepted, SOL_SOCKET, SO_PEERGROUPS, groups, &length));
    CHECK_EQ(length, socklen_t(3 * sizeof(gid_t)));
    CHECK(groups[0] == 20 && groups[2] == 40);
    length = 4;
    CHECK_ERRNO(getsockopt(accepted, SOL_SOCKET, SO_PEERGROUPS, groups, &length), ERANGE);
    CHECK_EQ(length, socklen_t(3 * sizeof(gid_t)));
    // SO_PEERPIDFD came with Linux 6.5.
    int pidfd = -1;
    length = sizeof pidfd;
    if (getsockopt(accepted, SOL_SOCKET, 77, &pidfd, &length) == 0) {
        CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
        CHECK_EQ(ready(pidfd, POLLIN), 0);
        CHECK_EQ(write(go[1], "x", 1), 1);
        pollfd one = {pidfd, POLLIN, 0};
        CHECK_EQ(poll(&one, 1, 30000), 1);
        close(pidfd);
    } else {
        CHECK_EQ(write(go[1], "x", 1), 1);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    for (int each : {fd, accepted, go[0], go[1]}) close(each);
}

int main() {
    paths();
    abstract_names();
    connections();
    blocked_accept();
    credentials();
    return result();
}
