// What is written to tracefs by somebody who means harm, or by four at once: nothing hangs, nothing is lost that isn't
// said to be lost.
// timeout: 240
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>

#include <atomic>
#include <vector>

#include "child.hpp"
#include "tracefs.hpp"

using namespace check;
using namespace tracefs;

namespace {

uint32_t seed = 12345;
uint32_t random_below(uint32_t limit) {
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % limit;
}

/// Every file that may be written gets texts of all kinds.
void nonsense_everywhere() {
    static const char* const words[] = {"0",
                                        "1",
                                        "-1",
                                        "99999999999999999999",
                                        "sched:*",
                                        "!sched:*",
                                        "(((",
                                        ")))",
                                        "\"",
                                        "a && b",
                                        "x == y",
                                        "traceon:1 if prev_pid == 1",
                                        "!traceon",
                                        "stacktrace",
                                        "enable_event:sched:sched_switch:3",
                                        "!enable_event:sched:sched_switch",
                                        "disable_event:raw_syscalls:sys_enter",
                                        "prev_pid == 1",
                                        "comm ~ \"*[\"",
                                        "\n\n\n",
                                        ":",
                                        "::",
                                        "mono",
                                        "nop",
                                        "nooverwrite",
                                        "overwrite",
                                        "0x10"};
    static const char* const files[] = {"buffer_size_kb",
                                        "current_tracer",
                                        "events/enable",
                                        "events/sched/enable",
                                        "events/sched/filter",
                                        "events/sched/sched_switch/enable",
                                        "events/sched/sched_switch/filter",
                                        "events/sched/sched_switch/trigger",
                                        "events/raw_syscalls/sys_enter/filter",
                                        "events/raw_syscalls/sys_enter/trigger",
                                        "options/overwrite",
                                        "per_cpu/cpu1/buffer_size_kb",
                                        "set_event",
                                        "set_event_pid",
                                        "trace",
                                        "trace_clock",
                                        "trace_marker",
                                        "trace_marker_raw",
                                        "trace_options",
                                        "tracing_cpumask",
                                        "tracing_on"};
    for (int round = 0; round < 300; ++round) {
        const char* file = files[random_below(sizeof files / sizeof *files)];
        std::string text = words[random_below(sizeof words / sizeof *words)];
        while (random_below(3) == 0) text += std::string(" ") + words[random_below(sizeof words / sizeof *words)];
        if (random_below(10) == 0) text += std::string(random_below(6000), "\0(x*\n"[random_below(5)]);
        // Sizes that are meant seriously take long.
        if (strstr(file, "size_kb") && atol(text.c_str()) > 100000) text = "64";
        const int fd = open(path(file).c_str(), O_WRONLY | (random_below(4) ? 0 : O_TRUNC));
        if (fd < 0) continue;
        (void)!write(fd, text.data(), text.size());
        close(fd);
        if (random_below(5) == 0) (void)read_all(file);
    }
    const std::string trigger = "events/sched/sched_switch/trigger";
    for (const char* gone :
         {"!traceon", "!stacktrace", "!enable_event:sched:sched_switch", "!disable_event:raw_syscalls:sys_enter"}) {
        write_text(trigger, gone);
        write_text("events/raw_syscalls/sys_enter/trigger", gone);
    }
    for (const char* event : {"sched", "sched/sched_switch", "raw_syscalls/sys_enter"})
        write_text(std::string("events/") + event + "/filter", "0");
    write_text("tracing_cpumask", "f");
    write_text("trace_options", "overwrite");
    write_text("trace_clock", "local");
    CHECK_EQ(write_text("buffer_size_kb", "1408"), 0);
    reset();
}

void too_large() {
    const int error = write_text("buffer_size_kb", "1000000000");
    CHECK(error == ENOMEM || error == EINVAL);
    CHECK_EQ(write_text("buffer_size_kb", "1408"), 0);
}

std::atomic<bool> stop{false};

void* write_marks(void* number) {
    const int fd = open(path("trace_marker").c_str(), O_WRONLY);
    for (unsigned i = 0; !stop; ++i) {
        char text[200];
        const int size = snprintf(text, sizeof text, "writer %ld number %u %.*s\n", long(number), i, int(i % 100),
                                  std::string(100, 'x').c_str());
        (void)!write(fd, text, size_t(size));
    }
    close(fd);
    return nullptr;
}

void* read_text(void*) {
    while (!stop) (void)entries();
    return nullptr;
}

void* take_text(void*) {
    const int fd = open(path("trace_pipe").c_str(), O_RDONLY | O_NONBLOCK);
    unsigned last[4] = {};
    std::string text;
    char buffer[5000];
    while (!stop) {
        const ssize_t got = read(fd, buffer, sizeof buffer);
        if (got <= 0) {
            sched_yield();
            continue;
        }
        text.append(buffer, size_t(got));
        size_t end;
        while ((end = text.find('\n')) != std::string::npos) {
            long writer = -1;
            unsigned number = 0;
            const size_t at = text.find("writer ");
            if (at < end && sscanf(text.c_str() + at, "writer %ld number %u ", &writer, &number) == 2 && writer >= 0 &&
                writer < 4) {
                CHECK_GE(number, last[writer]); // in order, though some may be missing
                last[writer] = number;
            }
            text.erase(0, end + 1);
        }
    }
    close(fd);
    return nullptr;
}

void* resize(void*) {
    for (unsigned i = 0; !stop; ++i) {
        const int error = write_text("buffer_size_kb", std::to_string(8 + i * 37 % 500));
        CHECK(error == 0 || error == EBUSY); // Linux: while somebody reads
        if (i % 16 == 0) write_text("trace", "", O_TRUNC);
    }
    return nullptr;
}

void* toggle(void*) {
    for (unsigned i = 0; !stop; ++i) {
        write_text("events/sched/enable", i % 2 ? "0" : "1");
        write_text("events/sched/sched_switch/filter", i % 3 ? "prev_pid > 0 && next_comm ~ \"*a*\"" : "0");
        write_text("events/sched/sched_switch/trigger", i % 2 ? "!stacktrace" : "stacktrace:5");
    }
    write_text("events/sched/sched_switch/filter", "0");
    write_text("events/sched/sched_switch/trigger", "!stacktrace");
    return nullptr;
}

void all_at_once() {
    reset();
    std::vector<pthread_t> threads;
    const auto start = [&](void* (*function)(void*), long number) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, nullptr, function, (void*)number), 0);
        threads.push_back(thread);
    };
    for (long i = 0; i < 2; ++i) start(write_marks, i);
    start(read_text, 0);
    start(take_text, 0);
    start(resize, 0);
    start(toggle, 0);
    const timespec while_they_run = {4, 0};
    nanosleep(&while_they_run, nullptr);
    stop = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    CHECK_EQ(write_text("buffer_size_kb", "1408"), 0);
}

void thousand_times() {
    reset();
    // Linux takes tens of milliseconds for each under emulation.
    const time_t end = time(nullptr) + 30;
    for (int i = 0; i < 1000 && (i % 2 || time(nullptr) < end); ++i) {
        CHECK_EQ(write_text("events/raw_syscalls/enable", i % 2 ? "0" : "1"), 0);
        syscall(SYS_getppid);
    }
    CHECK(says("events/raw_syscalls/enable", "0\n"));
    write_text("trace", "", O_TRUNC);
    syscall(SYS_getppid);
    CHECK(!contains(entries(), "sys_enter"));
}

} // namespace

int main() {
    tracefs::mount();
    nonsense_everywhere();
    too_large();
    all_at_once();
    thousand_times();
    unmount();
    return result();
}
