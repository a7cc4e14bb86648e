// Senders, receivers, removal and death on one queue of messages: none is lost, none comes twice.
// timeout: 150
#include "memory.hpp"
#include "message_queues.hpp"
#include "proc_text.hpp"
#include <vector>

using namespace message_queues;

namespace {

constexpr int most_messages = 20000;
struct Ledger {
    std::atomic<int> next;
    std::atomic<unsigned char> received[most_messages];
};

/// Several send and receive numbers of different types and lengths over a small queue.
void test_all_arrive(int messages) {
    const int id = make();
    auto* ledger = check::shared<Ledger>();
    std::vector<pid_t> pids;
    for (int i = 0; i < 4; i++) {
        pids.push_back(child([&] {
            for (int number; (number = ledger->next++) < messages;)
                if (send(id, 1 + number % 3, number, sizeof(int) + size_t(number * 37) % 5000, 0) != 0) return -1;
            return 0;
        }));
        pids.push_back(child([&] {
            for (;;) {
                const int number = receive(id, i == 0 ? 0 : i == 3 ? -2 : i, 0);
                // The queue goes as receivers sleep, or as they are on the way to their next call.
                if (number < 0 && (errno == EIDRM || errno == EINVAL)) return 0;
                if (number < 0) return -1;
                ledger->received[number]++;
            }
        }));
    }
    // The first and the last receiver take what no other one wants.
    auto count = [&] {
        int sum = 0;
        for (int i = 0; i < messages; i++) sum += ledger->received[i];
        return sum;
    };
    CHECK(check::eventually([&] { return count() == messages; }, 120));
    for (int i = 0; i < messages; i++) CHECK_EQ(int(ledger->received[i]), 1);
    CHECK_EQ(status(id).msg_qnum, 0u);
    remove(id);
    for (pid_t pid : pids) CHECK_EQ(outcome(pid), 0);
}

/// Receivers that sleep are killed as messages come: what they didn't live to see is still there. (Linux hands the
/// message to the first that waits, though it is about to die, and loses it.)
void test_killed_receivers(int rounds) {
    const char* version = proc_text::read_file("/proc/version");
    const bool is_kept = version && strstr(version, "linnet");
    const int id = make();
    for (int round = 1; round <= rounds; round++) {
        pid_t pids[4];
        for (auto& pid : pids) pid = child([&] { return receive(id, 0, 0) >= 0 ? 0 : -1; });
        for (pid_t pid : pids) CHECK(check::wait_asleep(pid));
        for (pid_t pid : pids) kill(pid, SIGKILL);
        CHECK_EQ(send(id, 1, round), 0);
        for (pid_t pid : pids) CHECK_EQ(outcome(pid), 1000 + SIGKILL);
        const int got = receive(id);
        CHECK(got == round || (!is_kept && got == -1));
    }
    remove(id);
}

void test_removal(int rounds) {
    memory::Random random(11);
    for (int round = 0; round < rounds; round++) {
        const int id = make();
        pid_t pids[6];
        for (int i = 0; i < 6; i++)
            pids[i] = i % 2 ? child([&] {
                for (;;)
                    if (send(id, 1 + i % 3, 1, 4000, 0) != 0) return -1;
            })
                            : child([&] {
                                  for (;;)
                                      if (receive(id, i / 2, 0) < 0) return -1;
                              });
        if (random.below(2)) kill(pids[random.below(6)], SIGKILL);
        for (int i = int(random.below(4)); i > 0; i--) check::nap();
        remove(id);
        for (pid_t pid : pids) {
            const int end = outcome(pid);
            CHECK(end == 100 + EIDRM || end == 100 + EINVAL || end == 1000 + SIGKILL);
        }
    }
}

} // namespace

int main() {
    test_all_arrive(memory::long_run() ? most_messages : 1500);
    test_killed_receivers(memory::long_run() ? 300 : 10);
    test_removal(memory::long_run() ? 300 : 20);
    return check::result();
}
