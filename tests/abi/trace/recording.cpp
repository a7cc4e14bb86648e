// What the trace says of what programs do: forks, executions, switches, system calls, marks; as text, taken away, and
// as pages.
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>

#include "asleep.hpp"
#include "child.hpp"
#include "tracefs.hpp"

using namespace check;
using namespace tracefs;

namespace {

void enable(const std::string& event, const char* value = "1") {
    CHECK_EQ(write_text("events/" + event + "/enable", value), 0);
}

std::string number(long value) { return std::to_string(value); }

/// Only this thread is recorded.
void only_me() { CHECK_EQ(write_text("set_event_pid", number(getpid()), O_TRUNC), 0); }

void forks_and_exits() {
    reset();
    enable("sched/sched_process_fork");
    enable("sched/sched_process_exec");
    enable("sched/sched_process_exit");
    const pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "recording", "nothing", nullptr);
        _exit(1);
    }
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    enable("sched", "0");
    const std::string text = entries();
    CHECK(contains(text, ": sched_process_fork: comm=" + std::string(program_invocation_short_name).substr(0, 15) +
                             " pid=" + number(getpid()) + " child_comm="));
    CHECK(contains(text, " child_pid=" + number(child) + "\n"));
    CHECK(contains(text, ": sched_process_exec: filename=/proc/self/exe pid=" + number(child) +
                             " old_pid=" + number(child) + "\n"));
    CHECK(contains(text, " pid=" + number(child) + " prio=120"));
    // TASK-PID, CPU, five characters, seconds.
    const size_t at = text.find("sched_process_fork: comm=" + std::string(program_invocation_short_name).substr(0, 15) +
                                " pid=" + number(getpid()));
    const size_t line = text.rfind('\n', at) + 1;
    char comm[64];
    int pid = 0, cpu = -1, seconds = -1, micros = -1;
    char flags[16] = "";
    CHECK_EQ(sscanf(text.c_str() + (line > at ? 0 : line), " %63[^-]-%d [%d] %15s %d.%d: ", comm, &pid, &cpu, flags,
                    &seconds, &micros),
             6);
    CHECK_EQ(pid, getpid());
    CHECK_EQ(strlen(flags), 5u);
}

void switches_and_wakeups() {
    reset();
    int fds[2];
    CHECK_OK(pipe(fds));
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0) {
        char byte;
        close(fds[1]);
        const bool has_read = read(fds[0], &byte, 1) == 1;
        wait_asleep(parent); // else it may find that this has ended without having slept
        _exit(has_read ? 0 : 1);
    }
    close(fds[0]);
    wait_asleep(child);
    enable("sched/sched_switch");
    enable("sched/sched_waking");
    enable("sched/sched_wakeup");
    CHECK_EQ(write(fds[1], "x", 1), 1);
    close(fds[1]);
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    enable("sched", "0");
    const std::string text = entries();
    CHECK(contains(text, ": sched_waking: comm="));
    CHECK(contains(text, " pid=" + number(child) + " prio=120 target_cpu=0"));
    CHECK(contains(text, " next_pid=" + number(child) + " next_prio=120\n"));
    CHECK(contains(text, " prev_pid=" + number(getpid()) + " prev_prio=120 prev_state=S ==> next_comm="));
    CHECK(contains(text, ": sched_wakeup: comm="));
}

void system_calls() {
    reset();
    only_me();
    enable("raw_syscalls/sys_enter");
    enable("raw_syscalls/sys_exit");
    syscall(SYS_dup, 12345);
    syscall(SYS_getppid);
    CHECK_EQ(write_text("tracing_on", "0"), 0);
    enable("raw_syscalls", "0");
    std::string text = entries();
    CHECK(contains(text, ": sys_enter: NR " + number(SYS_dup) + " (3039, "));
    CHECK(contains(text, ": sys_exit: NR " + number(SYS_dup) + " = -9\n"));
    CHECK(contains(text, ": sys_exit: NR " + number(SYS_getppid) + " = " + number(getppid()) + "\n"));

    reset();
    only_me();
    CHECK_EQ(write_text("events/raw_syscalls/sys_exit/filter", "id == " + number(SYS_getppid) + " && ret > 0"), 0);
    enable("raw_syscalls/sys_exit");
    syscall(SYS_dup, 12345);
    syscall(SYS_getppid);
    enable("raw_syscalls/sys_exit", "0");
    CHECK_EQ(write_text("events/raw_syscalls/sys_exit/filter", "0"), 0);
    text = entries();
    CHECK_EQ(count(text, "sys_exit: NR "), 1u);
    CHECK(contains(text, " = " + number(getppid()) + "\n"));

    // Who ends never comes back from the call.
    reset();
    const std::string end = "id == " + number(SYS_exit_group) + " || id == " + number(SYS_exit);
    for (const char* event : {"sys_enter", "sys_exit"})
        CHECK_EQ(write_text(std::string("events/raw_syscalls/") + event + "/filter", end), 0);
    enable("raw_syscalls");
    run_in_child([] {});
    enable("raw_syscalls", "0");
    for (const char* event : {"sys_enter", "sys_exit"})
        CHECK_EQ(write_text(std::string("events/raw_syscalls/") + event + "/filter", "0"), 0);
    text = entries();
    CHECK(contains(text, ": sys_enter: NR " + number(SYS_exit_group) + " ("));
    CHECK(!contains(text, ": sys_exit: NR "));
}

