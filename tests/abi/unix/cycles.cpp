// timeout: 120
// Sockets that are referred to by messages only: those that nobody can reach any more go, all others stay (unix(7),
// SCM_RIGHTS).
#include <pthread.h>
#include <sys/resource.h>

#include "asleep.hpp"
#include "control_message.hpp"
#include "proc_text.hpp"
#include "sockets.hpp"

using namespace check;

/// How many Unix sockets the machine has.
static int sockets() {
    FILE* file = fopen("/proc/net/unix", "r");
    int lines = -1;
    for (int c; (c = fgetc(file)) != EOF;)
        if (c == '\n') ++lines;
    fclose(file);
    return lines;
}

/// Closing any socket is what makes Linux look.
static bool gone(int before) {
    return eventually([&] {
        SocketPair trigger;
        trigger.close_one(0);
        trigger.close_one(1);
        return sockets() <= before;
    });
}

static void over_itself(int type) {
    const int before = sockets();
    for (int i = 0; i < 100; ++i) {
        SocketPair pair(type);
        CHECK_EQ(send_files(pair[0], "x", {pair[0], pair[1]}), 1);
        CHECK_EQ(send_files(pair[1], "x", {pair[0], pair[1], 0}), 1);
    }
    CHECK(gone(before));
}

// A pipe's end in a circle is closed with it.
static void what_is_within() {
    int pipes[2];
    CHECK_OK(pipe(pipes));
    {
        SocketPair a, b;
        CHECK_EQ(send_files(a[0], "x", {b[0], b[1], pipes[1]}), 1);
        CHECK_EQ(send_files(b[0], "x", {a[0], a[1]}), 1);
    }
    close(pipes[1]);
    SocketPair trigger;
    trigger.close_one(0);
    trigger.close_one(1);
    char byte;
    pollfd one = {pipes[0], POLLIN, 0};
    CHECK_EQ(poll(&one, 1, 30000), 1);
    CHECK_EQ(read(pipes[0], &byte, 1), 0);
    close(pipes[0]);
}

// Connections that wait in the queue of a listener which is in flight itself.
static void unaccepted() {
    const int before = sockets();
    for (int i = 0; i < 20; ++i) {
        char name[32];
        snprintf(name, sizeof name, "@unaccepted-%d", i);
        const int fd = listener(name);
        const int client = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK_OK(connect_to(client, name));
        CHECK_EQ(send_files(client, "x", {fd, client}), 1);
        close(fd);
        close(client);
        SocketPair trigger;
    }
    CHECK(gone(before));
}

// Circles beside them don't harm sockets that can still be received.
static void reachable() {
    const int before = sockets();
    {
        SocketPair keeper, inner, deeper;
        CHECK_EQ(send_files(deeper[0], "bottom", {0}), 6);
        CHECK_EQ(send_files(inner[0], "middle", {deeper[0], deeper[1]}), 6);
        CHECK_EQ(send_files(keeper[0], "top", {inner[0], inner[1]}), 3);
        for (int i : {0, 1}) inner.close_one(i), deeper.close_one(i);
        for (int round = 0; round < 20; ++round) {
            SocketPair pair;
            CHECK_EQ(send_files(pair[0], "x", {pair[0], pair[1]}), 1);
        }
        int first[2], second[2], third[2];
        Received top(keeper[1], 16, 2);
        CHECK_EQ(top.files(first), 2);
        Received middle(first[1], 16, 2);
        CHECK_EQ(middle.size, 6);
        CHECK_EQ(middle.files(second), 2);
        Received bottom(second[1], 16, 2);
        CHECK_EQ(bottom.size, 6);
        CHECK_EQ(bottom.files(third), 1);
        for (int each : {first[0], first[1], second[0], second[1], third[0]}) close(each);
    }
    CHECK(gone(before));
}

// A message in a message in a message: Linux before 6.10 refuses more than four, others take any number.
static void chain() {
    const int before = sockets();
    int depth = 0;
    int outer[2];
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, outer));
    for (; depth < 1000; ++depth) {
        int next[2];
        CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, next));
        const ssize_t sent = send_files(next[0], "x", {outer[0], outer[1]});
        const int failure = errno;
        if (sent < 0) {
            CHECK_EQ(failure, ETOOMANYREFS);
            close(next[0]);
            close(next[1]);
            break;
        }
        close(outer[0]);
        close(outer[1]);
        outer[0] = next[0];
        outer[1] = next[1];
    }
    CHECK_GE(depth, 4);
    close(outer[0]);
    close(outer[1]);
    CHECK(gone(before));
}

static std::atomic<bool> stop;

static void* make_circles(void*) {
    for (int i = 0; i < 300 && !stop; ++i) {
        int a[2], b[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, a) || socketpair(AF_UNIX, SOCK_DGRAM, 0, b)) continue;
        send_files(a[0], "x", {b[0], b[1], a[1]}, MSG_DONTWAIT);
        send_files(b[0], "x", {a[0]}, MSG_DONTWAIT);
        for (int each : {a[0], a[1], b[0], b[1]}) close(each);
    }
    return nullptr;
}

// Files go to and fro between sockets that stay, peeked at and taken, while others make and close circles.
static void* pass_around(void* argument) {
    auto& pair = *static_cast<SocketPair*>(argument);
    for (int i = 0; i < 300 && !failures; ++i) {
        SocketPair inner;
        CHECK_EQ(send_files(inner[0], "in", {pair[0]}), 2);
        CHECK_EQ(send_files(pair[0], "out", {inner[0], inner[1]}), 3);
        inner.close_one(0);
        inner.close_one(1);
        int peeked[2], got[2], back[1];
        if (i % 3 == 0) {
            Received look(pair[1], 16, 2, MSG_PEEK);
            CHECK_EQ(look.files(peeked), 2);
            close(peeked[0]);
            close(peeked[1]);
        }
        Received out(pair[1], 16, 2);
        CHECK_EQ(out.files(got), 2);
        Received in(got[1], 16, 1);
        CHECK_EQ(in.files(back), 1);
        for (int each : {got[0], got[1], back[0]}) close(each);
    }
    return nullptr;
}

static void at_once() {
    const int before = sockets();
    {
        SocketPair one, two;
        pthread_t makers[2], passers[2];
        for (pthread_t& maker : makers) pthread_create(&maker, nullptr, make_circles, nullptr);
        pthread_create(&passers[0], nullptr, pass_around, &one);
        pthread_create(&passers[1], nullptr, pass_around, &two);
        for (pthread_t passer : passers) pthread_join(passer, nullptr);
        stop = true;
        for (pthread_t maker : makers) pthread_join(maker, nullptr);
    }
    CHECK(gone(before));
}

int main() {
    rlimit limit;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    over_itself(SOCK_STREAM);
    over_itself(SOCK_DGRAM);
    over_itself(SOCK_SEQPACKET);
    what_is_within();
    unaccepted();
    reachable();
    chain();
    at_once();
    return result();
}
