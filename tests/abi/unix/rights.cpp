// Open files and credentials in messages (unix(7), cmsg(3)): what arrives, what is lost, what is refused.
#include <csignal>
#include <sys/resource.h>
#include <sys/stat.h>

#include "child.hpp"
#include "control_message.hpp"
#include "sockets.hpp"

using namespace check;

static bool same_file(int one, int other) {
    struct stat a, b;
    return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static void one_file(int type) {
    SocketPair pair(type);
    int pipes[2], got[4];
    CHECK_OK(pipe(pipes));
    CHECK_EQ(send_files(pair[0], "file", {pipes[0], pipes[1]}), 4);
    Received in(pair[1], 16, 4);
    CHECK_EQ(in.size, 4);
    CHECK_EQ(in.flags, 0);
    CHECK_EQ(in.files(got), 2);
    CHECK(same_file(got[0], pipes[0]) && same_file(got[1], pipes[1]));
    CHECK_EQ(fcntl(got[0], F_GETFD), 0);
    CHECK_EQ(in.used, CMSG_SPACE(2 * sizeof(int)));
    close(pipes[1]);
    CHECK_EQ(write(got[1], "x", 1), 1);
    close(got[1]);
    char text[4];
    CHECK_EQ(read(pipes[0], text, 4), 1);
    CHECK_EQ(read(pipes[0], text, 4), 0); // the last writer is gone
    // Close on exec; room for one of two; no room; read instead of recvmsg.
    CHECK_EQ(send_files(pair[0], "file", {0}), 4);
    Received closed(pair[1], 16, 1, MSG_CMSG_CLOEXEC);
    CHECK_EQ(closed.files(got), 1);
    CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(closed.flags, MSG_CMSG_CLOEXEC);
    close(got[0]);
    CHECK_EQ(send_files(pair[0], "file", {0, 1, 2}), 4);
    Received cut(pair[1], 16, 2);
    CHECK_EQ(cut.files(got), 2);
    CHECK_EQ(cut.flags, MSG_CTRUNC);
    close(got[0]);
    close(got[1]);
    CHECK_EQ(send_files(pair[0], "file", {0}), 4);
    Received none(pair[1], 16, 0);
    CHECK_EQ(none.flags, MSG_CTRUNC);
    CHECK_EQ(none.used, 0u);
    CHECK_EQ(send_files(pair[0], "file", {pipes[0]}), 4);
    CHECK_EQ(read(pair[1], text, 4), 4);
    const int lowest = dup(0);
    close(lowest);
    CHECK_EQ(lowest, got[0]);
    // Peeked at, they are opened each time.
    CHECK_EQ(send_files(pair[0], "file", {0}), 4);
    Received peeked(pair[1], 16, 1, MSG_PEEK);
    CHECK_EQ(peeked.files(got), 1);
    CHECK(same_file(got[0], 0));
    close(got[0]);
    Received taken(pair[1], 16, 1);
    CHECK_EQ(taken.files(got), 1);
    close(got[0]);
    close(pipes[0]);
}

// A stream's files come with the bytes that they were sent with, and end a read.
static void in_a_stream() {
    SocketPair pair;
    int got[4];
    CHECK_EQ(write(pair[0], "before", 6), 6);
    CHECK_EQ(send_files(pair[0], "with", {0}), 4);
    CHECK_EQ(write(pair[0], "behind", 6), 6);
    Received first(pair[1], 32, 4);
    CHECK_EQ(first.size, 10);
    CHECK_EQ(first.files(got), 1);
    close(got[0]);
    Received second(pair[1], 32, 4);
    CHECK_EQ(second.size, 6);
    CHECK_EQ(second.files(got), 0);
    CHECK_EQ(send_files(pair[0], "with", {0}), 4);
    CHECK_EQ(send_files(pair[0], "with", {0}), 4);
    Received part(pair[1], 2, 4);
    CHECK_EQ(part.size, 2);
    CHECK_EQ(part.files(got), 1); // with the first of the bytes
    close(got[0]);
    Received rest(pair[1], 32, 4);
    CHECK_EQ(rest.size, 6); // the rest, and the next message with its file
    CHECK_EQ(rest.files(got), 1);
    close(got[0]);
}

static void refused() {
    SocketPair pair;
    CHECK_ERRNO(send_files(pair[0], "x", {0, 999}), EBADF);
    CHECK_ERRNO(send_files(pair[0], "x", {-1}), EBADF);
    int many[254] = {};
    CHECK_ERRNO(send_files(pair[0], "x", many, 254), EINVAL);
    CHECK_EQ(send_files(pair[0], "x", many, 253), 1);
    Received all(pair[1], 16, 253);
    static int got[254];
    CHECK_EQ(all.files(got), 253);
    for (int i = 0; i < 253; ++i) close(got[i]);
    const int place = open("/", O_PATH);
    CHECK_EQ(send_files(pair[0], "x", {place}), 1);
    close(place);
    Received path(pair[1], 16, 1);
    CHECK_EQ(path.files(got), 1);
    CHECK((fcntl(got[0], F_GETFL) & O_PATH) != 0);
    close(got[0]);
    // Malformed control messages.
    alignas(8) char control[64] = {};
    auto* header = reinterpret_cast<cmsghdr*>(control);
    iovec vector = {(void*)"x", 1};
    msghdr message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = 8;
    CHECK_ERRNO(sendmsg(pair[0], &message, 0), EINVAL);
    header->cmsg_len = sizeof control + 1;
    CHECK_ERRNO(sendmsg(pair[0], &message, 0), EINVAL);
    header->cmsg_len = CMSG_LEN(sizeof(int));
    header->cmsg_type = 99;
    message.msg_controllen = CMSG_SPACE(sizeof(int));
    CHECK_ERRNO(sendmsg(pair[0], &message, 0), EINVAL);
    header->cmsg_level = 99; // somebody else's
    CHECK_EQ(sendmsg(pair[0], &message, 0), 1);
    message.msg_controllen = 1 << 24;
    CHECK_ERRNO(sendmsg(pair[0], &message, 0), ENOBUFS);
    message.msg_control = (void*)8;
    message.msg_controllen = 64;
    CHECK_ERRNO(sendmsg(pair[0], &message, 0), EFAULT);
    message.msg_control = nullptr;
    message.msg_iovlen = 1025;
    CHECK_ERRNO(sendmsg(pair[0], &message, 0), EMSGSIZE);
    CHECK_ERRNO(sendmsg(pair[0], (msghdr*)8, 0), EFAULT);
    CHECK_ERRNO(recvmsg(pair[0], (msghdr*)8, 0), EFAULT);
    // No descriptors left: the message comes, the files don't.
    CHECK_EQ(send_files(pair[0], "x", {0, 1}), 1);
    rlimit old, low;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &old));
    low = old;
    const int next = dup(0);
    close(next);
    low.rlim_cur = rlim_t(next + 1);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &low));
    char byte;
    CHECK_EQ(read(pair[1], &byte, 1), 1);
    Received few(pair[1], 16, 2);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &old));
    CHECK_EQ(few.size, 1);
    CHECK_EQ(few.files(got), 1);
    CHECK_EQ(few.flags, MSG_CTRUNC);
    close(got[0]);
}

