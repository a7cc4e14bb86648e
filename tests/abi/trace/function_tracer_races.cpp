// The function tracer switched on and off, and its functions changed, while four threads run through them: they get
// what they ask for, and nothing is left behind.
// needs-linux: 6.12
// timeout: 240
#include <pthread.h>
#include <sys/wait.h>

#include <atomic>

#include "child.hpp"
#include "function_tracer.hpp"

using namespace check;
using namespace functions;

namespace {

std::atomic<bool> is_over{false};
std::atomic<unsigned long> turns{0};

/// Calls, faults, pipes, children.
void* work(void*) {
    while (!is_over) {
        int fds[2];
        CHECK_OK(pipe(fds));
        const pid_t child = fork();
        if (child == 0) {
            char byte = 0;
            _exit(read(fds[0], &byte, 1) == 1 && byte == 'x' ? 7 : 8);
        }
        auto* memory =
            static_cast<char*>(mmap(nullptr, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        memset(memory, 1, 1 << 16);
        CHECK_EQ(memory[5000], 1);
        munmap(memory, 1 << 16);
        for (int i = 0; i < 20; ++i) {
            CHECK_EQ(syscall(SYS_getpgid, 0), getpgrp());
            call_two();
        }
        CHECK_EQ(write(fds[1], "x", 1), 1);
        int status = 0;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(code_of(status), 7);
        close(fds[0]);
        close(fds[1]);
        ++turns;
    }
    return nullptr;
}

void wait_for_work(unsigned long more) {
    const unsigned long wanted = turns + more;
    while (turns < wanted) sched_yield();
}

void switch_about(int times) {
    // Linux changes each function by itself while QEMU executes it: of many one ends in a panic.
    const std::vector<std::string> lists = proc_text::is_linnet()
                                               ? std::vector<std::string>{"", one, "*get*", "*e*", one + " " + two, "*"}
                                               : std::vector<std::string>{one, two, one + " " + two};
    for (int i = 0; i < times; ++i) {
        if (i % 3 == 0) CHECK_EQ(write_text("trace", "\n", O_TRUNC), 0);
        choose(filter, lists[size_t(i) % lists.size()]);
        CHECK_EQ(write_text("current_tracer", "function"), 0);
        wait_for_work(1);
        CHECK_EQ(write_text(notrace, (i % 2 ? one : "*get*") + "\n", O_TRUNC), 0);
        CHECK_EQ(write_text(pids, std::to_string(i % 2 ? getpid() : 1), i % 4 ? O_APPEND : O_TRUNC), 0);
        CHECK_EQ(write_text(filter, two + "\n", O_APPEND), 0);
        wait_for_work(1);
        CHECK_EQ(write_text(notrace, "\n", O_TRUNC), 0);
        CHECK_EQ(write_text(pids, "\n", O_TRUNC), 0);
        CHECK_EQ(write_text("current_tracer", "nop"), 0);
        CHECK(says("enabled_functions", ""));
    }
}

/// Every function that there is, those that run while others are recorded among them.
void switch_all(int times) {
    CHECK_EQ(write_text(filter, "\n", O_TRUNC), 0);
    for (int i = 0; i < times; ++i) {
        CHECK_EQ(write_text("current_tracer", "function"), 0);
        wait_for_work(1);
        CHECK_EQ(write_text("current_tracer", "nop"), 0);
    }
}

/// What a function of the kernel is probed for, the tracer does not take away, and the other way round.
void with_a_probe() {
    const int type = uprobe::needed_pmu("kprobe");
    const auto counts = [&](int fd) {
        const uint64_t before = uprobe::value(fd);
        for (int i = 0; i < 10; ++i) call_one();
        return uprobe::value(fd) - before;
    };
    perf_event_attr asked = kprobe::attributes(type, one.c_str(), 0);
    int fd = perf::open_event(&asked, 0, -1);
    if (fd < 0 && !proc_text::is_linnet()) return; // RISC-V's Linux probes nothing where its tracer begins
    REQUIRE(fd >= 0);
    CHECK_EQ(counts(fd), 10u);
    trace(one);
    CHECK_EQ(counts(fd), 10u);
    CHECK_EQ(hits(entries(), one, getpid()), 10u);
    CHECK_EQ(write_text("current_tracer", "nop"), 0);
    CHECK_EQ(counts(fd), 10u);
    trace(one);
    close(fd);
    for (int i = 0; i < 10; ++i) call_one();
    CHECK_EQ(hits(entries(), one, getpid()), 10u);
    fd = perf::open_event(&asked, 0, -1);
    REQUIRE(fd >= 0);
    CHECK_EQ(counts(fd), 10u);
    CHECK_EQ(hits(entries(), one, getpid()), 20u);
    close(fd);
    CHECK_EQ(write_text("current_tracer", "nop"), 0);
}

} // namespace

int main() {
    functions::mount();
    with_a_probe();
    everything_off();
    pthread_t threads[4];
    for (pthread_t& thread : threads) CHECK_EQ(pthread_create(&thread, nullptr, work, nullptr), 0);
    switch_about(proc_text::is_linnet() ? 50 : 5);
    if (proc_text::is_linnet()) switch_all(getenv("LINNET_LONG") ? 50 : 15);
    is_over = true;
    for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
    functions::unmount();
    return result();
}
