// needs-linux: 5.14
// timeout: 180
//
// Robust futexes (get_robust_list(2)) whose owners die in every state of locking and unlocking, in every way of dying;
// and chains of eight locks with inheritance, in the middle of which owners die, time out and are signalled.
#include <cstddef>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>

#include "asleep.hpp"

using namespace check;

namespace {

constexpr uint32_t waiters = FUTEX_WAITERS, owner_died = FUTEX_OWNER_DIED;
constexpr long lock_pi2 = 13;

using Word = std::atomic<uint32_t>;
long futex(Word& word, long operation, uint32_t value = 0, const timespec* time = nullptr) {
    return syscall(SYS_futex, &word, operation, value, time, nullptr, 0);
}

struct Entry {
    Entry* next;
};
struct Lock {
    Entry entry;
    Word word;
};
struct Head {
    Entry list;
    long offset;
    Entry* pending;
};
constexpr long offset_of_word = long(offsetof(Lock, word)) - long(offsetof(Lock, entry));

Entry* marked_pi(Lock& lock) { return reinterpret_cast<Entry*>(reinterpret_cast<uintptr_t>(&lock.entry) | 1); }
Entry* plain(Lock& lock) { return &lock.entry; }

// ---- every state, every death ----

struct Scene {
    Lock locks[4000];
    Head head;
    std::atomic<int> ready, woken;
};
Scene* scene;

enum class State {
    Held,            // in the list
    HeldWithWaiters, // and somebody sleeps
    Taken,           // pending: taken, not yet in the list
    Released,        // pending: the word is 0 already, whoever sleeps hasn't been woken
    ReleasedUncontended,
    OfAnother, // in the list, but the word is someone else's
    OfAnotherPending,
    PendingAndListed,
    Count,
};

uint32_t tid() { return uint32_t(gettid()); }

/// The dying thread's side: brings the first lock into the state.
void assume(State state) {
    Lock& lock = scene->locks[0];
    Head& head = scene->head;
    head = {{&head.list}, offset_of_word, nullptr};
    auto enlist = [&] {
        head.list.next = plain(lock);
        lock.entry.next = &head.list;
    };
    switch (state) {
    case State::Held:
        lock.word = tid();
        enlist();
        break;
    case State::HeldWithWaiters:
        lock.word = tid() | waiters;
        enlist();
        break;
    case State::Taken:
        lock.word = tid() | waiters;
        head.pending = plain(lock);
        break;
    case State::Released:
    case State::ReleasedUncontended:
        lock.word = 0;
        head.pending = plain(lock);
        break;
    case State::OfAnother:
        lock.word = 1 | waiters;
        enlist();
        break;
    case State::OfAnotherPending:
        lock.word = 1 | waiters;
        head.pending = plain(lock);
        break;
    default:
        lock.word = tid() | waiters;
        enlist();
        head.pending = plain(lock); // looked at once
        break;
    }
    CHECK_OK(syscall(SYS_set_robust_list, &head, sizeof head));
}

uint32_t word_after(State state) {
    switch (state) {
    case State::Held:
        return owner_died;
    case State::Released:
    case State::ReleasedUncontended:
        return 0;
    case State::OfAnother:
    case State::OfAnotherPending:
        return 1 | waiters;
    default:
        return owner_died | waiters;
    }
}
bool wakes(State state) {
    return state == State::HeldWithWaiters || state == State::Taken || state == State::Released ||
           state == State::PendingAndListed;
}

enum class Death { Exit, ExitAll, Kill, Fault, Execute, Count };
char self[256];

[[noreturn]] void die(Death death) {
    switch (death) {
    case Death::Exit:
        syscall(SYS_exit, 0);
        break;
    case Death::ExitAll:
        syscall(SYS_exit_group, 0);
        break;
    case Death::Kill:
        for (;;) pause();
    case Death::Fault:
        signal(SIGSEGV, SIG_DFL);
        *reinterpret_cast<volatile int*>(8) = 1;
        break;
    default:
        execl(self, self, "program", static_cast<char*>(nullptr));
    }
    _exit(98);
}

void one_case(State state, Death death) {
    scene->ready = scene->woken = 0;
    scene->locks[0].word = 0;
    int gate[2];
    CHECK_OK(pipe(gate));
    const pid_t owner = fork();
    if (owner == 0) {
        close(gate[1]);
        assume(state);
        scene->ready = 1;
        char byte;
        if (read(gate[0], &byte, 1) != 0) _exit(97); // until somebody waits
        die(death);
    }
    close(gate[0]);
    CHECK(eventually([] { return scene->ready == 1; }));
    const bool is_waited_for = state != State::Held && state != State::ReleasedUncontended;
    pid_t waiter = 0;
    if (is_waited_for) {
        waiter = fork();
        if (waiter == 0) {
            close(gate[1]);
            // It found the word contended; a released one is 0 by the time the kernel looks, and can't be waited for,
            // so the sleeper came before.
            Word& word = scene->locks[0].word;
            const uint32_t seen = state == State::Released ? (word = 5, 5) : word.load();
            if (futex(word, FUTEX_WAIT, seen) == 0) scene->woken = 1;
            _exit(0);
        }
        CHECK(wait_asleep(waiter));
        if (state == State::Released) scene->locks[0].word = 0;
    }
    if (death == Death::Kill) kill(owner, SIGKILL);
    close(gate[1]);
    int status = -1;
    CHECK_EQ(waitpid(owner, &status, 0), owner);
    CHECK_EQ(scene->locks[0].word.load(), word_after(state));
    if (!is_waited_for) return;
    if (wakes(state)) {
        if (!CHECK(eventually([] { return scene->woken == 1; }, 10)))
            printf("state %d, death %d\n", int(state), int(death));
    } else {
        CHECK_EQ(scene->woken.load(), 0);
        CHECK_EQ(futex(scene->locks[0].word, FUTEX_WAKE, 1), 1); // sleeps on
    }
    CHECK_EQ(waitpid(waiter, nullptr, 0), waiter);
}

void every_state_and_death() {
    for (int state = 0; state < int(State::Count); ++state)
        for (int death = 0; death < int(Death::Count); ++death) one_case(State(state), Death(death));
}

template <typename F>
void dies_with(F prepare) {
    for (Lock& lock : scene->locks) lock.word = 0;
    const pid_t owner = fork();
    if (owner == 0) {
        Head& head = scene->head;
        head = {{&head.list}, offset_of_word, nullptr};
        syscall(SYS_set_robust_list, &head, sizeof head);
        prepare(head);
        _exit(0);
    }
    int status = -1;
    CHECK_EQ(waitpid(owner, &status, 0), owner);
    CHECK_EQ(status, 0);
}

/// Lists as nobody should make them.
void strange_lists() {
    dies_with([](Head& head) { // as long as is looked at
        for (int i = 0; i < 2000; ++i) {
            scene->locks[i].word = tid();
            scene->locks[i].entry.next = i < 1999 ? plain(scene->locks[i + 1]) : &head.list;
        }
        head.list.next = plain(scene->locks[0]);
    });
    for (int i = 0; i < 2000; ++i)
        if (scene->locks[i].word != owner_died) CHECK_EQ(i, -1);
    dies_with([](Head& head) { // a circle that doesn't come by the head
        for (int i = 0; i < 3; ++i) {
            scene->locks[i].word = tid();
            scene->locks[i].entry.next = plain(scene->locks[(i + 1) % 3]);
        }
        head.list.next = plain(scene->locks[0]);
    });
    for (int i = 0; i < 3; ++i) CHECK_EQ(scene->locks[i].word.load(), owner_died);
    dies_with([](Head& head) { // the second entry leads nowhere: the first is seen to
        scene->locks[0].word = scene->locks[1].word = tid();
        scene->locks[0].entry.next = reinterpret_cast<Entry*>(8);
        head.list.next = plain(scene->locks[0]);
        head.pending = plain(scene->locks[1]);
    });
    CHECK_EQ(scene->locks[0].word.load(), owner_died);
    dies_with([](Head& head) { head.list.next = reinterpret_cast<Entry*>(-16l); });
    dies_with([](Head& head) { // a word at an odd address is none
        head.offset = offset_of_word + 1;
        scene->locks[0].word = tid() << 8;
        scene->locks[0].entry.next = &head.list;
        head.list.next = plain(scene->locks[0]);
    });
    CHECK_EQ(scene->locks[0].word.load() & owner_died, 0u);
    dies_with([](Head&) { syscall(SYS_set_robust_list, reinterpret_cast<void*>(-4096l), sizeof(Head)); });
    CHECK_ERRNO(syscall(SYS_set_robust_list, &scene->head, sizeof(Head) - 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_set_robust_list, &scene->head, 0), EINVAL);
    Head* found = nullptr;
    size_t length = 0;
    CHECK_ERRNO(syscall(SYS_get_robust_list, INT32_MAX, &found, &length), ESRCH);
    CHECK_ERRNO(syscall(SYS_get_robust_list, 0, 8, &length), EFAULT);
    CHECK_OK(syscall(SYS_get_robust_list, 0, &found, &length));
    CHECK_EQ(length, sizeof(Head));
}

// ---- chains ----

constexpr int links = 9; // eight locks are waited for

struct Chain {
    Lock locks[links];
    std::atomic<pid_t> ids[links];
    std::atomic<int> holding[links], died[links], timed_out[links], signals;
    std::atomic<bool> may_end;
};
Chain* chain;

long lock_in(Word& word, const timespec* until) { return futex(word, lock_pi2, 0, until); }

void give_back(int number) {
    Word& word = chain->locks[number].word;
    if (futex(word, FUTEX_UNLOCK_PI) < 0) CHECK_EQ(errno, 0);
}

/// Process i holds lock i and waits for lock i + 1; the last waits to be told.
[[noreturn]] void link_body(int number, long milliseconds) {
    failures = 0;
    static Head head;
    Lock& own = chain->locks[number];
    head = {{marked_pi(own)}, offset_of_word, nullptr};
    own.entry.next = &head.list;
    CHECK_OK(syscall(SYS_set_robust_list, &head, sizeof head));
    handle(SIGUSR1, [](int) { chain->signals++; });
    CHECK_OK(lock_in(own.word, nullptr));
    chain->ids[number] = gettid();
    chain->holding[number] = 1;
    if (number == links - 1) {
        while (!chain->may_end) nap();
    } else {
        CHECK(eventually([=] { return chain->holding[number + 1] == 1; }));
        timespec until = {};
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += milliseconds / 1000;
        until.tv_nsec += milliseconds % 1000 * 1000000;
        if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
        Word& next = chain->locks[number + 1].word;
        const long got = lock_in(next, milliseconds ? &until : nullptr);
        const int error = errno;
        if (got < 0) {
            CHECK_EQ(error, ETIMEDOUT);
            chain->timed_out[number] = 1;
        } else {
            chain->died[number] = (next & owner_died) != 0;
            CHECK_EQ(next & FUTEX_TID_MASK, tid());
            next.fetch_and(~owner_died); // consistent again
            give_back(number + 1);
        }
    }
    give_back(number);
    _exit(result());
}

int priority_of(pid_t pid) {
    char name[64], text[512];
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    FILE* file = fopen(name, "r");
    if (!file) return 0;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    int priority = 0;
    sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %d", &priority);
    return priority;
}

struct Links {
    pid_t pids[links];
    int ended[links];
};

void collect(Links& all, int number) {
    int status = -1;
    CHECK(eventually([&] { return waitpid(all.pids[number], &status, WNOHANG) == all.pids[number]; }, 20));
    all.ended[number] = status;
}

/// The chain with an urgent thread at its front. What happens to link `where` ends the waits before it, and only those.
template <typename F>
void with_chain(int where, long milliseconds, F happens) {
    memset(static_cast<void*>(chain), 0, sizeof *chain);
    Links all = {};
    for (int i = links - 1; i >= 0; --i) {
        fflush(stdout);
        all.pids[i] = fork();
        if (all.pids[i] == 0) link_body(i, i == where ? milliseconds : 0);
        CHECK(eventually([=] { return chain->holding[i] == 1; }));
        if (i < links - 1) CHECK(eventually([=] { return chain->locks[i + 1].word & waiters; }));
    }
    const sched_param urgent = {20};
    CHECK(wait_asleep(all.pids[0]));
    CHECK_OK(sched_setscheduler(all.pids[0], SCHED_FIFO, &urgent));
    if (milliseconds == 0)
        for (const pid_t pid : all.pids) CHECK_EQ(priority_of(pid), -21);
    happens(all);
    // Those behind go on as they were, without what they had inherited.
    for (int i = where + 1; i < links; ++i) {
        CHECK(eventually([&] { return priority_of(all.pids[i]) == 20; }));
        CHECK_EQ(kill(all.pids[i], 0), 0);
    }
    chain->may_end = true;
    for (int i = where + 1; i < links; ++i) {
        collect(all, i);
        CHECK_EQ(all.ended[i], 0);
    }
    for (int i = 0; i < links; ++i) CHECK_EQ(chain->locks[i].word.load(), 0u);
}

void owner_dies(int where) {
    with_chain(where, 0, [where](Links& all) {
        kill(all.pids[where], SIGKILL);
        for (int i = where; i >= 0; --i) collect(all, i);
        CHECK(died_of(all.ended[where], SIGKILL));
        for (int i = 0; i < where; ++i) {
            CHECK_EQ(all.ended[i], 0);
            CHECK_EQ(chain->died[i].load(), i == where - 1);
        }
        if (where == 0) chain->locks[0].word.fetch_and(~owner_died); // nobody waited for it
    });
}

void owner_gives_up(int where) {
    with_chain(where, 3000, [where](Links& all) {
        for (int i = where; i >= 0; --i) {
            collect(all, i);
            CHECK_EQ(all.ended[i], 0);
            CHECK_EQ(chain->timed_out[i].load(), i == where);
        }
    });
}

/// Signals with a handler leave the waits and what is inherited by them alone; then the one who got them dies.
void owner_is_signalled(int where) {
    with_chain(where, 0, [where](Links& all) {
        for (int i = 0; i < 20; ++i) {
            const int before = chain->signals;
            kill(all.pids[where], SIGUSR1);
            CHECK(eventually([=] { return chain->signals == before + 1; }));
        }
        for (int i = 0; i < links; ++i) CHECK(eventually([&] { return priority_of(all.pids[i]) == -21; }));
        kill(all.pids[where], SIGKILL);
        for (int i = where; i >= 0; --i) collect(all, i);
        CHECK(died_of(all.ended[where], SIGKILL));
    });
}

} // namespace

int main(int count, char**) {
    if (count > 1) return 0;
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    scene = shared<Scene>();
    chain = shared<Chain>();
    every_state_and_death();
    strange_lists();
    for (const int where : {1, 4, 7}) owner_dies(where);
    for (const int where : {1, 4, 7}) owner_gives_up(where);
    for (const int where : {1, 5, 7}) owner_is_signalled(where);
    return result();
}
