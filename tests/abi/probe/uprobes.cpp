// Probes of a program's text by perf_event_open(2) and the PMU "uprobe": what is counted and sampled, that the program
// goes on as if nothing were there, what forked children and other programs see of it, and what is refused.
// needs-linux: 5.13
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <atomic>
#include <thread>
#include <vector>

#include "child.hpp"
#include "memory.hpp"
#include "proc_text.hpp"
#include "uprobe.hpp"

using namespace check;

namespace {

int type;

// ---- code to be probed ----

[[gnu::noinline, gnu::used]] long sum(long a, long b) {
    asm volatile("");
    return a + b;
}

[[gnu::noinline, gnu::used]] long factorial(long n) {
    long below = n < 2 ? 1 : factorial(n - 1);
    asm volatile("" : "+r"(below)); // no loop is to be made of it
    return n < 2 ? 1 : n * below;
}

jmp_buf place;
[[gnu::noinline, gnu::used]] void leap(int depth) {
    asm volatile("");
    if (depth == 0) longjmp(place, 1);
    leap(depth - 1);
    asm volatile("");
}

[[gnu::noinline, gnu::used]] pid_t fork_inside() {
    asm volatile("");
    pid_t child = fork();
    asm volatile("");
    return child;
}

void entries() {
    int fd = uprobe::count(type, (void*)sum);
    CHECK_EQ(uprobe::value(fd), 0ul);
    for (long i = 0; i < 100; ++i) CHECK_EQ(sum(i, 2 * i), 3 * i);
    CHECK_EQ(uprobe::value(fd), 100ul);
    CHECK_EQ(ioctl(fd, PERF_EVENT_IOC_DISABLE, 0), 0);
    sum(1, 2);
    CHECK_EQ(uprobe::value(fd), 100ul);
    CHECK_EQ(ioctl(fd, PERF_EVENT_IOC_ENABLE, 0), 0);
    sum(1, 2);
    CHECK_EQ(uprobe::value(fd), 101ul);
    CHECK_EQ(ioctl(fd, PERF_EVENT_IOC_RESET, 0), 0);
    sum(1, 2);
    CHECK_EQ(uprobe::value(fd), 1ul);
    // A second one at the same place, and one for everybody on each CPU.
    int second = uprobe::count(type, (void*)sum);
    sum(1, 2);
    CHECK_EQ(uprobe::value(fd), 2ul);
    CHECK_EQ(uprobe::value(second), 1ul);
    close(fd);
    CHECK_EQ(sum(1, 2), 3);
    CHECK_EQ(uprobe::value(second), 2ul);
    close(second);
    CHECK_EQ(sum(1, 2), 3);
}

void text_is_private() {
    unsigned char before[4], now[4];
    memcpy(before, (void*)sum, 4);
    uprobe::Place where = uprobe::place_of((void*)sum);
    int fd = uprobe::count(type, (void*)sum);
    memcpy(now, (void*)sum, 4);
    CHECK(memcmp(before, now, 4) != 0); // the breakpoint
    int file = open(where.path, O_RDONLY);
    CHECK_EQ(pread(file, now, 4, off_t(where.offset)), 4);
    CHECK(memcmp(before, now, 4) == 0);
    close(file);
    close(fd);
    memcpy(now, (void*)sum, 4);
    CHECK(memcmp(before, now, 4) == 0);
}

void returns() {
    int entry = uprobe::count(type, (void*)factorial), leave = uprobe::count(type, (void*)factorial, 0, true);
    CHECK_EQ(factorial(1), 1);
    CHECK_EQ(uprobe::value(leave), 1ul);
    long wanted = 1;
    for (long i = 2; i <= 20; ++i) wanted *= i;
    CHECK_EQ(factorial(20), wanted);
    CHECK_EQ(uprobe::value(entry), 21ul);
    CHECK_EQ(uprobe::value(leave), 21ul);
    close(entry);
    close(leave);
    CHECK_EQ(factorial(20), wanted);
}

[[gnu::noinline, gnu::used]] long deep(long n) {
    asm volatile("");
    long below = n == 0 ? 0 : deep(n - 1);
    asm volatile("" : "+r"(below));
    return below + 1;
}

// No more than 64 calls at a time are followed (Linux's documentation says nothing of it; its behaviour does).
void returns_nested_too_deep() {
    int leave = uprobe::count(type, (void*)deep, 0, true);
    CHECK_EQ(deep(99), 100);
    CHECK_EQ(uprobe::value(leave), 64ul);
    close(leave);
}

void returns_past_longjmp() {
    int entry = uprobe::count(type, (void*)leap), leave = uprobe::count(type, (void*)leap, 0, true);
    int outer = uprobe::count(type, (void*)factorial, 0, true);
    for (int i = 0; i < 200; ++i)
        if (setjmp(place) == 0) leap(3);
    CHECK_EQ(uprobe::value(entry), 800ul);
    CHECK_EQ(uprobe::value(leave), 0ul);
    CHECK_EQ(factorial(5), 120);
    CHECK_EQ(uprobe::value(outer), 5ul);
    close(entry);
    close(leave);
    close(outer);
}

void forks_inside() {
    int leave = uprobe::count(type, (void*)fork_inside, 0, true);
    pid_t child = fork_inside();
    if (child == 0) _exit(sum(20, 22) == 42 ? 7 : 8);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    CHECK_EQ(uprobe::value(leave), 1ul);
    close(leave);
}

// ---- children, threads ----

void children_inherit() {
    uprobe::Place where = uprobe::place_of((void*)sum);
    perf_event_attr asked = uprobe::attributes(type, where.path, where.offset);
    asked.inherit = 1;
    int inherited = perf::opened(perf::open_event(&asked)), own = uprobe::count(type, (void*)sum);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 10; ++i)
            if (sum(i, i) != 2 * i) _exit(1);
        _exit(0);
    }
    int status = 1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(uprobe::value(inherited), 10ul);
    CHECK_EQ(uprobe::value(own), 0ul);
    close(inherited);
    close(own);
    // A child that is still there when the probe goes, and one made afterwards.
    int counted = uprobe::count(type, (void*)sum);
    int go[2];
    CHECK_EQ(pipe(go), 0);
    child = fork();
    if (child == 0) {
        char byte;
        close(go[1]);
        if (read(go[0], &byte, 1) != 0) _exit(1);
        _exit(sum(1, 2) == 3 ? 0 : 2);
    }
    close(go[0]);
    close(counted);
    close(go[1]);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

