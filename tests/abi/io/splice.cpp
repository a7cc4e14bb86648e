// splice(2) between pipes and other files: which files can, offsets, limits, errors; sendfile(2) into a pipe.
#include <csignal>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <unistd.h>

#include "asleep.hpp"
#include "check.hpp"
#include "pipes.hpp"

namespace {

using check::Pipe;

constexpr char greeting[] = "hello world, this is me";

int make_file(const char* name, int flags = 0) {
    const int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | flags, 0600);
    REQUIRE(fd >= 0);
    CHECK_EQ(pwrite(fd, greeting, strlen(greeting), 0), ssize_t(strlen(greeting)));
    return fd;
}

ssize_t fill(int from, const Pipe& to, size_t count = 10) {
    return splice(from, nullptr, to.writer(), nullptr, count, SPLICE_F_NONBLOCK);
}
ssize_t drain(const Pipe& from, int to, size_t count = 10) {
    return splice(from.reader(), nullptr, to, nullptr, count, SPLICE_F_NONBLOCK);
}

void check_files() {
    Pipe pipe;
    const int file = make_file("splice_file");
    CHECK_EQ(fill(file, pipe), 10);
    pipe.expect("hello worl");
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 10);
    loff_t at = 6;
    CHECK_EQ(splice(file, &at, pipe.writer(), nullptr, 5, 0), 5);
    CHECK_EQ(at, 11);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 10);
    pipe.expect("world");
    at = 20;
    CHECK_EQ(splice(file, &at, pipe.writer(), nullptr, 100, 0), ssize_t(strlen(greeting)) - 20);
    CHECK_EQ(at, loff_t(strlen(greeting)));
    CHECK_EQ(splice(file, &at, pipe.writer(), nullptr, 100, 0), 0);
    at = 1000;
    CHECK_EQ(splice(file, &at, pipe.writer(), nullptr, 100, 0), 0);
    pipe.expect(" me");

    pipe.put("HELLO");
    at = 0;
    CHECK_EQ(splice(pipe.reader(), nullptr, file, &at, 100, 0), 5);
    CHECK_EQ(at, 5);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 10);
    pipe.put("LD!");
    CHECK_EQ(drain(pipe, file), 3);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 13);
    char text[100] = "";
    CHECK_EQ(pread(file, text, sizeof text, 0), ssize_t(strlen(greeting)));
    CHECK_STREQ(text, "HELLO worlLD!this is me");

    // What is in the pipe stays when the file is changed by truncation and removal.
    CHECK_OK(lseek(file, 0, SEEK_SET));
    CHECK_EQ(fill(file, pipe), 10);
    CHECK_OK(ftruncate(file, 0));
    CHECK_OK(unlink("splice_file"));
    close(file);
    char gone[11] = "";
    CHECK_EQ(read(pipe.reader(), gone, 10), 10);
}

void check_large_files() {
    constexpr size_t size = 1 << 20;
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    const int file = open("splice_large", O_RDWR | O_CREAT | O_TRUNC, 0600);
    const int copy = open("splice_copy", O_RDWR | O_CREAT | O_TRUNC, 0600);
    auto* bytes = static_cast<unsigned char*>(malloc(size));
    auto* found = static_cast<unsigned char*>(malloc(size));
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<unsigned char>(i * 7 + i / 4096);
    CHECK_EQ(write(file, bytes, size), ssize_t(size));
    Pipe pipe;
    CHECK_OK(lseek(file, 100, SEEK_SET));
    // As many pages as the pipe has room for, begun in the middle of one.
    CHECK_EQ(fill(file, pipe, size), ssize_t(16 * page - 100));
    CHECK_ERRNO(fill(file, pipe, size), EAGAIN);
    CHECK_EQ(drain(pipe, copy, size), ssize_t(16 * page - 100));
    CHECK_OK(fcntl(pipe.writer(), F_SETPIPE_SZ, int(64 * page)));
    for (;;) {
        const ssize_t moved = fill(file, pipe, size);
        if (!CHECK_GE(moved, 0) || moved == 0) break;
        CHECK_EQ(drain(pipe, copy, size_t(moved)), moved);
    }
    CHECK_EQ(lseek(file, 0, SEEK_CUR), off_t(size));
    CHECK_EQ(pread(copy, found, size, 0), ssize_t(size) - 100);
    CHECK_EQ(memcmp(found, bytes + 100, size - 100), 0);

    // A hole is zeros, and the bytes behind the end of a file are not in the pipe.
    CHECK_OK(ftruncate(copy, 0));
    CHECK_OK(ftruncate(copy, off_t(page + 5)));
    CHECK_OK(lseek(copy, 0, SEEK_SET));
    CHECK_EQ(fill(copy, pipe, size), ssize_t(page + 5));
    memset(found, 1, size);
    CHECK_EQ(read(pipe.reader(), found, size), ssize_t(page + 5));
    size_t others = 0;
    for (size_t i = 0; i < page + 5; ++i) others += found[i] != 0;
    CHECK_EQ(others, 0u);
    CHECK_EQ(found[page + 5], 1);
    free(bytes), free(found);
    close(file), close(copy);
    unlink("splice_large"), unlink("splice_copy");
}

