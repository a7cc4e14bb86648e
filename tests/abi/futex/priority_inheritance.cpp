// Futexes with priority inheritance: LOCK_PI, LOCK_PI2, TRYLOCK_PI, UNLOCK_PI (futex(2)); errors, order of hand-over,
// inheritance through chains, deadlocks, owners that die, and storms.
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asleep.hpp"

namespace {

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

using Word = std::atomic<uint32_t>;
constexpr uint32_t waiters = FUTEX_WAITERS, owner_died = FUTEX_OWNER_DIED;

uint32_t tid() { return uint32_t(syscall(SYS_gettid)); }
long futex(Word* word, int operation, const timespec* time = nullptr) {
    return syscall(SYS_futex, word, operation, 0, time, nullptr, 0);
}
long lock(Word* word) { return futex(word, FUTEX_LOCK_PI); }
long unlock(Word* word) { return futex(word, FUTEX_UNLOCK_PI); }

timespec in(clockid_t clock, long milliseconds) {
    timespec time;
    CHECK_OK(clock_gettime(clock, &time));
    const long ns = time.tv_nsec + milliseconds % 1000 * 1000000;
    return {time.tv_sec + milliseconds / 1000 + ns / 1000000000, ns % 1000000000};
}

template <typename Body>
pthread_t thread(Body* body) {
    pthread_t made{};
    CHECK_EQ(pthread_create(&made, nullptr, [](void* what) { return (*(Body*)what)(), (void*)nullptr; }, body), 0);
    return made;
}

/// Waits until a thread, whose id appears in `id`, sleeps.
bool asleep(std::atomic<uint32_t>& id) {
    return check::eventually([&] { return id != 0; }) && check::wait_asleep(pid_t(id.load()));
}

void words_and_errors() {
    Word word{0};
    for (int operation : {FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_TRYLOCK_PI})
        for (int scope : {0, FUTEX_PRIVATE_FLAG}) {
            CHECK_OK(futex(&word, operation | scope));
            CHECK_EQ(word.load(), tid());
            CHECK_ERRNO(futex(&word, operation | scope), EDEADLK);
            CHECK_OK(futex(&word, FUTEX_UNLOCK_PI | scope));
            CHECK_EQ(word.load(), 0u);
            CHECK_ERRNO(futex(&word, FUTEX_UNLOCK_PI | scope), EPERM);
        }
    word = tid() | waiters; // somebody waited, and gave up
    CHECK_OK(unlock(&word));
    CHECK_EQ(word.load(), 0u);
    word = owner_died;
    CHECK_OK(lock(&word));
    CHECK_EQ(word.load(), tid() | owner_died);
    CHECK_OK(unlock(&word));

    word = 0x3ffffff0; // nobody has that id
    CHECK_ERRNO(lock(&word), ESRCH);
    CHECK_ERRNO(futex(&word, FUTEX_TRYLOCK_PI), ESRCH);
    CHECK_ERRNO(unlock(&word), EPERM);
    word = 0;
    CHECK_ERRNO(lock((Word*)((char*)&word + 1)), EINVAL);
    CHECK_ERRNO(lock(nullptr), EFAULT);
    CHECK_ERRNO(unlock(nullptr), EFAULT);
    CHECK_ERRNO(futex(&word, FUTEX_TRYLOCK_PI | FUTEX_CLOCK_REALTIME), ENOSYS);
    CHECK_ERRNO(futex(&word, FUTEX_UNLOCK_PI | FUTEX_CLOCK_REALTIME), ENOSYS);
    const timespec bad = {0, 1000000000};
    CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI, &bad), EINVAL);
    void* read_only = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_ERRNO(lock((Word*)read_only), EFAULT);
    CHECK_OK(munmap(read_only, 4096));
}

