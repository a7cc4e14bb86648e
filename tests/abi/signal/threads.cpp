// Signals and threads: to one thread, to any that lets it in, waited for by another, death of all, masks of new
// threads, and a storm of both kinds while threads change their masks.
#include <pthread.h>
#include <sys/syscall.h>

#include "asleep.hpp"

using namespace check;

namespace {

std::atomic<pid_t> handled_by;
std::atomic<int> handled;
void note(int) {
    handled_by = gettid();
    handled++;
}

struct Worker {
    pthread_t thread;
    std::atomic<pid_t> tid{0};
    std::atomic<bool> stop{false};
    sigset_t mask;

    static void* run(void* argument) {
        auto* self = static_cast<Worker*>(argument);
        pthread_sigmask(SIG_SETMASK, &self->mask, nullptr);
        self->tid = gettid();
        while (!self->stop) nap();
        return nullptr;
    }
    explicit Worker(const sigset_t& blocked) : mask(blocked) {
        REQUIRE(pthread_create(&thread, nullptr, run, this) == 0);
        CHECK(eventually([&] { return tid != 0; }));
    }
    ~Worker() {
        stop = true;
        pthread_join(thread, nullptr);
    }
};

int to_thread(pid_t tid, int signal) { return int(syscall(SYS_tgkill, getpid(), tid, signal)); }

void to_one_thread() {
    handle(SIGUSR1, note);
    Worker one(set_of()), two(set_of());
    for (int i = 0; i < 20; ++i) {
        const pid_t target = i % 2 ? one.tid.load() : two.tid.load();
        handled = 0;
        CHECK_OK(to_thread(target, SIGUSR1));
        CHECK(eventually([] { return handled == 1; }));
        CHECK_EQ(handled_by.load(), target);
    }
    CHECK_OK(syscall(SYS_tkill, one.tid.load(), 0));
    CHECK_ERRNO(syscall(SYS_tgkill, getppid(), one.tid.load(), 0), ESRCH);
}

void to_whoever_lets_it_in() {
    const sigset_t blocked = set_of(SIGUSR1);
    sigset_t old;
    handle(SIGUSR1, note);
    pthread_sigmask(SIG_BLOCK, &blocked, &old);
    Worker deaf(blocked), open(set_of());
    for (int i = 0; i < 20; ++i) {
        handled = 0;
        CHECK_OK(kill(getpid(), SIGUSR1));
        CHECK(eventually([] { return handled == 1; }));
        CHECK_EQ(handled_by.load(), open.tid.load());
    }
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

/// All block it: it waits for the process until one opens, and a thread's own waits for that thread alone.
void until_somebody_opens() {
    const sigset_t blocked = set_of(SIGUSR1, SIGUSR2);
    sigset_t old, pending;
    handle(SIGUSR1, note);
    pthread_sigmask(SIG_BLOCK, &blocked, &old);
    Worker deaf(blocked);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_OK(to_thread(deaf.tid, SIGUSR2));
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGUSR1));
    CHECK(!sigismember(&pending, SIGUSR2));
    handled = 0;
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    CHECK_EQ(handled.load(), 1);
    CHECK_EQ(handled_by.load(), gettid());
}

