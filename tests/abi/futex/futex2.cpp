// futex_waitv(2), futex_wait, futex_wake and futex_requeue: flags, errors, time-outs, which of many words woke, words
// that move to another queue, signals, and no wake-up lost.
// needs-linux: 6.7
#include "asleep.hpp"
#include <climits>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef SYS_futex_wake
#define SYS_futex_wake 454
#define SYS_futex_wait 455
#define SYS_futex_requeue 456
#endif

namespace {

using Word = std::atomic<unsigned>;
constexpr unsigned u32_flag = 2, private_flag = 128, private_u32 = u32_flag | private_flag;
constexpr unsigned long any = 0xffffffff;

struct Waiter { // struct futex_waitv
    unsigned long value;
    unsigned long address;
    unsigned flags = private_u32;
    unsigned reserved = 0;
};
Waiter on(Word& word, unsigned value = 0, unsigned flags = private_u32) {
    return {value, reinterpret_cast<unsigned long>(&word), flags};
}

long waitv(const Waiter* waiters, unsigned count, const timespec* timeout = nullptr, int clock = CLOCK_MONOTONIC,
           unsigned flags = 0) {
    return syscall(SYS_futex_waitv, waiters, count, flags, timeout, clock);
}
long wait(Word& word, unsigned long value, unsigned long mask = any, unsigned flags = private_u32,
          const timespec* timeout = nullptr, int clock = CLOCK_MONOTONIC) {
    return syscall(SYS_futex_wait, &word, value, mask, flags, timeout, clock);
}
long wake(Word& word, int count, unsigned long mask = any, unsigned flags = private_u32) {
    return syscall(SYS_futex_wake, &word, mask, count, flags);
}
long requeue(Word& from, unsigned value, Word& to, int wakes, int moves, unsigned flags = 0) {
    const Waiter both[2] = {on(from, value), on(to, 12345)}; // the second value is not looked at
    return syscall(SYS_futex_requeue, both, flags, wakes, moves);
}

timespec in_future(int clock, long ns) {
    timespec time;
    clock_gettime(clock, &time);
    time.tv_nsec += ns;
    time.tv_sec += time.tv_nsec / 1000000000;
    time.tv_nsec %= 1000000000;
    return time;
}

Word words[128];

void test_arguments() {
    Waiter waiters[2] = {on(words[0], 1), on(words[1])};
    CHECK_ERRNO(waitv(waiters, 2), EAGAIN);
    CHECK_ERRNO(waitv(waiters, 2, nullptr, CLOCK_MONOTONIC, 1), EINVAL);
    CHECK_ERRNO(waitv(waiters, 0), EINVAL);
    CHECK_ERRNO(waitv(waiters, FUTEX_WAITV_MAX + 1), EINVAL);
    CHECK_ERRNO(waitv(nullptr, 1), EINVAL);
    CHECK_ERRNO(waitv(reinterpret_cast<Waiter*>(16), 1), EFAULT);
    CHECK_ERRNO(waitv(waiters, 2, nullptr, 77), EAGAIN); // no time-out, no clock
    timespec time = {0, 0};
    CHECK_ERRNO(waitv(waiters, 2, &time, 77), EINVAL);
    CHECK_ERRNO(waitv(waiters, 2, &time, CLOCK_BOOTTIME), EINVAL);
    time.tv_nsec = 1000000000;
    CHECK_ERRNO(waitv(waiters, 2, &time), EINVAL);
    CHECK_ERRNO(waitv(waiters, 2, reinterpret_cast<timespec*>(16)), EFAULT);
    const Waiter good = waiters[1];
    for (unsigned flags : {0u, 1u, 3u, private_flag, 8u | u32_flag, 64u | u32_flag, 256u | u32_flag}) {
        waiters[1].flags = flags;
        CHECK_ERRNO(waitv(waiters, 2), EINVAL);
        CHECK_ERRNO(wait(words[0], 1, any, flags), EINVAL);
        CHECK_ERRNO(wake(words[0], 1, any, flags), EINVAL);
    }
    waiters[1] = good;
    waiters[1].reserved = 1;
    CHECK_ERRNO(waitv(waiters, 2), EINVAL);
    waiters[1] = good;
    waiters[1].value = 1ul << 32;
    CHECK_ERRNO(waitv(waiters, 2), EINVAL);
    waiters[1] = good;
    waiters[1].address++;
    CHECK_ERRNO(waitv(waiters, 2), EINVAL);
    waiters[1].address = 16;
    CHECK_ERRNO(waitv(waiters, 1), EAGAIN);
    waiters[0].value = 0;
    CHECK_ERRNO(waitv(waiters, 2), EFAULT);
    CHECK_ERRNO(wait(words[0], 1), EAGAIN);
    CHECK_ERRNO(wait(words[0], 0, 0), EINVAL);
    CHECK_ERRNO(wait(words[0], 1ul << 32), EINVAL);
    CHECK_ERRNO(wait(words[0], 0, 1ul << 32), EINVAL);
    CHECK_ERRNO(wake(words[0], 1, 0), EINVAL);
    CHECK_ERRNO(wake(words[0], 1, 1ul << 32), EINVAL);
    CHECK_EQ(wake(words[0], 1), 0);
    CHECK_ERRNO(requeue(words[0], 1, words[1], 1, 1), EAGAIN);
    CHECK_ERRNO(requeue(words[0], 0, words[1], 1, 1, 1), EINVAL);
    CHECK_ERRNO(requeue(words[0], 0, words[1], -1, 1), EINVAL);
    CHECK_ERRNO(requeue(words[0], 0, words[1], 1, -1), EINVAL);
    CHECK_EQ(requeue(words[0], 0, words[1], 1, 1), 0);
    CHECK_ERRNO(syscall(SYS_futex_requeue, nullptr, 0, 1, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_futex_requeue, 16, 0, 1, 1), EFAULT);
}

void test_timeouts() {
    const Waiter waiters[2] = {on(words[0]), on(words[1])};
    for (int clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
        timespec time = in_future(clock, 20000000);
        CHECK_ERRNO(waitv(waiters, 2, &time, clock), ETIMEDOUT);
        timespec now = in_future(clock, 0);
        CHECK(now.tv_sec > time.tv_sec || (now.tv_sec == time.tv_sec && now.tv_nsec >= time.tv_nsec));
        CHECK_ERRNO(waitv(waiters, 2, &time, clock), ETIMEDOUT); // long over
        CHECK_ERRNO(wait(words[0], 0, any, private_u32, &time, clock), ETIMEDOUT);
        time = in_future(clock, 20000000);
        CHECK_ERRNO(wait(words[0], 0, any, private_u32, &time, clock), ETIMEDOUT);
    }
}

// A thread in a call.
struct Sleeper {
    long (*call)(void*);
    void* argument;
    pthread_t thread{};
    std::atomic<pid_t> id{0};
    long result = -2;
    int error = 0;

