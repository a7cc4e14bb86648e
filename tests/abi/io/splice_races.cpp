// Four threads that splice, tee, read and write the same pipes: no byte is lost, made up or changed; and hostile
// arguments do no harm.
#include <csignal>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asleep.hpp"
#include "check.hpp"
#include "pipes.hpp"

// timeout: 120

namespace {

using check::Pipe;

constexpr size_t total = 2 << 20;

unsigned char byte_at(size_t i) { return static_cast<unsigned char>(i * 31 + (i >> 12)); }

struct Stage {
    int from = -1, to = -1;
    pthread_t thread;
};

/// Writes the sequence in pieces of changing sizes, by write(2) and vmsplice(2) in turn.
void* produce(void* argument) {
    auto& stage = *static_cast<Stage*>(argument);
    static unsigned char bytes[total];
    for (size_t i = 0; i < total; ++i) bytes[i] = byte_at(i);
    size_t done = 0;
    for (unsigned round = 1; done < total; ++round) {
        const size_t size = (round * 977u) % 9000u + 1, left = total - done < size ? total - done : size;
        iovec ranges[2] = {{bytes + done, left / 2}, {bytes + done + left / 2, left - left / 2}};
        const ssize_t moved = round % 2 ? write(stage.to, bytes + done, left) : vmsplice(stage.to, ranges, 2, 0);
        if (!CHECK_GT(moved, 0)) break;
        done += size_t(moved);
    }
    close(stage.to);
    return nullptr;
}

/// Moves on what comes, in sizes that cut pages.
void* pass_on(void* argument) {
    auto& stage = *static_cast<Stage*>(argument);
    for (unsigned round = 1;; ++round) {
        const ssize_t moved = splice(stage.from, nullptr, stage.to, nullptr, (round * 1543u) % 20000u + 1, 0);
        if (!CHECK_GE(moved, 0) || moved == 0) break;
    }
    close(stage.to);
    return nullptr;
}

/// Producer, pipe, mover, socket, mover, pipe, reader.
void check_chain() {
    Pipe first(0), last(0);
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    Stage stages[3] = {{-1, first.writer(), {}}, {first.reader(), ends[0], {}}, {ends[1], last.writer(), {}}};
    first.ends[1] = last.ends[1] = -1; // the stages close them
    pthread_create(&stages[0].thread, nullptr, produce, &stages[0]);
    pthread_create(&stages[1].thread, nullptr, pass_on, &stages[1]);
    pthread_create(&stages[2].thread, nullptr, pass_on, &stages[2]);
    size_t at = 0, wrong = 0;
    for (;;) {
        unsigned char bytes[5000];
        const ssize_t got = read(last.reader(), bytes, sizeof bytes);
        if (!CHECK_GE(got, 0) || got == 0) break;
        for (ssize_t i = 0; i < got; ++i) wrong += bytes[i] != byte_at(at++);
    }
    CHECK_EQ(at, total);
    CHECK_EQ(wrong, 0u);
    for (Stage& stage : stages) pthread_join(stage.thread, nullptr);
    close(ends[1]);
}

struct Shared {
    Pipe from{0}, to{0};
    std::atomic<long> moved{0}, arrived{0}, taken{0};
};

/// Everybody takes from one pipe in another way; together they take each byte once.
void check_many_takers() {
    static Shared* all;
    Shared shared;
    all = &shared;
    pthread_t takers[4];
    void* (*const ways[])(void*) = {
        [](void*) -> void* {
            ssize_t got;
            while ((got = splice(all->from.reader(), nullptr, all->to.writer(), nullptr, 3000, 0)) > 0)
                all->moved += got;
            return nullptr;
        },
        [](void*) -> void* {
            char bytes[700];
            ssize_t got;
            while ((got = read(all->from.reader(), bytes, sizeof bytes)) > 0) all->taken += got;
            return nullptr;
        },
        [](void*) -> void* {
            const int null = open("/dev/null", O_WRONLY);
            ssize_t got;
            while ((got = splice(all->from.reader(), nullptr, null, nullptr, 5000, 0)) > 0) all->taken += got;
            close(null);
            return nullptr;
        },
        [](void*) -> void* {
            char bytes[10000];
            ssize_t got;
            while ((got = read(all->to.reader(), bytes, sizeof bytes)) > 0) all->arrived += got;
            return nullptr;
        },
    };
    for (int i = 0; i < 4; ++i) pthread_create(&takers[i], nullptr, ways[i], nullptr);
    long sent = 0;
    char bytes[6000] = "";
    for (int round = 0; round < 1500; ++round) {
        const ssize_t put = write(shared.from.writer(), bytes, size_t(round * 37 % 6000 + 1));
        sent += put > 0 ? put : 0;
    }
    shared.from.close_writer();
    for (int i = 0; i < 3; ++i) pthread_join(takers[i], nullptr);
    shared.to.close_writer();
    pthread_join(takers[3], nullptr);
    CHECK_EQ(shared.arrived.load(), shared.moved.load());
    CHECK_EQ(shared.taken + shared.moved, sent);
}

/// Two pipes that are moved, copied, resized and emptied both ways at once.
void check_crossing() {
    static Pipe* pipes[2];
    Pipe a, b;
    pipes[0] = &a, pipes[1] = &b;
    pthread_t threads[4];
    for (long i = 0; i < 4; ++i)
        pthread_create(
            &threads[i], nullptr,
            [](void* number) -> void* {
                const Pipe &from = *pipes[long(number) % 2], &to = *pipes[(long(number) + 1) % 2];
                char bytes[5000] = "";
                for (int round = 0; round < 3000; ++round) {
                    switch ((round + long(number)) % 5) {
                    case 0:
                        (void)!write(from.writer(), bytes, size_t(round % 5000));
                        break;
                    case 1:
                        splice(from.reader(), nullptr, to.writer(), nullptr, 6000, 0);
                        break;
                    case 2:
                        tee(from.reader(), to.writer(), 6000, 0);
                        break;
                    case 3:
                        (void)!read(to.reader(), bytes, sizeof bytes);
                        break;
                    default:
                        fcntl(to.writer(), F_SETPIPE_SZ, 4096 << (round % 7));
                    }
                }
                return nullptr;
            },
            reinterpret_cast<void*>(i));
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    char bytes[5000];
    for (const Pipe* pipe : pipes)
        while (read(pipe->reader(), bytes, sizeof bytes) > 0) {
        }
    a.put("still works");
    CHECK_EQ(splice(a.reader(), nullptr, b.writer(), nullptr, 100, 0), 11);
    b.expect("still works");
}

/// Calls with anything for arguments, until they have been made often enough.
void check_hostile() {
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGPIPE, SIG_IGN);
        alarm(60);
        Pipe a, b;
        int ends[2];
        (void)!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends);
        const int fds[] = {a.reader(),
                           a.writer(),
                           b.reader(),
                           b.writer(),
                           ends[0],
                           ends[1],
                           open("/dev/zero", O_RDWR),
                           open("splice_hostile", O_RDWR | O_CREAT, 0600),
                           open("/proc/self/status", O_RDONLY),
                           -1};
        auto* memory =
            static_cast<char*>(mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        mprotect(memory + 32768, 8192, PROT_NONE);
        unsigned long seed = 12345;
        const auto next = [&](unsigned long range) {
            seed = seed * 6364136223846793005ul + 1442695040888963407ul;
            return (seed >> 33) % range;
        };
        const unsigned long sizes[] = {0, 1, 4095, 4096, 4097, 65536, 1ul << 31, ~0ul, 1ul << 63, 17};
        for (int round = 0; round < 20000; ++round) {
            const int in = fds[next(10)], out = fds[next(10)];
            const unsigned long size = sizes[next(10)];
            const unsigned flags = SPLICE_F_NONBLOCK | unsigned(next(3) ? next(16) : next(1 << 20));
            auto* first = reinterpret_cast<loff_t*>(next(3) ? nullptr : memory + next(65536));
            auto* second = reinterpret_cast<loff_t*>(next(3) ? nullptr : memory + next(65536));
            if (first && next(2)) first = reinterpret_cast<loff_t*>(~0ul << next(64));
            switch (next(3)) {
            case 0:
                syscall(SYS_splice, in, first, out, second, size, flags);
                break;
            case 1:
                syscall(SYS_tee, in, out, size, flags);
                break;
            default: {
                iovec ranges[9];
                for (iovec& range : ranges) range = {memory + next(70000), next(5) ? next(20000) : sizes[next(10)]};
                syscall(SYS_vmsplice, in, next(9) ? ranges : reinterpret_cast<iovec*>(sizes[next(10)]),
                        next(9) ? next(10) : sizes[next(10)], flags);
            }
            }
            if (round % 50 == 0) (void)!ftruncate(fds[7], 100);
        }
        _exit(0);
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    unlink("splice_hostile");
}

} // namespace

int main() {
    check_chain();
    check_many_takers();
    check_crossing();
    check_hostile();
    return check::result();
}