void times_out() {
    Word word{0};
    std::atomic<uint32_t> holder{0};
    std::atomic<bool> may_end{false};
    auto hold = [&] {
        CHECK_OK(lock(&word));
        holder = tid();
        check::eventually([&] { return may_end.load(); });
        CHECK_OK(unlock(&word));
    };
    pthread_t other = thread(&hold);
    CHECK(check::eventually([&] { return holder != 0; }));
    CHECK_ERRNO(futex(&word, FUTEX_TRYLOCK_PI), EAGAIN);
    struct {
        int operation;
        clockid_t clock;
    } const ways[] = {{FUTEX_LOCK_PI, CLOCK_REALTIME},
                      {FUTEX_LOCK_PI2, CLOCK_MONOTONIC},
                      {FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME, CLOCK_REALTIME}};
    for (auto way : ways) {
        timespec time = in(way.clock, 30);
        CHECK_ERRNO(futex(&word, way.operation, &time), ETIMEDOUT);
        timespec now;
        CHECK_OK(clock_gettime(way.clock, &now));
        CHECK(now.tv_sec > time.tv_sec || (now.tv_sec == time.tv_sec && now.tv_nsec >= time.tv_nsec));
        time = {0, 0};
        CHECK_ERRNO(futex(&word, way.operation, &time), ETIMEDOUT);
    }
    CHECK_EQ(word.load(), holder | waiters);
    may_end = true;
    pthread_join(other, nullptr);
    CHECK_EQ(word.load(), 0u);
}

void signals_begin_it_anew() {
    static std::atomic<int> handled;
    handled = 0;
    check::handle(SIGUSR1, [](int) { handled++; }); // without SA_RESTART
    Word word{0};
    std::atomic<uint32_t> id{0};
    CHECK_OK(lock(&word));
    auto wait = [&] {
        id = tid();
        CHECK_OK(lock(&word));
        CHECK_EQ(word.load() & FUTEX_TID_MASK, tid());
        CHECK_OK(unlock(&word));
    };
    pthread_t other = thread(&wait);
    for (int i = 1; i <= 3; i++) {
        CHECK(asleep(id));
        CHECK_EQ(pthread_kill(other, SIGUSR1), 0);
        CHECK(check::eventually([&] { return handled == i; }));
    }
    CHECK(asleep(id));
    CHECK_OK(unlock(&word));
    pthread_join(other, nullptr);
    CHECK_EQ(word.load(), 0u);
}

void become(int policy, int priority) {
    sched_param param = {priority};
    CHECK_OK(sched_setscheduler(0, policy, &param));
}

int current_priority(uint32_t thread) {
    // Field 18 of /proc/TID/stat: what it runs with, inheritance counted; -1 - the real-time priority, or 20 + nice.
    char name[64], text[512];
    snprintf(name, sizeof name, "/proc/%u/stat", thread);
    FILE* file = fopen(name, "r");
    if (!file) return INT_MIN;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    int priority = INT_MIN;
    sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %d", &priority);
    return priority;
}

void handed_over_by_priority() {
    Word word{0};
    static std::atomic<int> order[4], count;
    count = 0;
    CHECK_OK(lock(&word));
    struct Waiter {
        Word* word;
        int priority;
        std::atomic<uint32_t> id{0};
        void operator()() {
            become(SCHED_FIFO, priority);
            id = tid();
            CHECK_OK(lock(word));
            order[count++] = priority;
            CHECK_OK(unlock(word));
        }
    } list[4] = {{&word, 10}, {&word, 30}, {&word, 20}, {&word, 40}};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        threads[i] = thread(&list[i]);
        CHECK(asleep(list[i].id));
        CHECK_EQ(word.load(), tid() | waiters);
    }
    CHECK_EQ(current_priority(tid()), -1 - 40);
    // A waiter's own change counts at once.
    sched_param param = {50};
    CHECK_EQ(pthread_setschedparam(threads[0], SCHED_FIFO, &param), 0);
    CHECK_EQ(current_priority(tid()), -1 - 50);
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER); // what it asked for itself
    CHECK_OK(unlock(&word));
    CHECK_EQ(current_priority(tid()), 20);
    for (pthread_t each : threads) pthread_join(each, nullptr);
    const int expected[] = {10, 40, 30, 20}; // the first was raised to 50
    for (int i = 0; i < 4; i++) CHECK_EQ(order[i].load(), expected[i]);
    CHECK_EQ(word.load(), 0u);
}

