// futex(2): waiting, waking, bit sets, requeueing, FUTEX_WAKE_OP, time-outs, shared words; robust mutexes.
#include <climits>
#include <csignal>
#include <cstddef>
#include <ctime>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asleep.hpp"

static long futex(std::atomic<int>* word, int operation, int value, const timespec* timeout = nullptr,
                  std::atomic<int>* second = nullptr, int third = 0) {
    return syscall(SYS_futex, word, operation, value, timeout, second, third);
}

static std::atomic<int> word, second_word, woken;

static std::atomic<pid_t> waiter_id;

static void* waiter(void* bits) {
    waiter_id = gettid();
    long result = futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, nullptr, nullptr, int(long(bits)));
    if (result == 0) woken++;
    return nullptr;
}

static void start(pthread_t* threads, int count, int bits) {
    for (int i = 0; i < count; i++) {
        waiter_id = 0;
        pthread_create(&threads[i], nullptr, waiter, (void*)long(bits));
        CHECK(check::eventually([] { return waiter_id != 0; }));
        CHECK(check::wait_asleep(waiter_id));
    }
}

static void check_errors() {
    word = 1;
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 2), EAGAIN);
    CHECK_ERRNO(futex((std::atomic<int>*)((char*)&word + 1), FUTEX_WAIT, 2), EINVAL);
    CHECK_ERRNO(futex((std::atomic<int>*)16, FUTEX_WAIT, 2), EFAULT);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 1, nullptr, nullptr, 0), EINVAL);
    CHECK_ERRNO(futex(&word, 77, 1), ENOSYS);
    timespec wrong = {0, 2000000000};
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 1, &wrong), EINVAL);
    timespec before, after, relative = {0, 30000000};
    clock_gettime(CLOCK_MONOTONIC, &before);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 1, &relative), ETIMEDOUT);
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK_GE((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec, 30000000);
    after.tv_nsec += 10000000;
    if (after.tv_nsec >= 1000000000) after.tv_sec++, after.tv_nsec -= 1000000000;
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 1, &after, nullptr, -1), ETIMEDOUT);
    clock_gettime(CLOCK_REALTIME, &after);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 1, &after, nullptr, -1), ETIMEDOUT);
    CHECK_EQ(futex(&word, FUTEX_WAKE, INT_MAX), 0);
}

static void check_wakes() {
    pthread_t threads[6];
    word = 0, woken = 0;
    start(threads, 3, 1);
    start(threads + 3, 3, 2);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, nullptr, nullptr, 4), 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, nullptr, nullptr, 2), 3);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 2), 2);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX), 1);
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    CHECK_EQ(woken.load(), 6);
}

static void check_requeue() {
    pthread_t threads[6];
    word = 0, woken = 0;
    start(threads, 6, -1);
    CHECK_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (timespec*)100, &second_word, 99), EAGAIN);
    CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (timespec*)3, &second_word, 0), 4);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX), 2);
    CHECK_EQ(futex(&second_word, FUTEX_WAKE_PRIVATE, INT_MAX), 3);
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    CHECK_EQ(woken.load(), 6);
    start(threads, 2, -1);
    second_word = 5;
    int operation = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5);
    CHECK_EQ(futex(&word, FUTEX_WAKE_OP_PRIVATE, 2, (timespec*)1, &second_word, operation), 2);
    CHECK_EQ(second_word.load(), 8);
    // Asked for none of either, it wakes one of each.
    pthread_join(threads[0], nullptr);
    pthread_join(threads[1], nullptr);
    start(threads, 2, -1);
    operation = FUTEX_OP(FUTEX_OP_SET, 8, FUTEX_OP_CMP_EQ, 8);
    CHECK_EQ(futex(&word, FUTEX_WAKE_OP_PRIVATE, 0, nullptr, &second_word, operation), 1);
    CHECK_EQ(
        futex(&second_word, FUTEX_WAKE_OP_PRIVATE, 0, nullptr, &word, FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 0)),
        1);
    pthread_join(threads[0], nullptr);
    pthread_join(threads[1], nullptr);
}