static void too_many_in_flight() {
    run_in_child([] {
        SocketPair pair(SOCK_DGRAM);
        rlimit low = {64, 64};
        CHECK_OK(setrlimit(RLIMIT_NOFILE, &low));
        CHECK_OK(setresuid(4321, 4321, 4321));
        int many[50] = {};
        CHECK_EQ(send_files(pair[0], "x", many, 50), 1);
        CHECK_EQ(send_files(pair[0], "x", many, 50), 1);
        CHECK_ERRNO(send_files(pair[0], "x", many, 1), ETOOMANYREFS);
        char byte;
        CHECK_EQ(read(pair[1], &byte, 1), 1);
        CHECK_EQ(send_files(pair[0], "x", many, 1), 1);
    });
}

static void credentials() {
    SocketPair pair(SOCK_DGRAM);
    ucred got;
    CHECK_EQ(write(pair[0], "x", 1), 1); // before anybody asks
    CHECK_OK(set_option(pair[1], SO_PASSCRED, 1));
    CHECK_EQ(int_option(pair[1], SO_PASSCRED), 1);
    Received unknown(pair[1], 16, 4);
    CHECK(unknown.credentials(got));
    CHECK(got.pid == 0 && got.uid == 65534 && got.gid == 65534);
    CHECK_EQ(write(pair[0], "x", 1), 1);
    Received noted(pair[1], 16, 4);
    CHECK(noted.credentials(got));
    CHECK(got.pid == getpid() && got.uid == 0 && got.gid == 0);
    // Root may say that it is somebody else.
    const pid_t child = pausing();
    ucred other = {child, 1234, 4321};
    CHECK_EQ(send_credentials(pair[0], other), 1);
    Received forged(pair[1], 16, 4);
    CHECK(forged.credentials(got));
    CHECK(got.pid == child && got.uid == 1234 && got.gid == 4321);
    other.pid = 0x3fffffff;
    CHECK_ERRNO(send_credentials(pair[0], other), ESRCH);
    run_in_child([&] {
        CHECK_OK(setresgid(10, 11, 12));
        CHECK_OK(setresuid(20, 21, 22));
        CHECK_ERRNO(send_credentials(pair[0], {child, 20, 10}), EPERM);
        CHECK_ERRNO(send_credentials(pair[0], {getpid(), 0, 10}), EPERM);
        CHECK_ERRNO(send_credentials(pair[0], {getpid(), 20, 0}), EPERM);
        CHECK_EQ(send_credentials(pair[0], {getpid(), 22, 11}), 1);
        CHECK_EQ(write(pair[0], "x", 1), 1); // the real ones
    });
    Received chosen(pair[1], 16, 4), real(pair[1], 16, 4);
    CHECK(chosen.credentials(got) && got.uid == 22 && got.gid == 11);
    CHECK(real.credentials(got) && got.uid == 20 && got.gid == 10);
    end_child(child);
    // With files: both, credentials first.
    CHECK_EQ(send_files(pair[0], "x", {0}), 1);
    Received both(pair[1], 16, 4);
    int fd[4];
    CHECK(both.credentials(got));
    CHECK_EQ(both.files(fd), 1);
    close(fd[0]);
    // A datagram socket that wants credentials gets a name when it sends.
    UnixAddress shown;
    CHECK_EQ(write(pair[1], "x", 1), 1);
    CHECK_OK(getsockname(pair[1], shown.get(), &shown.length));
    CHECK_EQ(shown.length, 2u + 6);
    // A stream doesn't join the bytes of two senders.
    SocketPair stream;
    CHECK_OK(set_option(stream[1], SO_PASSCRED, 1));
    CHECK_EQ(write(stream[0], "mine", 4), 4);
    run_in_child([&] { CHECK_EQ(write(stream[0], "child's", 7), 7); });
    Received mine(stream[1], 16, 4), childs(stream[1], 16, 4);
    CHECK_EQ(mine.size, 4);
    CHECK_EQ(childs.size, 7);
    CHECK(mine.credentials(got) && got.pid == getpid());
    CHECK(childs.credentials(got) && got.pid != getpid());
}

// SO_PASSPIDFD and SCM_PIDFD came with Linux 6.5.
static void process_descriptors() {
    SocketPair pair;
    if (set_option(pair[1], 76, 1) != 0) return;
    CHECK_EQ(write(pair[0], "x", 1), 1);
    Received in(pair[1], 16, 4);
    const cmsghdr* header = in.find(4);
    CHECK(header && header->cmsg_len == CMSG_LEN(sizeof(int)));
    int pidfd = -1;
    if (header) memcpy(&pidfd, CMSG_DATA(header), sizeof pidfd);
    CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    char name[64], text[512] = {}, wanted[32];
    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", pidfd);
    const int info = open(name, O_RDONLY);
    CHECK(read(info, text, sizeof text - 1) > 0);
    snprintf(wanted, sizeof wanted, "Pid:\t%d\n", getpid());
    CHECK(strstr(text, wanted) != nullptr);
    close(info);
    close(pidfd);
}

int main() {
    one_file(SOCK_STREAM);
    one_file(SOCK_DGRAM);
    one_file(SOCK_SEQPACKET);
    in_a_stream();
    refused();
    too_many_in_flight();
    credentials();
    process_descriptors();
    return result();
}