void marks() {
    reset();
    CHECK_EQ(write_text("trace_marker", "a mark"), 0);
    CHECK_EQ(write_text("trace_marker", "with an end\n"), 0);
    CHECK_EQ(write_text("trace_marker_raw", std::string("\x12\0\0\0abcd", 8)), 0);
    CHECK_EQ(write_text("trace_marker_raw", "abc"), EINVAL);
    const std::string text = entries();
    CHECK(contains(text, ": tracing_mark_write: a mark\n"));
    CHECK(contains(text, ": tracing_mark_write: with an end\n"));
    CHECK(contains(text, ": # 12 buf: 61 62 63 64"));
    const int fd = open(path("trace_marker").c_str(), O_WRONLY);
    CHECK_ERRNO(write(fd, (void*)8, 10), EFAULT);
    close(fd);
    CHECK_EQ(write_text("trace", "", O_TRUNC), 0);
    CHECK(!contains(entries(), "a mark"));
}

void taken_away() {
    reset();
    const int pipe = open(path("trace_pipe").c_str(), O_RDONLY | O_NONBLOCK);
    REQUIRE(pipe >= 0);
    char buffer[4096];
    CHECK_ERRNO(read(pipe, buffer, sizeof buffer), EAGAIN);
    pollfd wanted = {pipe, POLLIN, 0};
    CHECK_EQ(poll(&wanted, 1, 0), 0);
    CHECK_EQ(write_text("trace_marker", "to be taken"), 0);
    CHECK_EQ(poll(&wanted, 1, -1), 1);
    ssize_t got = read(pipe, buffer, sizeof buffer - 1);
    CHECK_GT(got, 0);
    buffer[std::max<ssize_t>(got, 0)] = 0;
    CHECK(contains(buffer, "tracing_mark_write: to be taken\n"));
    CHECK_ERRNO(read(pipe, buffer, sizeof buffer), EAGAIN);
    CHECK(!contains(entries(), "to be taken"));
    // A reader that waits is woken.
    CHECK_OK(fcntl(pipe, F_SETFL, 0));
    const pid_t writer = fork();
    if (writer == 0) {
        wait_asleep(getppid());
        _exit(write_text("trace_marker", "late"));
    }
    got = read(pipe, buffer, sizeof buffer - 1);
    CHECK_GT(got, 0);
    buffer[std::max<ssize_t>(got, 0)] = 0;
    CHECK(contains(buffer, "tracing_mark_write: late\n"));
    CHECK_EQ(waitpid(writer, nullptr, 0), writer);
    close(pipe);
}