void chains() {
    constexpr int length = 8;
    static Word words[length];
    static std::atomic<uint32_t> ids[length];
    static std::atomic<bool> may_end;
    may_end = false;
    for (int i = 0; i < length; i++) words[i] = 0, ids[i] = 0;
    // Thread i holds word i and waits for word i - 1; the first waits to be told.
    struct Link {
        int number;
        void operator()() {
            CHECK_OK(lock(&words[number]));
            ids[number] = tid();
            if (number == 0)
                check::eventually([] { return may_end.load(); });
            else
                CHECK_OK(lock(&words[number - 1]));
            if (number > 0) CHECK_OK(unlock(&words[number - 1]));
            CHECK_OK(unlock(&words[number]));
        }
    } links[length];
    pthread_t threads[length];
    for (int i = 0; i < length; i++) {
        links[i].number = i;
        threads[i] = thread(&links[i]);
        if (i > 0) CHECK(asleep(ids[i]));
        CHECK(check::eventually([i] { return ids[i] != 0; }));
    }
    static std::atomic<uint32_t> urgent;
    urgent = 0;
    auto wait = [] {
        become(SCHED_RR, 33);
        urgent = tid();
        const timespec time = in(CLOCK_MONOTONIC, 3000);
        const long result = futex(&words[length - 1], FUTEX_LOCK_PI2, &time);
        CHECK(result == 0 || errno == ETIMEDOUT);
        if (result == 0) CHECK_OK(unlock(&words[length - 1]));
    };
    pthread_t last = thread(&wait);
    CHECK(asleep(urgent));
    for (auto& id : ids) CHECK_EQ(current_priority(id), -1 - 33);
    // It changes its mind, and all of them with it.
    sched_param param = {44};
    CHECK_EQ(pthread_setschedparam(last, SCHED_FIFO, &param), 0);
    for (auto& id : ids) CHECK_EQ(current_priority(id), -1 - 44);
    param.sched_priority = 0;
    CHECK_EQ(pthread_setschedparam(last, SCHED_OTHER, &param), 0);
    for (auto& id : ids) CHECK_EQ(current_priority(id), 20);
    may_end = true;
    for (pthread_t each : threads) pthread_join(each, nullptr);
    pthread_join(last, nullptr);
    for (auto& word : words) CHECK_EQ(word.load(), 0u);
}

void deadlocks_are_found() {
    static Word one, two;
    static std::atomic<uint32_t> id;
    one = two = 0, id = 0;
    CHECK_OK(lock(&one));
    auto other_way_round = [] {
        CHECK_OK(lock(&two));
        id = tid();
        CHECK_OK(lock(&one));
        CHECK_OK(unlock(&one));
        CHECK_OK(unlock(&two));
    };
    pthread_t other = thread(&other_way_round);
    CHECK(asleep(id));
    CHECK_ERRNO(lock(&two), EDEADLK);
    CHECK_OK(unlock(&one));
    pthread_join(other, nullptr);
    CHECK_EQ(one.load() | two.load(), 0u);
}

void mixed_up_words() {
    Word word{0};
    static std::atomic<uint32_t> id;
    id = 0;
    CHECK_OK(lock(&word));
    auto wait = [&] {
        id = tid();
        CHECK_OK(lock(&word));
        CHECK_OK(unlock(&word));
    };
    pthread_t other = thread(&wait);
    CHECK(asleep(id));
    const uint32_t right = word;
    // Someone else's id, or nobody's, in a word that has waiters.
    word = uint32_t(getppid()) | waiters;
    CHECK_ERRNO(lock(&word), EINVAL);
    CHECK_ERRNO(unlock(&word), EPERM);
    word = right;
    CHECK_OK(unlock(&word));
    pthread_join(other, nullptr);
}