void check_sockets() {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends) == 0);
        Pipe pipe;
        CHECK_ERRNO(fill(ends[0], pipe), EAGAIN);
        CHECK_EQ(send(ends[1], "message", 7, 0), 7);
        CHECK_EQ(fill(ends[0], pipe, 100), 7);
        CHECK_EQ(drain(pipe, ends[0], 100), 7);
        char text[100] = "";
        CHECK_EQ(recv(ends[1], text, sizeof text, 0), 7);
        CHECK_STREQ(text, "message");
        loff_t at = 0;
        CHECK_ERRNO(splice(ends[0], &at, pipe.writer(), nullptr, 1, 0), EINVAL);
        pipe.put("x");
        CHECK_ERRNO(splice(pipe.reader(), nullptr, ends[0], &at, 1, 0), EINVAL);
        // A message whose receiver is gone stays in the pipe.
        close(ends[1]);
        signal(SIGPIPE, SIG_IGN);
        CHECK_EQ(drain(pipe, ends[0]), -1);
        pipe.expect("x");
        signal(SIGPIPE, SIG_DFL);
        if (type == SOCK_STREAM) CHECK_EQ(fill(ends[0], pipe), 0);
        close(ends[0]);
    }
    // SPLICE_F_NONBLOCK reaches a socket that would block.
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    Pipe pipe(0);
    CHECK_ERRNO(fill(ends[0], pipe), EAGAIN);
    close(ends[0]), close(ends[1]);
}

void check_terminals() {
    const int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    REQUIRE(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    const int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK);
    termios mode;
    CHECK_OK(tcgetattr(slave, &mode));
    cfmakeraw(&mode);
    CHECK_OK(tcsetattr(slave, TCSANOW, &mode));
    Pipe pipe;
    CHECK_ERRNO(fill(slave, pipe), EAGAIN);
    pipe.put("typed");
    CHECK_EQ(drain(pipe, master), 5);
    CHECK(check::eventually([&] { return fill(slave, pipe) == 5; }));
    pipe.expect("typed");
    close(slave), close(master);
}

void check_devices() {
    Pipe pipe;
    const int zero = open("/dev/zero", O_RDWR), null = open("/dev/null", O_RDWR), full = open("/dev/full", O_RDWR);
    CHECK_EQ(fill(zero, pipe), 10);
    char bytes[20] = "aaaaaaaaaaaaaaa";
    CHECK_EQ(read(pipe.reader(), bytes, sizeof bytes), 10);
    CHECK_EQ(memcmp(bytes, "\0\0\0\0\0\0\0\0\0\0aaaaa", 15), 0);
    CHECK_EQ(fill(full, pipe), 10);
    CHECK_EQ(drain(pipe, null), 10);
    pipe.put("12345");
    CHECK_ERRNO(drain(pipe, full), EINVAL);
    CHECK_EQ(drain(pipe, zero, 3), 3);
    loff_t at = 7;
    CHECK_EQ(splice(pipe.reader(), nullptr, null, &at, 5, 0), 2);
    const int random = open("/dev/urandom", O_RDONLY);
    CHECK_EQ(fill(random, pipe), 10);
    CHECK_EQ(drain(pipe, null), 10);
    const int log = open("/dev/kmsg", O_RDWR | O_NONBLOCK);
    CHECK_ERRNO(fill(log, pipe), EINVAL);
    const int text = open("/proc/meminfo", O_RDONLY);
    CHECK_EQ(fill(text, pipe, 9), 9);
    pipe.expect("MemTotal:");
    for (const int fd : {zero, null, full, random, log, text}) close(fd);
}