uint32_t word(const std::string& bytes, size_t at) {
    uint32_t value = 0;
    if (at + sizeof value <= bytes.size()) memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

/// Finds the entry in a page that has the text; its time, or 0.
uint64_t find_in_page(const std::string& page, const std::string& wanted) {
    uint64_t time;
    memcpy(&time, page.data(), sizeof time);
    const size_t end = 16 + (word(page, 8) & 0xfffff);
    for (size_t at = 16; at < end;) {
        const uint32_t head = word(page, at), type = head & 31;
        if (type == 30) {
            time += (uint64_t(word(page, at + 4)) << 27) + (head >> 5);
            at += 8;
            continue;
        }
        if (type >= 29) return 0;
        time += head >> 5;
        const size_t data = at + (type ? 4 : 8), size = type ? type * 4 : word(page, at + 4) - 4;
        if (contains(page.substr(data, size), wanted)) return time;
        at = data + size;
    }
    return 0;
}

void pages() {
    reset();
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    CHECK_OK(sched_setaffinity(0, sizeof set, &set));
    // A clock that shows more does not stop the next one.
    CHECK_EQ(write_text("trace_clock", "tai"), 0);
    CHECK_EQ(write_text("trace_marker", "long ago"), 0);
    CHECK_EQ(write_text("trace_clock", "local"), 0);
    CHECK_EQ(write_text("trace_marker", "first"), 0);
    CHECK_EQ(write_text("trace_marker", std::string(300, 'y') + "second"), 0);
    const size_t size = size_t(getpagesize());
    const int raw = open(path("per_cpu/cpu0/trace_pipe_raw").c_str(), O_RDONLY | O_NONBLOCK);
    std::string page(size, 0);
    CHECK_EQ(read(raw, page.data(), size), ssize_t(size));
    const uint64_t first = find_in_page(page, "first"), second = find_in_page(page, "second");
    CHECK_GT(first, 0u);
    CHECK_GT(second, first);
    CHECK_ERRNO(read(raw, page.data(), size), EAGAIN);
    // In pieces, and only once.
    CHECK_EQ(write_text("trace_marker", "third"), 0);
    CHECK_EQ(read(raw, page.data(), 100), 100);
    CHECK_EQ(read(raw, page.data() + 100, size), ssize_t(size - 100));
    CHECK_GT(find_in_page(page, "third"), second);
    CHECK_EQ(find_in_page(page, "second"), 0u);
    // Full pages go into pipes, and others don't.
    int ends[2];
    CHECK_OK(pipe2(ends, O_NONBLOCK));
    CHECK_EQ(write_text("trace_marker", "fourth"), 0);
    // Who polls for pages is told of them when there are many.
    CHECK(says("buffer_percent", "50\n"));
    CHECK_EQ(write_text("buffer_percent", "101"), EINVAL);
    pollfd wanted = {raw, POLLIN, 0};
    CHECK_EQ(poll(&wanted, 1, 0), 0);
    CHECK_EQ(write_text("buffer_percent", "0"), 0);
    CHECK_EQ(poll(&wanted, 1, 0), 1);
    CHECK_EQ(write_text("buffer_percent", "50"), 0);
    CHECK_ERRNO(splice(raw, nullptr, ends[1], nullptr, size - 1, SPLICE_F_NONBLOCK), EINVAL);
    CHECK_ERRNO(splice(raw, nullptr, ends[1], nullptr, size, SPLICE_F_NONBLOCK), EAGAIN);
    for (size_t i = 0; i < size / 1000 + 1; ++i) CHECK_EQ(write_text("trace_marker", std::string(1000, 'z')), 0);
    CHECK_EQ(splice(raw, nullptr, ends[1], nullptr, size, SPLICE_F_NONBLOCK), ssize_t(size));
    CHECK_ERRNO(splice(raw, nullptr, ends[1], nullptr, size, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_EQ(read(ends[0], page.data(), size), ssize_t(size));
    CHECK_GT(find_in_page(page, "fourth"), second);
    CHECK_EQ(read(raw, page.data(), size), ssize_t(size));
    close(ends[0]), close(ends[1]);
    close(raw);
    const std::string statistics = read_all("per_cpu/cpu0/stats");
    for (const char* name : {"entries: 0\n", "overrun: 0\n", "commit overrun: 0\n", "bytes: 0\n",
                             "oldest event ts: ", "now ts: ", "dropped events: 0\n", "read events: "})
        CHECK(contains(statistics, name));
    CPU_ZERO(&set);
    for (int cpu = 0; cpu < 4; ++cpu) CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
    errno = 0;
}

void overwritten() {
    reset();
    CHECK_EQ(write_text("buffer_size_kb", "8"), 0);
    const int fd = open(path("trace_marker").c_str(), O_WRONLY);
    for (int i = 0; i < 2000; ++i) {
        const std::string text = "mark " + number(i) + ";" + std::string(100, 'x');
        CHECK_EQ(write(fd, text.data(), text.size()), ssize_t(text.size()));
    }
    std::string text = entries();
    CHECK(contains(text, "mark 1999;"));
    CHECK(!contains(text, "mark 0;"));
    // The oldest are kept instead.
    CHECK_EQ(write_text("trace_options", "nooverwrite"), 0);
    CHECK_EQ(write_text("trace", "", O_TRUNC), 0);
    for (int i = 0; i < 2000; ++i) {
        const std::string mark = "mark " + number(i) + ";" + std::string(100, 'x');
        (void)!write(fd, mark.data(), mark.size());
    }
    errno = 0;
    text = entries();
    CHECK(contains(text, "mark 0;"));
    CHECK_EQ(write_text("trace_options", "overwrite"), 0);
    CHECK_EQ(write_text("buffer_size_kb", "1408"), 0);
    close(fd);
}

} // namespace

int main(int argc, char**) {
    if (argc > 1) return 0; // executed
    tracefs::mount();
    forks_and_exits();
    switches_and_wakeups();
    system_calls();
    marks();
    taken_away();
    pages();
    overwritten();
    unmount();
    return result();
}