static void check_shared() {
    auto* shared = (std::atomic<int>*)mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    *shared = 0;
    pid_t child = fork();
    if (child == 0) _exit(futex(shared, FUTEX_WAIT, 0) == 0 ? 0 : 1);
    CHECK(check::wait_asleep(child));
    CHECK_EQ(futex(shared, FUTEX_WAKE, 1), 1);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

static void handler(int) {}

// A sleeper on memory that is gone is woken by nobody else's wake-up, whatever memory comes after it.
static void* sleep_on(void* place) {
    waiter_id = gettid();
    CHECK_ERRNO(futex((std::atomic<int>*)place, FUTEX_WAIT, 0), EINTR);
    return nullptr;
}
static void check_unmapped() {
    auto map = [] { return mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); };
    check::handle(SIGUSR1, handler);
    void* place = map();
    pthread_t thread;
    waiter_id = 0;
    pthread_create(&thread, nullptr, sleep_on, place);
    CHECK(check::eventually([] { return waiter_id != 0; }) && check::wait_asleep(waiter_id));
    CHECK_OK(munmap(place, 4096));
    for (int i = 0; i < 100; i++) {
        void* other = map();
        CHECK_EQ(futex((std::atomic<int>*)other, FUTEX_WAKE, 1), 0);
        CHECK_OK(munmap(other, 4096));
    }
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, nullptr);
}

static void check_interruption() {
    struct sigaction action = {};
    action.sa_handler = handler;
    sigaction(SIGALRM, &action, nullptr);
    word = 0;
    alarm(1);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0), EINTR);
    timespec relative = {100, 0};
    alarm(1);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, &relative), EINTR);
}

static pthread_mutex_t robust;

static void* die_with_lock(void*) {
    pthread_mutex_lock(&robust);
    return nullptr;
}

static void check_robust() {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attributes);
    pthread_t thread;
    pthread_create(&thread, nullptr, die_with_lock, nullptr);
    pthread_join(thread, nullptr);
    CHECK_EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(&robust), 0);
    pthread_mutex_unlock(&robust);
    // A hostile list ends nowhere or in a circle; exit must not hang on it.
    pid_t child = fork();
    if (child == 0) {
        static struct {
            void* next;
            long offset;
            void* pending;
        } head;
        static void* circle[2] = {&circle[1], &circle[0]};
        head.next = circle;
        head.offset = 8;
        head.pending = (void*)0x1234567;
        syscall(SYS_set_robust_list, &head, sizeof head);
        syscall(SYS_exit_group, 3);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 3 << 8);
    CHECK_ERRNO(syscall(SYS_set_robust_list, &word, 5), EINVAL);
}

// The list itself, over shared memory: each held word is marked and one waiter woken, of the pending one too; words
// that belong to somebody else stay as they are (get_robust_list(2)).
struct Lock {
    void* next;
    std::atomic<int> word;
};
struct Robust {
    struct {
        void* next;
        long offset;
        void* pending;
    } head;
    Lock held, others, pending;
    std::atomic<bool> ready;
};

static void check_robust_list() {
    auto* shared = check::shared<Robust>();
    pid_t child = fork();
    if (child == 0) {
        const int own = gettid();
        shared->held.word = own | int(FUTEX_WAITERS);
        shared->others.word = own + 1;
        shared->pending.word = own;
        shared->head.next = &shared->held;
        shared->held.next = &shared->others;
        shared->others.next = &shared->head;
        shared->head.offset = offsetof(Lock, word);
        shared->head.pending = &shared->pending;
        CHECK_OK(syscall(SYS_set_robust_list, &shared->head, sizeof shared->head));
        void* head = nullptr;
        size_t size = 0;
        CHECK_OK(syscall(SYS_get_robust_list, 0, &head, &size));
        CHECK(head == &shared->head && size == sizeof shared->head);
        shared->ready = true;
        for (;;) pause();
    }
    CHECK(check::eventually([&] { return shared->ready.load(); }));
    pid_t sleeper = fork();
    if (sleeper == 0) {
        const int seen = child | int(FUTEX_WAITERS);
        _exit(futex(&shared->held.word, FUTEX_WAIT, seen) == 0 ? 0 : 1);
    }
    CHECK(check::wait_asleep(sleeper));
    kill(child, SIGKILL);
    int status = -1;
    CHECK_EQ(waitpid(sleeper, &status, 0), sleeper);
    CHECK_EQ(status, 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(unsigned(shared->held.word), unsigned(FUTEX_WAITERS) | unsigned(FUTEX_OWNER_DIED));
    CHECK_EQ(shared->others.word.load(), child + 1);
    CHECK_EQ(unsigned(shared->pending.word), unsigned(FUTEX_OWNER_DIED));
}

int main() {
    check_errors();
    check_wakes();
    check_requeue();
    check_shared();
    check_unmapped();
    check_interruption();
    check_robust();
    check_robust_list();
    return check::result();
}