/// A thread that waits for a signal gets it, although every thread blocks it.
void waited_for() {
    const sigset_t set = set_of(SIGRTMIN + 2);
    sigset_t old;
    pthread_sigmask(SIG_BLOCK, &set, &old);
    struct Waiter {
        pthread_t thread;
        std::atomic<pid_t> tid{0};
        siginfo_t info = {};
    } waiter;
    pthread_create(
        &waiter.thread, nullptr,
        [](void* argument) -> void* {
            auto* self = static_cast<Waiter*>(argument);
            const sigset_t wanted = set_of(SIGRTMIN + 2);
            self->tid = gettid();
            sigwaitinfo(&wanted, &self->info);
            return nullptr;
        },
        &waiter);
    CHECK(eventually([&] { return waiter.tid != 0; }));
    wait_asleep(waiter.tid);
    CHECK_OK(sigqueue(getpid(), SIGRTMIN + 2, {.sival_int = 31}));
    pthread_join(waiter.thread, nullptr);
    CHECK_EQ(waiter.info.si_value.sival_int, 31);
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

void new_threads() {
    const sigset_t blocked = set_of(SIGUSR2);
    sigset_t old;
    pthread_sigmask(SIG_BLOCK, &blocked, &old);
    CHECK_OK(to_thread(gettid(), SIGUSR2));
    static bool inherited, clean, no_stack;
    pthread_t thread;
    pthread_create(
        &thread, nullptr,
        [](void*) -> void* {
            sigset_t mask, pending;
            pthread_sigmask(SIG_SETMASK, nullptr, &mask);
            inherited = sigismember(&mask, SIGUSR2);
            sigpending(&pending);
            clean = !sigismember(&pending, SIGUSR2);
            stack_t stack;
            sigaltstack(nullptr, &stack);
            no_stack = stack.ss_flags & SS_DISABLE;
            return nullptr;
        },
        nullptr);
    pthread_join(thread, nullptr);
    CHECK(inherited);
    CHECK(clean);
    CHECK(no_stack);
    const timespec now = {0, 0};
    CHECK_EQ(sigtimedwait(&blocked, nullptr, &now), SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

/// A deadly signal to one thread ends all; so does a fault of one.
void death_of_all() {
    for (int how = 0; how < 3; ++how) {
        const int status = in_child([how] {
            auto* worker = new Worker(set_of());
            auto* second = new Worker(set_of());
            (void)second;
            handle(SIGSEGV, SIG_DFL);
            if (how == 0) to_thread(worker->tid, SIGTERM);
            if (how == 1) kill(getpid(), SIGTERM);
            if (how == 2) {
                pthread_t thread;
                pthread_create(&thread, nullptr, [](void*) -> void* { return *(void* volatile*)16; }, nullptr);
            }
            for (;;) pause();
        });
        CHECK(died_of(status, how == 2 ? SIGSEGV : SIGTERM));
    }
}

std::atomic<bool> storm_over;
std::atomic<long> realtime_handled;

void* change_masks(void*) {
    const sigset_t set = set_of(SIGRTMIN + 4);
    while (!storm_over) {
        pthread_sigmask(SIG_BLOCK, &set, nullptr);
        pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    }
    return nullptr;
}

/// Nothing is lost or doubled: as many handlers run as signals were queued.
void storm() {
    handle(SIGRTMIN + 4, [](int) { realtime_handled++; }, SA_RESTART);
    storm_over = false;
    const sigset_t set = set_of(SIGRTMIN + 4);
    sigset_t old;
    pthread_sigmask(SIG_BLOCK, &set, &old);
    pthread_t threads[3];
    for (pthread_t& thread : threads) pthread_create(&thread, nullptr, change_masks, nullptr);
    long queued = 0;
    for (int i = 0; i < 600; ++i) {
        while (sigqueue(getpid(), SIGRTMIN + 4, {.sival_int = i}) != 0) nap();
        ++queued;
    }
    CHECK(eventually([&] { return realtime_handled == queued; }));
    storm_over = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    CHECK_EQ(realtime_handled.load(), queued);
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    CHECK_EQ(realtime_handled.load(), queued);
}

/// A thread that ends hands on what was meant for the process.
void ending_threads() {
    handle(SIGUSR1, note);
    for (int i = 0; i < 50; ++i) {
        handled = 0;
        pthread_t thread;
        pthread_create(&thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr);
        CHECK_OK(kill(getpid(), SIGUSR1));
        pthread_join(thread, nullptr);
        CHECK(eventually([] { return handled == 1; }));
    }
}

} // namespace

int main() {
    to_one_thread();
    to_whoever_lets_it_in();
    until_somebody_opens();
    waited_for();
    new_threads();
    death_of_all();
    storm();
    ending_threads();
    return result();
}