// A word is a lock with priority inheritance or an ordinary futex; who waits for it says which.
void two_kinds_of_waiters() {
    static std::atomic<uint32_t> id;
    Word word{0};
    auto call = [](Word* on, int operation, uint32_t value, uint64_t second = 0, Word* other = nullptr,
                   uint32_t third = 0) { return syscall(SYS_futex, on, operation, value, second, other, third); };
    // Somebody waits for the lock.
    id = 0;
    CHECK_OK(lock(&word));
    auto wait_for_lock = [&] {
        id = tid();
        CHECK_OK(lock(&word));
        CHECK_OK(unlock(&word));
    };
    pthread_t other = thread(&wait_for_lock);
    CHECK(asleep(id));
    Word elsewhere{0};
    CHECK_ERRNO(call(&word, FUTEX_WAKE, 1), EINVAL);
    CHECK_ERRNO(call(&word, FUTEX_WAKE_BITSET, 1, 0, nullptr, 1), EINVAL);
    CHECK_ERRNO(call(&word, FUTEX_REQUEUE, 1, 1, &elsewhere), EINVAL);
    CHECK_ERRNO(call(&word, FUTEX_CMP_REQUEUE, 1, 1, &elsewhere, word), EINVAL);
    CHECK_EQ(call(&elsewhere, FUTEX_WAKE, 1), 0);
    // Waiting for it is allowed.
    timespec soon = {0, 10000000};
    CHECK_ERRNO(call(&word, FUTEX_WAIT, word, uint64_t(&soon)), ETIMEDOUT);
    CHECK_ERRNO(call(&word, FUTEX_WAIT, word + 1, uint64_t(&soon)), EAGAIN);
    CHECK_OK(unlock(&word));
    pthread_join(other, nullptr);
    CHECK_EQ(call(&word, FUTEX_WAKE, 1), 0);

    // Somebody waits for the word.
    id = 0;
    auto wait_for_word = [&] {
        id = tid();
        CHECK_OK(call(&word, FUTEX_WAIT, 0));
    };
    word = 0;
    other = thread(&wait_for_word);
    CHECK(asleep(id));
    CHECK_ERRNO(lock(&word), EINVAL);
    CHECK_ERRNO(futex(&word, FUTEX_TRYLOCK_PI), EINVAL);
    word = tid();
    CHECK_ERRNO(lock(&word), EDEADLK);
    CHECK_ERRNO(unlock(&word), EINVAL);
    CHECK_EQ(word.load(), tid());
    CHECK_EQ(call(&word, FUTEX_WAKE, 1), 1);
    pthread_join(other, nullptr);
    CHECK_OK(unlock(&word));
}

void owners_that_die() {
    // A thread that ends without unlocking: the next one gets the lock and is told.
    Word word{0};
    static std::atomic<uint32_t> holder, id;
    static std::atomic<bool> may_end;
    holder = 0, id = 0, may_end = false;
    auto hold = [&] {
        CHECK_OK(lock(&word));
        holder = tid();
        check::eventually([] { return may_end.load(); });
    };
    auto wait = [&] {
        id = tid();
        CHECK_OK(lock(&word));
        CHECK_EQ(word.load(), tid() | waiters | owner_died);
        CHECK_OK(unlock(&word));
        CHECK_EQ(word.load(), 0u);
    };
    pthread_t dying = thread(&hold);
    CHECK(check::eventually([] { return holder != 0; }));
    pthread_t heir = thread(&wait);
    CHECK(asleep(id));
    may_end = true;
    pthread_join(dying, nullptr);
    pthread_join(heir, nullptr);
    // The same between processes, with a killed owner.
    Word* shared = check::shared<Word>();
    const pid_t child = fork();
    if (child == 0) {
        lock(shared);
        pause();
    }
    CHECK(check::eventually([&] { return *shared != 0; }));
    id = 0;
    auto inherit = [&] {
        id = tid();
        CHECK_OK(lock(shared));
        CHECK_EQ(shared->load(), tid() | waiters | owner_died);
        CHECK_OK(unlock(shared));
    };
    heir = thread(&inherit);
    CHECK(asleep(id));
    CHECK_OK(kill(child, SIGKILL));
    pthread_join(heir, nullptr);
    CHECK_EQ(waitpid(child, nullptr, 0), child);
}

