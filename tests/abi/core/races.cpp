// Core dumps while other threads are busy: running, forking, mapping, waiting on futexes, exiting and crashing too.
// timeout: 180
#include <climits>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "core_file.hpp"
#include "memory.hpp"

using namespace core_file;
using memory::page;

namespace {

using Body = void* (*)(void*);

struct Progress {
    std::atomic<int> begun;
    std::atomic<unsigned> counts[8];
};
Progress* progress;

std::atomic<unsigned>& begin(void* number) {
    ++progress->begun;
    return progress->counts[reinterpret_cast<uintptr_t>(number)];
}

void* run(void* number) {
    auto& count = begin(number);
    for (;;) ++count;
}
void* map_and_unmap(void* number) {
    auto& count = begin(number);
    for (;; ++count) {
        char* place = memory::map(16 * page);
        memset(place, 'm', 16 * page);
        munmap(place, 16 * page);
    }
}
void* fork_and_wait(void* number) {
    auto& count = begin(number);
    for (;; ++count) {
        const pid_t child = fork();
        if (child == 0) _exit(0);
        waitpid(child, nullptr, 0);
    }
}
void* vfork_and_wait(void* number) {
    auto& count = begin(number);
    for (;; ++count) {
        const pid_t child = vfork();
        if (child == 0) _exit(0);
        waitpid(child, nullptr, 0);
    }
}
void* wait_on_futex(void* number) {
    begin(number);
    static int word = 0;
    for (;;) syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0);
}
void* make_threads(void* number) {
    auto& count = begin(number);
    for (;; ++count) {
        pthread_t thread;
        if (pthread_create(&thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr) == 0)
            pthread_join(thread, nullptr);
    }
}
void* read_nothing(void* number) {
    begin(number);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    char byte;
    for (;;)
        if (read(ends[0], &byte, 1) < 0) pause();
}

/// Eight threads do `body`, the first one crashes; all of them are in the core file.
void test_busy(Body body, bool counts_exactly = true) {
    progress = check::shared<Progress>();
    auto& mark = *check::shared<char*>();
    const int status = crash([&] {
        mark = memory::map(8 * page);
        memset(mark, 'w', 8 * page);
        for (uintptr_t i = 0; i < 8; ++i) {
            pthread_t thread;
            REQUIRE(pthread_create(&thread, nullptr, body, reinterpret_cast<void*>(i)) == 0);
        }
        REQUIRE(check::eventually([] { return progress->begun >= 8; }));
        usleep(20'000); // so that they are anywhere in what they do, not at its beginning
        abort();
    });
    CHECK(dumped_by(status, SIGABRT));
    const Core core("core");
    CHECK(core.is_whole());
    const auto threads = core.threads();
    if (counts_exactly)
        CHECK_EQ(threads.size(), 9u);
    else
        CHECK_GE(threads.size(), 9u);
    for (size_t i = 0; i < threads.size(); ++i)
        for (size_t j = 0; j < i; ++j) CHECK_NE(threads[i]->pr_pid, threads[j]->pr_pid);
    const std::string written(8 * page, 'w');
    CHECK(core.holds(mark, written.data(), written.size()));
    CHECK_EQ(unlink("core"), 0);
    munmap(progress, sizeof *progress);
}

/// All of them crash at once: one core file, of one of them.
void test_all_crash() {
    for (int round = 0; round < 10; ++round) {
        const int status = crash([] {
            static pthread_barrier_t barrier;
            pthread_barrier_init(&barrier, nullptr, 8);
            for (int i = 0; i < 7; ++i) {
                pthread_t thread;
                pthread_create(
                    &thread, nullptr,
                    [](void*) -> void* {
                        pthread_barrier_wait(&barrier);
                        *static_cast<volatile int*>(nullptr) = 1;
                        return nullptr;
                    },
                    nullptr);
            }
            pthread_barrier_wait(&barrier);
            abort();
        });
        CHECK(WIFSIGNALED(status) && WCOREDUMP(status));
        CHECK(WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGSEGV);
        const Core core("core");
        CHECK(core.is_whole());
        CHECK_EQ(core.threads().size(), 8u);
        CHECK_EQ(core.threads().front()->pr_cursig, WTERMSIG(status));
        CHECK_EQ(unlink("core"), 0);
    }
}

/// While another thread ends the process, or has ended itself; the first thread may be the one that has.
void test_exits() {
    for (int round = 0; round < 20; ++round) {
        const int status = crash([&] {
            pthread_t thread;
            pthread_create(&thread, nullptr, [](void*) -> void* { abort(); }, nullptr);
            if (round % 2) usleep(useconds_t(round * 50)); // later in each round, so that either may win
            _exit(7);
        });
        const bool is_dumped = dumped_by(status, SIGABRT);
        CHECK(is_dumped || (WIFEXITED(status) && WEXITSTATUS(status) == 7));
        CHECK_EQ(exists("core"), is_dumped);
        unlink("core");
    }
    const int status = crash([] {
        pthread_t thread;
        pthread_create(
            &thread, nullptr,
            [](void*) -> void* {
                usleep(50'000); // mostly the first thread is gone by then; the result is the same if it isn't
                abort();
            },
            nullptr);
        syscall(SYS_exit, 0);
    });
    CHECK(dumped_by(status, SIGABRT));
    const Core core("core");
    CHECK(core.is_whole());
    CHECK_EQ(core.threads().size(), 1u);
    unlink("core");
}

/// Killed at any moment of it: the process goes, whatever has been written.
void test_killed() {
    for (int round = 0; round < 30; ++round) {
        const pid_t child = fork();
        if (child == 0) {
            limit_core(RLIM_INFINITY);
            char* place = memory::map(512 * page);
            memset(place, 'w', 512 * page);
            abort();
        }
        usleep(useconds_t(round * 700)); // another moment of its life in each round
        kill(child, SIGKILL);
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && (WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGKILL));
        unlink("core");
    }
}

/// Stopped before, and continued to crash.
void test_stopped() {
    const pid_t child = fork();
    if (child == 0) {
        limit_core(RLIM_INFINITY);
        raise(SIGSTOP);
        for (;;) pause();
    }
    int status;
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    kill(child, SIGQUIT);
    usleep(20'000); // time enough for what must not happen
    CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
    kill(child, SIGCONT);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(dumped_by(status, SIGQUIT));
    CHECK(Core("core").is_whole());
    unlink("core");
}

} // namespace

int main() {
    Place place;
    test_busy(run);
    test_busy(map_and_unmap);
    test_busy(fork_and_wait);
    test_busy(vfork_and_wait);
    test_busy(wait_on_futex);
    test_busy(read_nothing);
    test_busy(make_threads, false);
    test_all_crash();
    test_exits();
    test_killed();
    test_stopped();
    return check::result();
}