std::atomic<bool> stop{false};
std::atomic<long> wrong{0}, calls{0};

void* call(void*) {
    for (long i = 0; !stop; ++i) {
        if (sum(i, 1) != i + 1) ++wrong;
        if (factorial(5) != 120) ++wrong;
        ++calls;
    }
    return nullptr;
}

// Planted and removed in a loop while four threads run through.
void comes_and_goes() {
    pthread_t threads[4];
    stop = false;
    for (pthread_t& thread : threads) CHECK_EQ(pthread_create(&thread, nullptr, call, nullptr), 0);
    const int rounds = getenv("LINNET_LONG") ? 2000 : 20;
    for (int i = 0; i < rounds; ++i) {
        int a = uprobe::count(type, (void*)sum, 0, i % 2), b = uprobe::count(type, (void*)factorial, 0, i % 3 == 0);
        sum(1, 2);
        CHECK_EQ(uprobe::value(a), 1ul);
        close(a);
        sum(1, 2);
        close(b);
    }
    stop = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    CHECK_EQ(wrong.load(), 0);
    CHECK_GT(calls.load(), 0);
}

void everybody_on_a_cpu() {
    int total = 0, fds[64];
    uprobe::Place where = uprobe::place_of((void*)sum);
    perf_event_attr asked = uprobe::attributes(type, where.path, where.offset);
    for (int cpu = 0; cpu < 64 && total < 64; ++cpu) {
        int fd = perf::open_event(&asked, -1, cpu);
        if (fd >= 0) fds[total++] = fd;
    }
    CHECK_GE(total, 1);
    pid_t children[100];
    for (pid_t& child : children) {
        child = fork();
        if (child == 0) {
            for (int i = 0; i < 5; ++i)
                if (sum(i, 2) != i + 2) _exit(1);
            _exit(0);
        }
        CHECK_GT(child, 0);
    }
    for (pid_t child : children) {
        int status = 1;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
    uint64_t sum_of_all = 0;
    for (int i = 0; i < total; ++i) sum_of_all += uprobe::value(fds[i]);
    if (proc_text::counts_exactly()) CHECK_EQ(sum_of_all, 500ul);
    CHECK_GT(sum_of_all, 400ul);
    for (int i = 0; i < total; ++i) close(fds[i]);
}

// However often it is moved: a thread that comes there counts on one CPU, even when there are many who count. Linux
// asks them one after the other, and may miss some or count them twice.
void moved_all_the_time() {
    std::vector<int> cpus;
    cpu_set_t all;
    CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    for (int cpu = 0; cpu < 64; ++cpu)
        if (CPU_ISSET(cpu, &all)) cpus.push_back(cpu);
    uprobe::Place where = uprobe::place_of((void*)sum);
    perf_event_attr asked = uprobe::attributes(type, where.path, where.offset);
    constexpr int times = 8;
    std::vector<int> fds[times];
    for (std::vector<int>& each : fds)
        for (int cpu : cpus) each.push_back(perf::opened(perf::open_event(&asked, -1, cpu)));
    constexpr int hits = 2000;
    std::atomic<pid_t> moved{0};
    std::atomic<bool> done{false};
    std::thread runs([&] {
        moved = gettid();
        for (int i = 0; i < hits; ++i)
            if (sum(i, 2) != i + 2) ++wrong;
        done = true;
    });
    for (size_t i = 0; !done; ++i) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpus[i % cpus.size()], &one);
        if (pid_t thread = moved) sched_setaffinity(thread, sizeof one, &one);
    }
    runs.join();
    CHECK_EQ(wrong.load(), 0);
    for (std::vector<int>& each : fds) {
        uint64_t counted = 0;
        for (int fd : each) counted += uprobe::value(fd);
        CHECK_GT(counted, 0ul);
        if (proc_text::counts_exactly()) CHECK_EQ(counted, uint64_t(hits));
        for (int fd : each) close(fd);
    }
}