void check_refusals() {
    Pipe pipe, other;
    sigset_t none;
    sigemptyset(&none);
    const int event = eventfd(1, EFD_NONBLOCK), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK),
              epoll = epoll_create1(0), signals = signalfd(-1, &none, SFD_NONBLOCK);
    pipe.put("12345678");
    for (const int fd : {event, timer, epoll, signals}) {
        CHECK_ERRNO(fill(fd, other), EINVAL);
        CHECK_ERRNO(drain(pipe, fd), EINVAL);
        close(fd);
    }
    const int folder = open(".", O_RDONLY), file = make_file("splice_refused"), place = open("splice_refused", O_PATH),
              append = open("splice_refused", O_WRONLY | O_APPEND), read_only = open("splice_refused", O_RDONLY);
    CHECK_ERRNO(fill(folder, other), EINVAL);
    CHECK_ERRNO(fill(place, other), EBADF);
    CHECK_ERRNO(drain(pipe, place), EBADF);
    CHECK_ERRNO(drain(pipe, append), EINVAL);
    CHECK_ERRNO(drain(pipe, read_only), EBADF);
    CHECK_ERRNO(fill(append, other), EBADF);
    CHECK_ERRNO(fill(-1, other), EBADF);
    CHECK_ERRNO(drain(pipe, -1), EBADF);
    CHECK_EQ(splice(-1, nullptr, -1, nullptr, 0, 0), 0);
    CHECK_EQ(splice(file, nullptr, other.writer(), nullptr, 0, 16), 0);
    CHECK_ERRNO(splice(file, nullptr, other.writer(), nullptr, 1, 16), EINVAL);
    CHECK_ERRNO(splice(file, nullptr, file, nullptr, 1, 0), EINVAL);
    CHECK_ERRNO(splice(other.writer(), nullptr, pipe.reader(), nullptr, 1, 0), EBADF);
    CHECK_ERRNO(splice(pipe.reader(), nullptr, pipe.writer(), nullptr, 1, 0), EINVAL);

    loff_t at = 0;
    CHECK_ERRNO(splice(pipe.reader(), &at, other.writer(), nullptr, 1, 0), ESPIPE);
    CHECK_ERRNO(splice(pipe.reader(), nullptr, other.writer(), &at, 1, 0), ESPIPE);
    CHECK_ERRNO(splice(pipe.reader(), &at, read_only, nullptr, 1, 0), ESPIPE);
    CHECK_ERRNO(splice(file, reinterpret_cast<loff_t*>(8), other.writer(), nullptr, 1, 0), EFAULT);
    at = -1;
    CHECK_ERRNO(splice(file, &at, other.writer(), nullptr, 1, 0), EINVAL);
    CHECK_ERRNO(splice(pipe.reader(), nullptr, file, &at, 1, 0), EINVAL);
    at = 0x7fffffffffffffff;
    CHECK_ERRNO(splice(pipe.reader(), nullptr, file, &at, 1, 0), EINVAL);
    at = 0;
    CHECK_ERRNO(splice(file, &at, other.writer(), nullptr, size_t(-1), 0), EINVAL);
    at = loff_t{1} << 61;
    CHECK_EQ(splice(file, &at, other.writer(), nullptr, 1, 0), 0);
    for (const int fd : {folder, place, append, read_only, file}) close(fd);
    unlink("splice_refused");

    const int sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
    CHECK_EQ(write(sealed, "abc", 3), 3);
    CHECK_OK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE));
    CHECK_ERRNO(drain(pipe, sealed), EPERM);
    CHECK_OK(lseek(sealed, 0, SEEK_SET));
    CHECK_EQ(fill(sealed, other), 3);
    close(sealed);
    pipe.expect("12345678");
}

void check_size_limit() {
    const int file = open("splice_limited", O_RDWR | O_CREAT | O_TRUNC, 0600);
    rlimit old, limit;
    getrlimit(RLIMIT_FSIZE, &old);
    limit = {4, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &limit));
    Pipe pipe;
    pipe.put("123456");
    CHECK_EQ(drain(pipe, file), 4);
    CHECK_ERRNO(drain(pipe, file), EFBIG);
    pipe.expect("56");
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &old));
    signal(SIGXFSZ, SIG_DFL);
    close(file);
    unlink("splice_limited");
}

void check_sendfile() {
    Pipe pipe;
    const int file = make_file("splice_sent"), zero = open("/dev/zero", O_RDWR);
    CHECK_EQ(sendfile(pipe.writer(), file, nullptr, 5), 5);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 5);
    off_t at = 6;
    CHECK_EQ(sendfile(pipe.writer(), file, &at, 5), 5);
    CHECK_EQ(at, 11);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 5);
    pipe.expect("helloworld");
    CHECK_EQ(sendfile(pipe.writer(), zero, nullptr, 4), 4);
    char bytes[10];
    CHECK_EQ(read(pipe.reader(), bytes, sizeof bytes), 4);
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK_EQ(write(ends[1], "stream", 6), 6);
    CHECK_EQ(sendfile(pipe.writer(), ends[0], nullptr, 10), 6);
    pipe.expect("stream");
    at = 0;
    CHECK_ERRNO(sendfile(pipe.writer(), ends[0], &at, 10), ESPIPE);
    Pipe other;
    other.put("abc");
    CHECK_ERRNO(sendfile(pipe.writer(), other.reader(), nullptr, 3), EINVAL);
    CHECK_ERRNO(sendfile(file, other.reader(), nullptr, 3), EINVAL);
    CHECK_ERRNO(sendfile(ends[0], other.reader(), nullptr, 3), EINVAL);
    CHECK_EQ(sendfile(pipe.writer(), file, nullptr, 0), 0);
    // Full.
    while (sendfile(pipe.writer(), zero, nullptr, 1 << 20) > 0) {
    }
    CHECK_ERRNO(sendfile(pipe.writer(), file, nullptr, 1), EAGAIN);
    close(ends[0]), close(ends[1]), close(file), close(zero);
    unlink("splice_sent");
}

} // namespace

int main() {
    check_files();
    check_large_files();
    check_sockets();
    check_terminals();
    check_devices();
    check_refusals();
    check_size_limit();
    check_sendfile();
    return check::result();
}