void robust_mutexes() {
    // The library's own: robust and inheriting at once.
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    CHECK_EQ(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT), 0);
    CHECK_EQ(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), 0);
    CHECK_EQ(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), 0);
    auto* mutex = check::shared<pthread_mutex_t>();
    CHECK_EQ(pthread_mutex_init(mutex, &attributes), 0);
    for (const bool somebody_waits : {false, true}) {
        static std::atomic<uint32_t> id;
        id = 0;
        int pipes[2];
        CHECK_OK(pipe(pipes));
        const pid_t child = fork();
        if (child == 0) {
            char byte = pthread_mutex_lock(mutex) == 0;
            write(pipes[1], &byte, 1);
            pause();
        }
        char byte = 0;
        CHECK_EQ(read(pipes[0], &byte, 1), 1);
        CHECK_EQ(byte, 1);
        auto inherit = [&] {
            id = tid();
            CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
            CHECK_EQ(pthread_mutex_consistent(mutex), 0);
            CHECK_EQ(pthread_mutex_unlock(mutex), 0);
        };
        pthread_t heir{};
        if (somebody_waits) heir = thread(&inherit), CHECK(asleep(id));
        CHECK_OK(kill(child, SIGKILL));
        CHECK_EQ(waitpid(child, nullptr, 0), child);
        if (somebody_waits)
            pthread_join(heir, nullptr);
        else
            inherit();
        CHECK_EQ(pthread_mutex_lock(mutex), 0);
        CHECK_EQ(pthread_mutex_unlock(mutex), 0);
    }
}

long wait_requeue(Word* word, uint32_t expected, Word* target, const timespec* time = nullptr) {
    return syscall(SYS_futex, word, FUTEX_WAIT_REQUEUE_PI, expected, time, target, 0);
}
long requeue(Word* word, long count, Word* target, uint32_t expected, int wake = 1) {
    return syscall(SYS_futex, word, FUTEX_CMP_REQUEUE_PI, wake, count, target, expected);
}

void requeueing() {
    static Word condition, mutex;
    static std::atomic<int> got;
    condition = 7, mutex = 0, got = 0;
    CHECK_ERRNO(wait_requeue(&condition, 8, &mutex), EAGAIN);
    CHECK_ERRNO(wait_requeue(&condition, 7, &condition), EINVAL);
    CHECK_ERRNO(wait_requeue(&condition, 7, nullptr), EFAULT);
    timespec time = in(CLOCK_MONOTONIC, 20);
    CHECK_ERRNO(wait_requeue(&condition, 7, &mutex, &time), ETIMEDOUT);
    CHECK_ERRNO(requeue(&condition, 1, &mutex, 8), EAGAIN);
    CHECK_ERRNO(requeue(&condition, 1, &mutex, 7, 2), EINVAL);
    CHECK_ERRNO(requeue(&condition, 1, &mutex, 7, 0), EINVAL);
    CHECK_ERRNO(requeue(&condition, 1, &condition, 7), EINVAL);
    CHECK_ERRNO(requeue(&condition, -1, &mutex, 7), EINVAL);
    CHECK_EQ(requeue(&condition, 1, &mutex, 7), 0);

    struct Waiter {
        std::atomic<uint32_t> id{0};
        void operator()() {
            id = tid();
            CHECK_OK(wait_requeue(&condition, 7, &mutex));
            CHECK_EQ(mutex.load() & FUTEX_TID_MASK, tid());
            got++;
            CHECK_OK(unlock(&mutex));
        }
    } list[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        threads[i] = thread(&list[i]);
        CHECK(asleep(list[i].id));
    }
    // Others may not wake them, nor move them elsewhere.
    Word elsewhere{0};
    CHECK_ERRNO(syscall(SYS_futex, &condition, FUTEX_WAKE, 1, nullptr, nullptr, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_futex, &condition, FUTEX_CMP_REQUEUE, 1, 1, &elsewhere, 7), EINVAL);
    CHECK_ERRNO(requeue(&condition, 1, &elsewhere, 7), EINVAL);
    // The first gets the free lock at once, the second after it.
    CHECK_EQ(requeue(&condition, 1, &mutex, 7), 2);
    CHECK(check::eventually([] { return got == 2; }));
    // While somebody holds it they only change what they sleep on.
    CHECK(check::eventually([] { return mutex == 0 || (lock(&mutex) == 0 && unlock(&mutex) == 0); }));
    CHECK_OK(lock(&mutex));
    CHECK_EQ(requeue(&condition, INT_MAX, &mutex, 7), 2);
    CHECK_EQ(got.load(), 2);
    CHECK_EQ(mutex.load(), tid() | waiters);
    CHECK_OK(unlock(&mutex));
    for (pthread_t each : threads) pthread_join(each, nullptr);
    CHECK_EQ(got.load(), 4);

    // Moved, and then out of time.
    static std::atomic<uint32_t> id;
    static std::atomic<int> error;
    id = 0, error = 0;
    auto impatient = [] {
        const timespec end = in(CLOCK_MONOTONIC, 700);
        id = tid();
        if (wait_requeue(&condition, 7, &mutex, &end) != 0)
            error = errno;
        else
            unlock(&mutex);
    };
    CHECK_OK(lock(&mutex));
    pthread_t other = thread(&impatient);
    CHECK(asleep(id));
    requeue(&condition, 1, &mutex, 7); // a slow machine comes too late
    pthread_join(other, nullptr);
    CHECK_EQ(error.load(), ETIMEDOUT);
    CHECK_OK(unlock(&mutex));
    CHECK_EQ(mutex.load(), 0u);
}

