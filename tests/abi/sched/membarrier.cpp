// membarrier(2): what a kernel offers works once it is registered, and only then; who inherits a registration; and the
// barrier itself, in a pair of threads of which one has none of its own.
// needs-linux: 6.3
#include "asleep.hpp"
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>

namespace {

constexpr int get_registrations = 1 << 9; // MEMBARRIER_CMD_GET_REGISTRATIONS
constexpr struct {
    int command, registration;
} pairs[] = {
    {MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED},
    {MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE},
    {1 << 7, 1 << 8}, // ..._RSEQ
};

long membarrier(int command, unsigned flags = 0, int cpu = 0) { return syscall(SYS_membarrier, command, flags, cpu); }

int offered;

void test_arguments() {
    CHECK(offered & MEMBARRIER_CMD_GLOBAL);
    CHECK(offered & MEMBARRIER_CMD_GLOBAL_EXPEDITED);
    CHECK(offered & MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
    CHECK(offered & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    CHECK(offered & get_registrations);
    for (int command : {-1, 3, 1 << 10, 1 << 30}) CHECK_ERRNO(membarrier(command), EINVAL);
    for (int command : {0, 1, 2, 4, 8, 16, 32, 64, get_registrations}) {
        CHECK_ERRNO(membarrier(command, 2), EINVAL);
        CHECK_ERRNO(membarrier(command, 1), EINVAL); // MEMBARRIER_CMD_FLAG_CPU is for the one of rseq
    }
    for (auto [command, registration] : pairs) {
        if (offered & command) continue;
        CHECK_ERRNO(membarrier(command), EINVAL);
        CHECK_ERRNO(membarrier(registration), EINVAL);
    }
}

void test_registrations() {
    CHECK_EQ(membarrier(get_registrations), 0);
    CHECK_OK(membarrier(MEMBARRIER_CMD_GLOBAL));
    CHECK_OK(membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED)); // for those who are registered; all may ask
    for (auto [command, registration] : pairs) {
        if (!(offered & command)) continue;
        check::run_in_child([&] {
            CHECK_ERRNO(membarrier(command), EPERM);
            CHECK_OK(membarrier(registration));
            CHECK_OK(membarrier(registration));
            CHECK_OK(membarrier(command));
            CHECK(membarrier(get_registrations) & registration);
            CHECK_ERRNO(membarrier(command, 4), EINVAL);
            CHECK(!(membarrier(get_registrations) & MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED));
            check::run_in_child([&] { CHECK_OK(membarrier(command)); }); // a copy of the memory
        });
        CHECK_ERRNO(membarrier(command), EPERM); // the parent has not got it
    }
    CHECK_OK(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED));
    CHECK_OK(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
    CHECK_EQ(membarrier(get_registrations),
             MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    CHECK_OK(membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED));
}

// Each thread announces itself and looks for the other; one of them at least must see it. The first has only the
// compiler in order, the second asks for the barrier on both.
struct Round {
    std::atomic<int> turn{0}, first{0}, second{0}, arrived{0};
    int seen_by_first = 0;
};
Round duel;
constexpr int rounds = 300;

void* light_side(void*) {
    for (int i = 1; i <= rounds; i++) {
        while (duel.turn.load() != i) {
        }
        duel.first.store(i, std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        duel.seen_by_first = duel.second.load(std::memory_order_relaxed);
        duel.arrived.store(i);
    }
    return nullptr;
}
void test_barrier(int command) {
    duel.turn = duel.first = duel.second = duel.arrived = 0;
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, nullptr, light_side, nullptr), 0);
    int missed = 0;
    for (int i = 1; i <= rounds; i++) {
        duel.turn.store(i);
        duel.second.store(i, std::memory_order_relaxed);
        if (membarrier(command) != 0) missed = rounds;
        const int seen = duel.first.load(std::memory_order_relaxed);
        while (duel.arrived.load() != i) {
        }
        missed += seen != i && duel.seen_by_first != i;
    }
    CHECK_EQ(missed, 0);
    pthread_join(thread, nullptr);
}

} // namespace

int main(int count, char** arguments) {
    offered = int(membarrier(MEMBARRIER_CMD_QUERY));
    if (offered < 0) check::skip("no membarrier");
    if (!(offered & get_registrations)) check::skip("before Linux 6.3");
    if (count > 1) return membarrier(get_registrations) == 0 ? 0 : 1;
    test_arguments();
    test_registrations();
    test_barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    test_barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
    if (offered & MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE) {
        CHECK_OK(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE));
        test_barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE);
    }
    // Another program has none.
    check::run_in_child([&] {
        execl("/proc/self/exe", arguments[0], "again", nullptr);
        CHECK(false);
    });
    return check::result();
}
