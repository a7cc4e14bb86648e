// splice(2) from pipe to pipe, tee(2) and vmsplice(2): what moves, who waits, and what ends the waiting.
#include <csignal>
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asleep.hpp"
#include "check.hpp"
#include "pipes.hpp"

namespace {

using check::Pipe;

ssize_t move(const Pipe& from, const Pipe& to, size_t count, unsigned flags = 0) {
    return splice(from.reader(), nullptr, to.writer(), nullptr, count, flags);
}

int bytes_in(const Pipe& pipe) {
    int count = -1;
    CHECK_OK(ioctl(pipe.reader(), FIONREAD, &count));
    return count;
}

void check_moving() {
    Pipe from, to;
    from.put("hello ");
    CHECK_EQ(move(from, to, 2), 2);
    from.put("world");
    to.put("-");
    CHECK_EQ(move(from, to, 100), 9);
    to.expect("he-llo world");
    CHECK_ERRNO(move(from, to, 1), EAGAIN);
    from.put("x");
    CHECK_EQ(move(from, to, 1), 1);
    to.put("y");
    to.expect("xy");

    // What was cut in two may be added to on both sides.
    from.put("abc");
    CHECK_EQ(move(from, to, 1), 1);
    from.put("def");
    to.put("-");
    to.expect("a-");
    from.expect("bcdef");

    // A pipe that is full of small pieces.
    const int zero = open("/dev/zero", O_RDONLY);
    for (int i = 0; i < 16; ++i) CHECK_EQ(splice(zero, nullptr, to.writer(), nullptr, 1, 0), 1);
    CHECK_ERRNO(splice(zero, nullptr, to.writer(), nullptr, 1, 0), EAGAIN);
    from.put("abc");
    CHECK_ERRNO(move(from, to, 3), EAGAIN);
    CHECK_EQ(bytes_in(to), 16);
    CHECK_ERRNO(fcntl(to.writer(), F_SETPIPE_SZ, int(sysconf(_SC_PAGESIZE))), EBUSY);
    CHECK_EQ(fcntl(to.writer(), F_SETPIPE_SZ, int(32 * sysconf(_SC_PAGESIZE))), 32 * sysconf(_SC_PAGESIZE));
    CHECK_EQ(move(from, to, 3), 3);
    CHECK_EQ(bytes_in(to), 19);
    close(zero);
}

void check_packets() {
    Pipe from(O_NONBLOCK | O_DIRECT), to;
    from.put("one");
    from.put("two");
    CHECK_EQ(move(from, to, 10), 6);
    to.expect("one");
    to.expect("two");
}

void check_ends() {
    signal(SIGPIPE, SIG_IGN);
    Pipe to;
    {
        Pipe from;
        from.put("left");
        from.close_writer();
        CHECK_EQ(move(from, to, 10), 4);
        CHECK_EQ(move(from, to, 10), 0);
        CHECK_EQ(tee(from.reader(), to.writer(), 10, 0), 0);
        CHECK_EQ(splice(from.reader(), nullptr, open("/dev/null", O_WRONLY | O_CLOEXEC), nullptr, 10, 0), 0);
    }
    Pipe from;
    to.close_reader();
    CHECK_ERRNO(move(from, to, 1), EAGAIN);
    from.put("x");
    CHECK_ERRNO(move(from, to, 1), EPIPE);
    CHECK_ERRNO(tee(from.reader(), to.writer(), 1, 0), EPIPE);
    const int zero = open("/dev/zero", O_RDONLY);
    CHECK_ERRNO(splice(zero, nullptr, to.writer(), nullptr, 1, 0), EPIPE);
    iovec one = {const_cast<char*>("x"), 1};
    CHECK_ERRNO(vmsplice(to.writer(), &one, 1, 0), EPIPE);
    signal(SIGPIPE, SIG_DFL);
    // Each of them comes with the signal.
    for (int call = 0; call < 4; ++call) {
        const pid_t child = fork();
        if (child == 0) {
            if (call == 0) move(from, to, 1);
            if (call == 1) tee(from.reader(), to.writer(), 1, 0);
            if (call == 2) splice(zero, nullptr, to.writer(), nullptr, 1, 0);
            if (call == 3) vmsplice(to.writer(), &one, 1, 0);
            _exit(0);
        }
        int status = 0;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
    }
    from.expect("x");
    close(zero);
}

void check_tee() {
    Pipe from, to;
    CHECK_ERRNO(tee(from.reader(), to.writer(), 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERRNO(tee(from.reader(), to.writer(), 1, 0), EAGAIN); // by O_NONBLOCK
    CHECK_ERRNO(tee(from.reader(), from.writer(), 1, 0), EINVAL);
    CHECK_ERRNO(tee(from.reader(), to.writer(), 1, 16), EINVAL);
    CHECK_ERRNO(tee(from.writer(), to.reader(), 1, 0), EBADF);
    CHECK_ERRNO(tee(from.reader(), -1, 1, 0), EBADF);
    CHECK_EQ(tee(-1, -1, 0, 0), 0);
    const int zero = open("/dev/zero", O_RDWR);
    CHECK_ERRNO(tee(zero, to.writer(), 1, 0), EINVAL);
    CHECK_ERRNO(tee(from.reader(), zero, 1, 0), EINVAL);
    close(zero);

    from.put("hello");
    CHECK_EQ(tee(from.reader(), to.writer(), 3, 0), 3);
    CHECK_EQ(tee(from.reader(), to.writer(), 30, 0), 5);
    from.put(" more");
    to.put("!");
    to.expect("helhello!");
    from.expect("hello more");
    // The copy lives on when the first is gone, and the page has come back into use.
    from.put("first");
    CHECK_EQ(tee(from.reader(), to.writer(), 30, 0), 5);
    from.expect("first");
    from.put("other");
    from.put("words");
    to.expect("first");
    from.expect("otherwords");
}

void check_memory() {
    Pipe pipe;
    char bytes[100] = "";
    iovec word = {const_cast<char*>("word"), 4}, bad = {reinterpret_cast<void*>(8), 10}, to = {bytes, 50};
    const int file = open("/dev/zero", O_RDWR);
    CHECK_ERRNO(vmsplice(pipe.writer(), &word, 1, 16), EINVAL);
    CHECK_ERRNO(vmsplice(file, &word, 1, 0), EBADF);
    CHECK_ERRNO(vmsplice(-1, &word, 1, 0), EBADF);
    CHECK_ERRNO(vmsplice(-1, &word, 0, 0), EBADF);
    CHECK_EQ(vmsplice(pipe.writer(), &word, 0, 0), 0);
    CHECK_EQ(vmsplice(file, &word, 0, 0), 0);
    CHECK_ERRNO(vmsplice(pipe.writer(), &word, 1025, 0), EINVAL);
    CHECK_ERRNO(vmsplice(pipe.writer(), &word, size_t(-1), 0), EINVAL);
    CHECK_ERRNO(vmsplice(pipe.writer(), reinterpret_cast<iovec*>(8), 1, 0), EFAULT);
    CHECK_ERRNO(vmsplice(pipe.writer(), &bad, 1, 0), EFAULT);
    iovec negative = {bytes, size_t(-1)}, nothing = {bytes, 0};
    CHECK_ERRNO(vmsplice(pipe.writer(), &negative, 1, 0), EINVAL);
    CHECK_EQ(vmsplice(pipe.writer(), &nothing, 1, 0), 0);
    iovec both[2] = {word, bad};
    CHECK_EQ(vmsplice(pipe.writer(), both, 2, 0), 4);
    pipe.expect("word");
    close(file);

    CHECK_ERRNO(vmsplice(pipe.reader(), &to, 1, SPLICE_F_NONBLOCK), EAGAIN);
    pipe.put("from a pipe");
    CHECK_ERRNO(vmsplice(pipe.reader(), &bad, 1, 0), EFAULT);
    iovec parts[2] = {{bytes, 5}, {bytes + 20, 30}};
    CHECK_EQ(vmsplice(pipe.reader(), parts, 2, 0), 11);
    CHECK_EQ(memcmp(bytes, "from ", 5), 0);
    CHECK_STREQ(bytes + 20, "a pipe");

    // A pipe full, no more, even of one that blocks.
    const size_t page = size_t(sysconf(_SC_PAGESIZE)), size = 32 * page;
    auto* memory = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    memset(memory, 'm', size);
    Pipe blocking(0);
    iovec all = {memory, size};
    CHECK_EQ(vmsplice(blocking.writer(), &all, 1, SPLICE_F_GIFT), ssize_t(16 * page));
    CHECK_ERRNO(vmsplice(blocking.writer(), &all, 1, SPLICE_F_NONBLOCK), EAGAIN);
    // The memory may go while its bytes are in the pipe.
    CHECK_OK(munmap(memory, size));
    memory = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    all = {memory, size};
    CHECK_EQ(vmsplice(blocking.reader(), &all, 1, 0), ssize_t(16 * page));
    size_t wrong = 0;
    for (size_t i = 0; i < size; ++i) wrong += memory[i] != (i < 16 * page ? 'm' : 0);
    CHECK_EQ(wrong, 0u);
    munmap(memory, size);
}

std::atomic<int> signals_seen{0};

/// A call in a thread, which is seen asleep in it before something ends that.
struct Caller {
    explicit Caller(ssize_t (*what)(const Pipe&, const Pipe&), const Pipe& a, const Pipe& b)
        : call(what), first(a), second(b) {
        pthread_create(&thread, nullptr, run, this);
        while (!tid) check::nap();
        CHECK(check::wait_asleep(tid));
    }
    static void* run(void* argument) {
        auto& self = *static_cast<Caller*>(argument);
        self.tid = pid_t(syscall(SYS_gettid));
        self.returned = self.call(self.first, self.second);
        self.error = errno;
        return nullptr;
    }
    ssize_t join() {
        pthread_join(thread, nullptr);
        return returned;
    }
    ssize_t (*const call)(const Pipe&, const Pipe&);
    const Pipe& first;
    const Pipe& second;
    pthread_t thread;
    std::atomic<pid_t> tid{0};
    ssize_t returned = 0;
    int error = 0;
};

ssize_t move_some(const Pipe& from, const Pipe& to) { return move(from, to, 100); }
ssize_t tee_some(const Pipe& from, const Pipe& to) { return tee(from.reader(), to.writer(), 100, 0); }
ssize_t to_null(const Pipe& from, const Pipe&) {
    static const int null = open("/dev/null", O_WRONLY);
    return splice(from.reader(), nullptr, null, nullptr, 100, 0);
}
ssize_t from_zero(const Pipe&, const Pipe& to) {
    static const int zero = open("/dev/zero", O_RDONLY);
    return splice(zero, nullptr, to.writer(), nullptr, 100, 0);
}
ssize_t to_memory(const Pipe& from, const Pipe&) {
    char bytes[100];
    iovec range = {bytes, sizeof bytes};
    return vmsplice(from.reader(), &range, 1, 0);
}
ssize_t from_memory(const Pipe&, const Pipe& to) {
    iovec range = {const_cast<char*>("0123456789"), 10};
    return vmsplice(to.writer(), &range, 1, 0);
}

void check_waiting() {
    static constexpr ssize_t (*waiting_for_data[])(const Pipe&, const Pipe&) = {move_some, tee_some, to_null,
                                                                                to_memory};
    for (const auto call : waiting_for_data) {
        Pipe from(0), to(0);
        Caller caller(call, from, to);
        from.put("data");
        CHECK_EQ(caller.join(), 4);
    }
    for (const auto call : waiting_for_data) {
        Pipe from(0), to(0);
        Caller caller(call, from, to);
        from.close_writer();
        CHECK_EQ(caller.join(), 0);
    }
    for (const auto call : {move_some, tee_some, from_zero, from_memory}) {
        Pipe from(0), to(0);
        from.put("data");
        const int zero = open("/dev/zero", O_RDONLY);
        while (splice(zero, nullptr, to.writer(), nullptr, 1, SPLICE_F_NONBLOCK) == 1) {
        }
        close(zero);
        Caller caller(call, from, to);
        char bytes[16];
        CHECK_GT(read(to.reader(), bytes, sizeof bytes), 0);
        CHECK_GT(caller.join(), 0);
    }
    // A signal ends it, or not (signal(7)).
    for (const int flags : {0, SA_RESTART})
        for (const auto call : waiting_for_data) {
            Pipe from(0), to(0);
            check::handle(SIGUSR1, [](int) { signals_seen++; }, flags);
            const int before = signals_seen;
            Caller caller(call, from, to);
            pthread_kill(caller.thread, SIGUSR1);
            CHECK(check::eventually([&] { return signals_seen > before; }));
            if (flags == SA_RESTART) {
                CHECK(check::wait_asleep(caller.tid));
                from.put("data");
                CHECK_EQ(caller.join(), 4);
            } else {
                CHECK_EQ(caller.join(), -1);
                CHECK_EQ(caller.error, EINTR);
            }
        }
}

/// While bytes of a pipe wait to be written elsewhere, the pipe itself can be used.
void check_stuck_target() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    char bytes[4096] = "";
    while (send(ends[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
    }
    static int target;
    target = ends[0];
    Pipe pipe(0), unused;
    pipe.put("stuck");
    Caller caller([](const Pipe& from, const Pipe&) { return splice(from.reader(), nullptr, target, nullptr, 100, 0); },
                  pipe, unused);
    check::handle(SIGUSR1, [](int) { signals_seen++; });
    const int before = signals_seen;
    pthread_kill(caller.thread, SIGUSR1);
    CHECK(check::eventually([&] { return signals_seen > before; }));
    CHECK_EQ(caller.join(), -1);
    CHECK_EQ(caller.error, EINTR);
    pipe.put("!");
    pipe.expect("stuck!");
    close(ends[0]), close(ends[1]);
}

} // namespace

int main() {
    check_moving();
    check_packets();
    check_ends();
    check_tee();
    check_memory();
    check_waiting();
    check_stuck_target();
    return check::result();
}