// ---- samples ----

void samples() {
    uprobe::Place where = uprobe::place_of((void*)sum);
    perf_event_attr asked = uprobe::attributes(type, where.path, where.offset);
    asked.sample_period = 1;
    asked.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID;
    int fd = perf::opened(perf::open_event(&asked));
    perf::Ring ring(fd, 8);
    for (int i = 0; i < 10; ++i) sum(i, i);
    std::vector<perf::Record> records = ring.take(PERF_RECORD_SAMPLE);
    CHECK_EQ(records.size(), 10ul);
    for (const perf::Record& record : records) {
        CHECK_EQ(record.words[0], uint64_t((void*)sum));
        CHECK_EQ(uint32_t(record.words[1]), uint32_t(getpid()));
        CHECK_EQ(record.header.misc & PERF_RECORD_MISC_CPUMODE_MASK, PERF_RECORD_MISC_USER);
    }
    ring.unmap();
    close(fd);
}

// ---- signals ----

std::atomic<int> ticks{0};
void count_tick(int) { ++ticks; }

void signals_meanwhile() {
    struct sigaction action = {};
    action.sa_handler = count_tick;
    sigaction(SIGALRM, &action, nullptr);
    int entry = uprobe::count(type, (void*)sum), leave = uprobe::count(type, (void*)factorial, 0, true);
    itimerval every = {{0, 1000}, {0, 1000}}, never = {};
    setitimer(ITIMER_REAL, &every, nullptr);
    long done = 0;
    while (ticks < 50) {
        CHECK_EQ(sum(done, 4), done + 4);
        CHECK_EQ(factorial(3), 6);
        ++done;
    }
    setitimer(ITIMER_REAL, &never, nullptr);
    CHECK_EQ(uprobe::value(entry), uint64_t(done));
    CHECK_EQ(uprobe::value(leave), uint64_t(3 * done));
    close(entry);
    close(leave);
}

// ---- what is refused ----

void refusals() {
    uprobe::Place where = uprobe::place_of((void*)sum);
    auto open_at = [](const char* path, uint64_t offset, uint64_t config = 0) {
        perf_event_attr asked = uprobe::attributes(type, path, offset);
        asked.config = config;
        int fd = perf::open_event(&asked);
        if (fd >= 0) close(fd);
        return fd;
    };
    CHECK_ERRNO(open_at("/no/such/file", 0), ENOENT);
    CHECK_ERRNO(open_at("/tmp", 0), EINVAL);
    CHECK_ERRNO(open_at("/dev/null", 0), EINVAL);
    CHECK_ERRNO(open_at("", 0), EINVAL);
    CHECK_ERRNO(open_at(nullptr, 0), EINVAL);
    CHECK_ERRNO(open_at(reinterpret_cast<const char*>(8), 0), EFAULT);
    CHECK_ERRNO(open_at(where.path, uint64_t(1) << 40), EINVAL);
    open_at(where.path, ~uint64_t(0)); // Linux 6.1 takes it for -1, which is not behind the end
    CHECK_GE(open_at(where.path, where.offset), 0);
    pid_t child = fork();
    if (child == 0) {
        if (setresuid(1000, 1000, 1000) != 0) _exit(1);
        perf_event_attr asked = uprobe::attributes(type, where.path, where.offset);
        asked.exclude_kernel = 1;
        _exit(perf::open_event(&asked) == -1 && errno == EACCES ? 0 : errno);
    }
    int status = 1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

} // namespace

int main() {
    type = uprobe::needed_pmu("uprobe");
    entries();
    text_is_private();
    samples();
    children_inherit();
    everybody_on_a_cpu();
    moved_all_the_time();
    signals_meanwhile();
    refusals();
#ifdef __loongarch__ // a thread of Linux's there dies of the breakpoint
    const bool may_come_and_go = proc_text::is_linnet();
#else
    const bool may_come_and_go = true;
#endif
    if (may_come_and_go) comes_and_goes();
    returns();
    returns_nested_too_deep();
    returns_past_longjmp();
    forks_inside();
    return result();
}
