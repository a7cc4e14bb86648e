// /proc/interrupts, /proc/softirqs and the lines intr and softirq of /proc/stat (proc(5)): formats, counts that rise
// where something happens, and agreement.
#include <algorithm>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "affinity.hpp"
#include "asleep.hpp"
#include "proc_text.hpp"

namespace {

// CPUs of the header.
int columns(const char* text) {
    int count = 0;
    for (const char* at = text; at && *at && *at != '\n'; at++)
        if (strncmp(at, "CPU", 3) == 0) count++;
    return count;
}

const char* next_line(const char* at) {
    const char* end = strchr(at, '\n');
    return end && end[1] ? end + 1 : nullptr;
}

// Sums the counts of the lines whose text behind the counts contains one of the words; of one CPU, or of all (-1).
unsigned long long sum(const char* text, int cpus, int cpu, std::initializer_list<const char*> words) {
    unsigned long long total = 0;
    for (const char* line = next_line(text); line; line = next_line(line)) {
        char* at = strchr((char*)line, ':');
        if (!at) continue;
        at++;
        unsigned long long here = 0;
        int seen = 0;
        for (; seen < cpus; seen++) {
            char* end = nullptr;
            const unsigned long long count = strtoull(at, &end, 10);
            if (end == at) break;
            at = end;
            if (cpu < 0 || cpu == seen) here += count;
        }
        const char* stop = strchr(at, '\n');
        char rest[200] = {};
        strncat(rest, at, std::min<size_t>(size_t(stop - at), sizeof rest - 1));
        for (const char* word : words)
            if (seen == cpus && strstr(rest, word)) {
                total += here;
                break;
            }
    }
    return total;
}

unsigned long long interrupts(int cpu, std::initializer_list<const char*> words) {
    const char* text = proc_text::read_file("/proc/interrupts");
    CHECK(text != nullptr);
    return sum(text, columns(text), cpu, words);
}

void test_format() {
    const char* text = proc_text::read_file("/proc/interrupts");
    const int online = int(sysconf(_SC_NPROCESSORS_ONLN));
    CHECK_EQ(columns(text), online);
    CHECK(strncmp(text + strspn(text, " "), "CPU0       ", 11) == 0);
    int numbered = 0;
    for (const char* line = next_line(text); line; line = next_line(line)) {
        const char* at = line + strspn(line, " ");
        const size_t length = strcspn(at, ":");
        CHECK(length > 0 && at[length] == ':');
        if (at[0] >= '0' && at[0] <= '9') {
            // Counts of 10 columns, the controller, the number there, the trigger, who asked for it.
            numbered++;
            const char* stop = strchr(line, '\n');
            CHECK_GE(stop - (at + length), online * 11 + 10);
        }
    }
    CHECK_GE(numbered, 1);
    text = proc_text::read_file("/proc/softirqs");
    CHECK_EQ(columns(text), online);
    CHECK(strncmp(text, "                    CPU0       ", 31) == 0);
    CHECK(strstr(text, "\n       SCHED: ") != nullptr);
    CHECK(strstr(text, "\n     HRTIMER: ") != nullptr);
}

void test_timer(int cpu) {
    check::stay_on(cpu);
    const unsigned long long before = interrupts(cpu, {"imer"});
    for (int i = 0; i < 20; i++) check::nap();
    CHECK_GE(interrupts(cpu, {"imer"}), before + 10);
}

std::atomic<bool> stop;
std::atomic<int> running;
void* spin(void* cpu) {
    check::stay_on(int(long(cpu)));
    running++;
    while (!stop) {
    }
    return nullptr;
}

// A barrier on another CPU interrupts that one and no other.
void test_calls(int cpu) {
    CHECK_OK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
    stop = false, running = 0;
    pthread_t thread{};
    CHECK_EQ(pthread_create(&thread, nullptr, spin, (void*)long(cpu)), 0);
    CHECK(check::eventually([] { return running == 1; }));
    const unsigned long long before = interrupts(cpu, {"unction call"});
    for (int i = 0; i < 50; i++) CHECK_OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    CHECK_GE(interrupts(cpu, {"unction call"}), before + 50);
    stop = true;
    pthread_join(thread, nullptr);
}

unsigned long long intr(unsigned long long* sum_of_lines = nullptr) {
    const char* text = proc_text::read_file("/proc/stat");
    const char* at = strstr(text, "\nintr ");
    CHECK(at != nullptr);
    char* end = nullptr;
    const unsigned long long total = strtoull(at + 6, &end, 10);
    unsigned long long sum = 0;
    while (*end == ' ') sum += strtoull(end + 1, &end, 10);
    CHECK_EQ(*end, '\n');
    if (sum_of_lines) *sum_of_lines = sum;
    return total;
}

void test_sums() {
    unsigned long long lines = 0;
    const unsigned long long total = intr(&lines);
    CHECK_GE(total, lines);
    // What happens between two looks at the lines happens between two looks at the sum around them.
    const unsigned long long first = interrupts(-1, {"imer", "escheduling", "unction call"});
    for (int i = 0; i < 20; i++) check::nap();
    const unsigned long long last = interrupts(-1, {"imer", "escheduling", "unction call"});
    CHECK_GE(last, first + 10);
    CHECK_GE(intr(), total + (last - first));

    const char* text = proc_text::read_file("/proc/stat");
    const char* at = strstr(text, "\nsoftirq ");
    CHECK(at != nullptr);
    char* end = nullptr;
    const unsigned long long softirqs = strtoull(at + 9, &end, 10);
    unsigned long long sum = 0;
    int kinds = 0;
    for (; *end == ' '; kinds++) sum += strtoull(end + 1, &end, 10);
    CHECK_EQ(kinds, 10);
    CHECK_EQ(*end, '\n');
    CHECK_EQ(softirqs, sum);
}

} // namespace

int main() {
    test_format();
    const int last = int(sysconf(_SC_NPROCESSORS_ONLN)) - 1;
    test_timer(last);
    check::stay_on(0);
    if (last > 0) test_calls(last);
    test_sums();
    return check::result();
}