    Sleeper(long (*what)(void*), void* with) : call(what), argument(with) {
        auto run = [](void* self) -> void* {
            auto& me = *static_cast<Sleeper*>(self);
            me.id = gettid();
            me.result = me.call(me.argument);
            me.error = errno;
            return nullptr;
        };
        CHECK_EQ(pthread_create(&thread, nullptr, run, this), 0);
        CHECK(check::eventually([&] { return id != 0; }) && check::wait_asleep(id));
    }
    long join() {
        pthread_join(thread, nullptr);
        return result;
    }
};
struct Many {
    Waiter waiters[FUTEX_WAITV_MAX];
    unsigned count;
    static long call(void* self) {
        auto& me = *static_cast<Many*>(self);
        return waitv(me.waiters, me.count);
    }
};
Many many(unsigned count, unsigned flags = private_u32) {
    Many result{};
    result.count = count;
    for (unsigned i = 0; i < count; i++) result.waiters[i] = on(words[i], 0, flags);
    return result;
}

void test_which() {
    Many all = many(FUTEX_WAITV_MAX);
    for (unsigned i : {0u, 77u, 127u}) {
        Sleeper sleeper(Many::call, &all);
        CHECK_EQ(wake(words[i], 1), 1);
        CHECK_EQ(sleeper.join(), long(i));
        for (Word& word : words) CHECK_EQ(wake(word, INT_MAX), 0); // it has left all the others
    }
    // futex(2)'s own calls wake it too, with any set of bits.
    Sleeper sleeper(Many::call, &all);
    CHECK_EQ(syscall(SYS_futex, &words[3], FUTEX_WAKE_BITSET_PRIVATE, 1, nullptr, nullptr, 4), 1);
    CHECK_EQ(sleeper.join(), 3l);
    // The other scope is another queue.
    Many mixed = many(2);
    mixed.waiters[1].flags = u32_flag;
    Sleeper second(Many::call, &mixed);
    CHECK_EQ(wake(words[0], 1, any, u32_flag), 0);
    CHECK_EQ(wake(words[1], 1, any, private_u32), 0);
    CHECK_EQ(wake(words[1], 1, any, u32_flag), 1);
    CHECK_EQ(second.join(), 1l);
    // One word twice: a wake-up of both.
    Many twice = many(2);
    twice.waiters[1] = twice.waiters[0];
    Sleeper third(Many::call, &twice);
    CHECK_EQ(wake(words[0], 2), 2);
    const long index = third.join();
    CHECK(index == 0 || index == 1);
}

long wait_with_bits(void* bits) { return wait(words[0], 0, reinterpret_cast<unsigned long>(bits)); }

void test_counts_and_masks() {
    Sleeper one(wait_with_bits, reinterpret_cast<void*>(1)), two(wait_with_bits, reinterpret_cast<void*>(2)),
        three(wait_with_bits, reinterpret_cast<void*>(any));
    CHECK_EQ(wake(words[0], 0), 0);
    CHECK_EQ(wake(words[0], 9, 4), 1);
    CHECK_EQ(three.join(), 0l);
    CHECK_EQ(wake(words[0], 9, 4), 0);
    CHECK_EQ(wake(words[0], 9, 2), 1);
    CHECK_EQ(two.join(), 0l);
    // futex(2) wakes one where it is asked for none, or for less.
    CHECK_EQ(syscall(SYS_futex, &words[0], FUTEX_WAKE_PRIVATE, 0), 1);
    CHECK_EQ(one.join(), 0l);
    Sleeper four(wait_with_bits, reinterpret_cast<void*>(any)), five(wait_with_bits, reinterpret_cast<void*>(any));
    CHECK_EQ(syscall(SYS_futex, &words[0], FUTEX_WAKE_PRIVATE, -1), 1);
    CHECK_EQ(wake(words[0], -1), 1);
    CHECK_EQ(four.join() + five.join(), 0l);
}

void test_requeue() {
    Sleeper a(wait_with_bits, reinterpret_cast<void*>(any)), b(wait_with_bits, reinterpret_cast<void*>(any)),
        c(wait_with_bits, reinterpret_cast<void*>(any));
    Many all = many(3);
    Sleeper d(Many::call, &all);
    CHECK_EQ(requeue(words[0], 0, words[9], 1, 2), 3);
    CHECK_EQ(a.join(), 0l);
    CHECK_EQ(wake(words[9], 9), 2);
    CHECK_EQ(b.join() + c.join(), 0l);
    // Who waits for many keeps the place of the word in its list.
    CHECK_EQ(requeue(words[0], 0, words[9], 0, 9), 1);
    CHECK_EQ(wake(words[0], 9), 0);
    CHECK_EQ(wake(words[9], 9), 1);
    CHECK_EQ(d.join(), 0l);
    // Both are of one kind.
    const Waiter both[2] = {on(words[0]), on(words[1], 0, u32_flag)};
    CHECK_ERRNO(syscall(SYS_futex_requeue, both, 0, 0, 1), EINVAL);
}

void on_signal(int) {}

void test_signals() {
    Many all = many(5);
    check::handle(SIGUSR1, on_signal);
    Sleeper ends(Many::call, &all);
    pthread_kill(ends.thread, SIGUSR1);
    CHECK_EQ(ends.join(), -1l);
    CHECK_EQ(ends.error, EINTR);
    Sleeper alone(wait_with_bits, reinterpret_cast<void*>(any));
    pthread_kill(alone.thread, SIGUSR1);
    CHECK_EQ(alone.join(), -1l);
    CHECK_EQ(alone.error, EINTR);
    check::handle(SIGUSR1, on_signal, SA_RESTART);
    Sleeper goes_on(Many::call, &all);
    pthread_kill(goes_on.thread, SIGUSR1);
    CHECK(check::eventually([] { return wake(words[4], 1) == 1; }));
    CHECK_EQ(goes_on.join(), 4l);
}

void test_between_processes() {
    struct Place {
        Word words[4];
    };
    Word* place = check::shared<Place>()->words;
    const pid_t child = fork();
    if (child == 0) {
        Waiter waiters[4];
        for (int i = 0; i < 4; i++) waiters[i] = on(place[i], 0, u32_flag);
        _exit(waitv(waiters, 4) == 2 ? 0 : 1);
    }
    CHECK(check::wait_asleep(child));
    CHECK_EQ(wake(place[2], 1, any, u32_flag), 1);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

// Each player waits for one of eight words to be other than it last saw, and changes another: all come to the end.
constexpr unsigned players = 4, boards = 8;
constexpr unsigned long turns = 2000;
Word board[boards];
std::atomic<unsigned long> turns_done;

void* play(void* number) {
    auto seed = reinterpret_cast<unsigned long>(number);
    Waiter waiters[boards];
    while (turns_done < turns) {
        for (unsigned i = 0; i < boards; i++) waiters[i] = on(board[i], board[i]);
        const unsigned long before = turns_done;
        if (seed % players != before % players) {
            if (before >= turns || turns_done != before) continue;
            const long which = waitv(waiters, boards);
            const bool has_changed = which == -1 && errno == EAGAIN;
            CHECK(has_changed || (which >= 0 && which < long(boards)));
            continue;
        }
        turns_done = before + 1;
        Word& next = board[(before * 7 + seed) % boards];
        next++;
        wake(next, INT_MAX);
    }
    return nullptr;
}
void test_race() {
    pthread_t threads[players];
    for (unsigned long i = 0; i < players; i++) pthread_create(&threads[i], nullptr, play, reinterpret_cast<void*>(i));
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    CHECK_EQ(turns_done.load(), turns);
}

} // namespace

int main() {
    test_arguments();
    test_timeouts();
    test_which();
    test_counts_and_masks();
    test_requeue();
    test_signals();
    test_between_processes();
    test_race();
    return check::result();
}
