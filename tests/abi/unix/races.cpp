// timeout: 120
// Sockets used by several threads at once: closed, shut down and connected while others send and receive; and a
// thousand of everything.
#include <csignal>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "asleep.hpp"
#include "control_message.hpp"
#include "sockets.hpp"

using namespace check;

static std::atomic<bool> stop;
static int shared_fds[8];

static void* replace_pairs(void* argument) {
    const long kind = (long)argument;
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    for (int i = 0; i < 1500; ++i) {
        int fds[2];
        if (socketpair(AF_UNIX, types[(i + kind) % 3] | SOCK_NONBLOCK, 0, fds)) continue;
        const int place = i % 4 * 2;
        dup2(fds[0], shared_fds[place]);
        dup2(fds[1], shared_fds[place + 1]);
        if (i % 5 == 0) shutdown(fds[i % 2], i % 3);
        close(fds[0]);
        close(fds[1]);
    }
    stop = true;
    return nullptr;
}

// Whatever is there: any errno will do, but no file may be lost and nothing may hang.
static void* use_pairs(void* argument) {
    unsigned seed = unsigned((long)argument);
    static thread_local char text[70000];
    while (!stop) {
        seed = seed * 1103515245 + 12345;
        const int fd = shared_fds[seed >> 16 & 7];
        switch (seed >> 20 & 7) {
        case 0:
            send(fd, text, seed >> 8 & 0xffff, MSG_DONTWAIT | MSG_NOSIGNAL);
            break;
        case 1:
            recv(fd, text, sizeof text, MSG_DONTWAIT);
            break;
        case 2:
            recv(fd, text, seed >> 8 & 0xff, MSG_DONTWAIT | MSG_PEEK);
            break;
        case 3:
            ready(fd);
            break;
        case 4:
            send_files(fd, "files", {fd, 0, shared_fds[0]}, MSG_DONTWAIT | MSG_NOSIGNAL);
            break;
        case 5: {
            Received in(fd, 16, 3, MSG_DONTWAIT);
            int got[3];
            if (in.size >= 0)
                for (int i = in.files(got); i-- > 0;) close(got[i]);
            break;
        }
        case 6:
            set_option(fd, SO_SNDBUF, int(seed & 0xffff));
            break;
        default:
            send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
    }
    return nullptr;
}

static void closed_meanwhile() {
    for (int& fd : shared_fds) fd = open("/dev/null", O_RDWR);
    const int lowest = dup(0);
    close(lowest);
    pthread_t replacer, users[3];
    pthread_create(&replacer, nullptr, replace_pairs, nullptr);
    for (long i = 0; i < 3; ++i) pthread_create(&users[i], nullptr, use_pairs, (void*)(i + 1));
    pthread_join(replacer, nullptr);
    for (pthread_t user : users) pthread_join(user, nullptr);
    for (int fd : shared_fds) close(fd);
    const int now = dup(0);
    CHECK_LE(now, lowest);
    close(now);
}

// Who sleeps when the other side goes wakes up.
static void* close_later(void* argument) {
    const int* fds = static_cast<int*>(argument);
    CHECK(wait_asleep(fds[1]));
    close(fds[0]);
    return nullptr;
}

static void asleep_at_the_end() {
    for (int type : {SOCK_STREAM, SOCK_SEQPACKET})
        for (int what = 0; what < 3; ++what) {
            SocketPair pair(type);
            int arguments[2] = {pair.fds[1], gettid()};
            pair.fds[1] = -1;
            if (what == 1)
                while (send(pair[0], "x", 1, MSG_DONTWAIT) == 1) {
                }
            pthread_t closer;
            pthread_create(&closer, nullptr, close_later, arguments);
            char byte;
            if (what == 0) CHECK_EQ(read(pair[0], &byte, 1), 0);
            if (what == 1) {
                const ssize_t sent = send(pair[0], "x", 1, MSG_NOSIGNAL);
                const int failure = errno;
                CHECK_EQ(sent, -1);
                CHECK(failure == EPIPE || failure == ECONNRESET);
            }
            if (what == 2) {
                pollfd one = {pair[0], POLLIN, 0};
                CHECK_EQ(poll(&one, 1, -1), 1);
                CHECK((one.revents & POLLHUP) != 0);
            }
            pthread_join(closer, nullptr);
        }
}

constexpr int connections = 1000;

static void* connect_many(void*) {
    for (int i = 0; i < connections; ++i) {
        const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK_OK(connect_to(fd, "@many"));
        char text[3];
        CHECK_EQ(write(fd, "abc", 3), 3);
        CHECK_EQ(recv(fd, text, 3, MSG_WAITALL), 3);
        close(fd);
        if (failures) break;
    }
    return nullptr;
}

static void* accept_many(void* argument) {
    const int fd = *static_cast<int*>(argument);
    for (;;) {
        const int taken = accept(fd, nullptr, nullptr);
        if (taken < 0) return nullptr;
        char text[3];
        if (recv(taken, text, 3, MSG_WAITALL) == 3) send(taken, text, 3, MSG_NOSIGNAL);
        close(taken);
    }
}

static void connected_at_once() {
    int fd = listener("@many", SOCK_STREAM, 4);
    pthread_t clients[2], servers[2];
    for (pthread_t& server : servers) pthread_create(&server, nullptr, accept_many, &fd);
    for (pthread_t& client : clients) pthread_create(&client, nullptr, connect_many, nullptr);
    for (pthread_t client : clients) pthread_join(client, nullptr);
    CHECK_OK(shutdown(fd, SHUT_RD));
    for (pthread_t server : servers) pthread_join(server, nullptr);
    close(fd);
}

// Several threads read what several write: nothing is lost and nothing doubled.
constexpr int each_writes = 3000;
static std::atomic<long> sum;
static SocketPair* crowd;

static void* write_numbers(void*) {
    for (int i = 1; i <= each_writes; ++i) CHECK_EQ(write(crowd->fds[0], &i, sizeof i), ssize_t(sizeof i));
    return nullptr;
}
static void* read_numbers(void*) {
    int number;
    while (recv(crowd->fds[1], &number, sizeof number, 0) == ssize_t(sizeof number)) sum += number;
    return nullptr;
}

static void crowded(int type) {
    SocketPair pair(type);
    crowd = &pair;
    sum = 0;
    pthread_t writers[2], readers[2];
    for (pthread_t& reader : readers) pthread_create(&reader, nullptr, read_numbers, nullptr);
    for (pthread_t& writer : writers) pthread_create(&writer, nullptr, write_numbers, nullptr);
    for (pthread_t writer : writers) pthread_join(writer, nullptr);
    CHECK_OK(shutdown(pair[1], SHUT_RD));
    for (pthread_t reader : readers) pthread_join(reader, nullptr);
    CHECK_EQ(sum.load(), long(each_writes) * (each_writes + 1));
}

static void a_thousand() {
    rlimit limit = {4096, 4096};
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    static int fds[1000][2];
    int epoll = epoll_create1(0);
    for (auto& pair : fds) {
        CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
        epoll_event event = {EPOLLIN, {}};
        event.data.fd = pair[1];
        CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &event));
        CHECK_EQ(write(pair[0], "x", 1), 1);
    }
    static epoll_event events[1000];
    CHECK_EQ(epoll_wait(epoll, events, 1000, 0), 1000);
    // All full.
    static char text[65536];
    for (auto& pair : fds)
        for (int i = 0; i < 2; ++i) send(pair[0], text, sizeof text, 0);
    for (auto& pair : fds) close(pair[0]), close(pair[1]);
    close(epoll);
    // A thousand names, and a thousand connections that wait.
    const int fd = listener("@thousand", SOCK_STREAM, 1000);
    static int clients[1000];
    for (int i = 0; i < 1000; ++i) {
        char name[32];
        snprintf(name, sizeof name, "@name-%d", i);
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        CHECK_OK(bind_to(clients[i], name));
        CHECK_OK(connect_to(clients[i], "@thousand"));
    }
    close(fd);
    for (int client : clients) close(client);
}

int main() {
    closed_meanwhile();
    asleep_at_the_end();
    connected_at_once();
    crowded(SOCK_DGRAM);
    crowded(SOCK_SEQPACKET);
    a_thousand();
    return result();
}