void storm() {
    // Threads of many priorities, and processes that are killed while they hold or wait: the counters stay whole.
    constexpr int locks = 3, threads_count = 6, rounds = 300;
    struct Shared {
        Word words[locks];
        std::atomic<int> inside[locks];
        std::atomic<long> total;
    };
    static Shared* state;
    state = check::shared<Shared>();
    struct Worker {
        int number;
        void operator()() {
            if (number % 2) become(SCHED_RR, number + 1);
            for (int i = 0; i < rounds; i++) {
                const int which = (number + i * 7) % locks;
                CHECK_OK(lock(&state->words[which]));
                CHECK_EQ(state->inside[which].fetch_add(1), 0);
                if (i % 8 == 0) sched_yield();
                state->inside[which]--;
                state->total++;
                CHECK_OK(unlock(&state->words[which]));
            }
        }
    } workers[threads_count];
    pthread_t made[threads_count];
    for (int i = 0; i < threads_count; i++) workers[i].number = i, made[i] = thread(&workers[i]);
    for (pthread_t each : made) pthread_join(each, nullptr);
    CHECK_EQ(state->total.load(), long{threads_count} * rounds);
    for (auto& word : state->words) CHECK_EQ(word.load(), 0u);

    // Whoever dies inside hands over; the last word is the survivors'.
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0)
            for (;;)
                if (lock(&state->words[0]) == 0) {
                    state->total++;
                    unlock(&state->words[0]);
                }
    }
    for (int victim = 0; victim < 3; victim++) {
        const long before = state->total;
        CHECK(check::eventually([&] { return state->total >= before + 200; }));
        CHECK_OK(kill(children[victim], SIGKILL));
        CHECK_EQ(waitpid(children[victim], nullptr, 0), children[victim]);
        // One that was killed with the word in its hand and nobody waiting takes it to the grave, on Linux too.
        uint32_t word = state->words[0];
        if ((word & FUTEX_TID_MASK) == uint32_t(children[victim])) state->words[0].compare_exchange_strong(word, 0);
    }
    const long before = state->total;
    CHECK(check::eventually([&] { return state->total >= before + 200; }));
    CHECK_OK(kill(children[3], SIGKILL));
    CHECK_EQ(waitpid(children[3], nullptr, 0), children[3]);
}

} // namespace

int main() {
    words_and_errors();
    times_out();
    signals_begin_it_anew();
    deadlocks_are_found();
    mixed_up_words();
    two_kinds_of_waiters();
    owners_that_die();
    robust_mutexes();
    requeueing();
    if (geteuid() == 0) {
        handed_over_by_priority();
        chains();
        storm();
    }
    return check::result();
}
