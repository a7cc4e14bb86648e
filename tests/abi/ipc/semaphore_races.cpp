// Many processes on one set: killed at random while they hold it, removed while they wait, and changing several
// semaphores at once.
// timeout: 150
#include "memory.hpp"
#include "semaphores.hpp"
#include <pthread.h>
#include <vector>

using namespace semaphores;

namespace {

/// A semaphore is a lock that every process takes with SEM_UNDO; most of them are killed with it or while they wait.
void test_killed_holders(int processes, int at_once) {
    const int id = make(2);
    set(id, 0, 1), set(id, 1, 100);
    memory::Random random(7);
    struct Counts {
        std::atomic<int> inside, collisions, rounds;
    };
    auto* counts = check::shared<Counts>();
    std::vector<pid_t> running;
    for (int i = 0; i < processes || !running.empty();) {
        if (i < processes && int(running.size()) < at_once) {
            const pid_t pid = fork();
            REQUIRE(pid >= 0);
            if (pid == 0) {
                for (int round = 0; round < 50; round++) {
                    if (operate(id, {step(0, -1, undo), step(1, -1, undo)}) != 0) _exit(errno);
                    if (value(id) != 0) counts->collisions++;
                    counts->rounds++;
                    if (operate(id, {step(0, 1, undo), step(1, 1, undo)}) != 0) _exit(errno);
                }
                _exit(0);
            }
            running.push_back(pid);
            i++;
            continue;
        }
        const size_t chosen = random.below(uint32_t(running.size()));
        if (random.below(8) != 0) kill(running[chosen], SIGKILL);
        const int end = outcome(running[chosen]);
        CHECK(end == 0 || end == 1000 + SIGKILL);
        running[chosen] = running.back();
        running.pop_back();
    }
    CHECK_EQ(value(id, 0), 1);
    CHECK_EQ(value(id, 1), 100);
    CHECK_EQ(counts->collisions.load(), 0);
    CHECK_EQ(semctl(id, 0, GETNCNT), 0);
    remove(id);
}

void test_removal(int rounds) {
    memory::Random random(3);
    for (int round = 0; round < rounds; round++) {
        const int id = make(3);
        set(id, 2, 1);
        pid_t pids[8];
        for (int i = 0; i < 8; i++) switch (i % 4) {
            case 0:
                pids[i] = child(id, {step(0, -1, undo)});
                break;
            case 1:
                pids[i] = child(id, {step(0, -1), step(1, -1, undo)});
                break;
            case 2:
                pids[i] = child(id, {step(2, 0)});
                break;
            default:
                pids[i] = child(id, {step(1, 0), step(2, 0)});
            }
        if (random.below(2)) kill(pids[random.below(8)], SIGKILL);
        if (random.below(2)) operate(id, {step(0, 1)});
        remove(id);
        for (pid_t pid : pids) {
            const int end = outcome(pid);
            CHECK(end == 0 || end == EIDRM || end == EINVAL || end == 1000 + SIGKILL);
        }
    }
}

/// Tokens are moved about between semaphores, with signals that interrupt the waits; none is lost and none is made.
struct Table {
    int id;
    int rounds;
};
void* move_tokens(void* argument) {
    auto* table = static_cast<Table*>(argument);
    memory::Random random{uint64_t(gettid())};
    for (int round = 0; round < table->rounds; round++) {
        const int from = int(random.below(4)), to = int(random.below(4)), number = 1 + int(random.below(3));
        Step steps[2] = {step(from, -number), step(to, number)};
        timespec soon = {0, 1'000'000};
        if (semtimedop(table->id, steps, 2, &soon) == 0) continue;
        const int why = errno;
        CHECK(why == EAGAIN || why == EINTR);
        // One alone, given back at once.
        soon = {0, 500'000};
        if (semtimedop(table->id, steps, 1, &soon) != 0) continue;
        steps[0].sem_op = short(number);
        CHECK_EQ(semop(table->id, steps, 1), 0);
    }
    return nullptr;
}
void test_tokens(int rounds) {
    Table table = {make(4), rounds};
    for (int i = 0; i < 4; i++) set(table.id, i, 3);
    check::handle(SIGUSR1, [](int) {});
    pthread_t threads[8];
    for (auto& thread : threads) pthread_create(&thread, nullptr, move_tokens, &table);
    for (int i = 0; i < 20; i++) check::nap(), pthread_kill(threads[i % 8], SIGUSR1);
    for (auto& thread : threads) pthread_join(thread, nullptr);
    int sum = 0;
    for (int i = 0; i < 4; i++) sum += value(table.id, i);
    CHECK_EQ(sum, 12);
    for (int i = 0; i < 4; i++) CHECK(semctl(table.id, i, GETNCNT) == 0 && semctl(table.id, i, GETZCNT) == 0);
    remove(table.id);
}

} // namespace

int main() {
    test_killed_holders(memory::long_run() ? 5000 : 1000, 40);
    test_removal(memory::long_run() ? 500 : 30);
    test_tokens(memory::long_run() ? 3000 : 100);
    return check::result();
}
