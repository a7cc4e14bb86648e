// tracefs written by the hundred thousand: lines for events of probes, filters, triggers, options, clocks, sizes and
// lists, good ones, good ones with words of others in them or bytes changed, and noise. Each is taken or refused with
// an error; now and then events are recorded and everything is read; at the end all of it can be taken away. Who has no
// rights can't open any of it. Each line depends on its number only.
#pragma once

#include <sched.h>
#include <string>
#include <sys/prctl.h>
#include <vector>

#include "child.hpp"
#include "kprobe.hpp"
#include "nasty_words.hpp"
#include "tracefs.hpp"

namespace tracefs_fuzz {

using namespace check;
using namespace tracefs;
using nasty::random_word;

constexpr int lines_to_a_look = 256, lines_to_a_reset = 1024;

struct Target {
    const char* file;
    std::vector<std::string> lines; // that are good
};
inline std::vector<Target> targets;

[[gnu::noinline, gnu::used]] inline long probed(long value) {
    asm volatile("");
    return value + 1;
}
inline long (*volatile calls_probed)(long) = probed;

inline void make_targets() {
    const std::string one = kprobe::function_of_call("getpgid").name, two = kprobe::function_of_call("getsid").name;
    const uprobe::Place found = uprobe::place_of((void*)probed);
    char offset[32];
    snprintf(offset, sizeof offset, ":0x%lx", (unsigned long)found.offset);
    const std::string place = found.path + std::string(offset);
    const std::vector<std::string> filters = {"prev_pid == 1",
                                              "prev_pid != 0 && next_prio < 100 || prev_comm ~ \"*a?[b-d]*\"",
                                              "!(next_pid & 3)",
                                              "common_pid > 0x10",
                                              "prev_comm == \"sh\"",
                                              "((prev_pid == 1) || (next_pid == 2)) && prev_prio >= 0",
                                              "0"};
    const std::vector<std::string> triggers = {"traceon:3 if prev_pid == 1",
                                               "traceoff",
                                               "stacktrace:2",
                                               "!stacktrace",
                                               "!traceon",
                                               "!traceoff",
                                               "enable_event:fuzz:one:1 if next_pid > 1",
                                               "!enable_event:fuzz:one",
                                               "disable_event:raw_syscalls:sys_enter",
                                               "snapshot",
                                               "!disable_event:raw_syscalls:sys_enter",
                                               "hist:keys=prev_pid"};
    targets = {
        {"kprobe_events",
         {"p:fuzz/one " + one, "p:fuzz/one " + two, "r:fuzz/back " + one + " $retval",
          "r16:fuzz/back " + two + " $retval",
          "p:fuzz/many " + one + " a=$stack b=$stack3:u8 c=+8($stack):x64[4] d=$comm e=\\77 f=\\\"a b\":string",
          "p:fuzz/many " + two + " a=$stack b=$stack1:b3@1/8 c=+0($stack):x64[4] d=$comm e=\\78 f=$comm:string",
          "p:fuzz/deep " + one + " a=+0(+8(-u16(+0(@0xffff800000001000)))):ustring", "p " + one + "+4 %sp:x16",
          "p:fuzz/arg " + two + " $arg1 $arg2:s32 @0:u8", "-:fuzz/one", "-:fuzz/one " + two, "-:fuzz/",
          "-:fuzz/many " + one + " a=$stack", "-:fuzz/back"}},
        {"uprobe_events",
         {"p:fuzz/user " + place, "p:fuzz/user " + place + " a=$stack", "r:fuzz/left " + place + " $retval:s64",
          "p:fuzz/text " + place + " a=+0($stack):string b=@+0x10:x8[8] c=@0x400000", "p " + place, "-:fuzz/user",
          "p:fuzz/user " + place + " a=$stack1", "-:fuzz/user " + place, "-:fuzz/left", "p:fuzz/one /tmp:0x1"}},
        {"events/sched/sched_switch/filter", filters},
        {"events/sched/filter", filters},
        {"events/fuzz/one/filter", {"__probe_ip > 0", "common_pid == 1 || __probe_ip & 1", "0"}},
        {"events/sched/sched_switch/trigger", triggers},
        {"events/fuzz/one/trigger", triggers},
        {"events/fuzz/enable", {"1", "0"}},
        {"events/fuzz/one/enable", {"1", "0"}},
        {"trace_options",
         {"stacktrace", "nostacktrace", "event-fork", "noevent-fork", "overwrite", "nooverwrite", "record-tgid",
          "noirq-info", "hex", "function-fork", "nofunction-fork"}},
        {"set_event", {"fuzz:one", "fuzz:*", "!fuzz:*", "sched:sched_switch", "!sched:sched_switch", "one"}},
        {"trace_clock", {"local", "global", "counter", "uptime", "perf", "mono", "mono_raw", "boot", "tai"}},
        {"buffer_size_kb", {"8", "64", "500"}},
        {"set_event_pid", {"1", "2 3 4", std::to_string(getpid()), "1073741823"}},
        {"set_event_notrace_pid", {"1", "2 3 4", "400000"}},
        {"tracing_cpumask", {"1", "f", "ffffffff,ffffffff"}},
        {"trace_marker", {"some words", "%s%n"}},
        {"tracing_on", {"1", "0"}},
        {"current_tracer", {"function", "nop", "nop", "function_graph"}},
        {"set_ftrace_filter",
         {one, two, one + " " + two, "!" + one, "*" + two.substr(2), one.substr(0, 6) + "*", "1 2 3", "77", "*:mod:x",
          one + ":traceon:3", "*[a-z]?" + two.substr(two.size() - 3)}},
        {"set_ftrace_notrace", {one, "!" + one, "*get*", "!*", "5"}},
        {"set_ftrace_pid", {"1", "2 3 4", std::to_string(getpid()), "0"}},
        {"set_ftrace_notrace_pid", {"1", "2 3 4", "400000"}},
        {"max_graph_depth", {"0", "1"}},
    };
}

inline const std::string& some_line(const Target& target) { return target.lines[random_word() % target.lines.size()]; }

/// From one blank to the next.
inline std::string some_word(const std::string& line) {
    const size_t from = random_word() % (line.size() + 1);
    const size_t begin = line.rfind(' ', from) == std::string::npos ? 0 : line.rfind(' ', from) + 1;
    return line.substr(begin, line.find(' ', begin) - begin);
}

inline void mutate(std::string& line, const Target& target) {
    const size_t at = random_word() % (line.size() + 1);
    switch (random_word() % 8) {
    case 0:
        line.insert(at, 1, char(random_word()));
        break;
    case 1:
        if (at < line.size()) line[at] = char(random_word() % 128);
        break;
    case 2:
        line.erase(at, random_word() % 8);
        break;
    case 3:
        line.insert(at, line.substr(random_word() % (line.size() + 1), random_word() % 16));
        break;
    case 4:
        line += " " + some_word(some_line(target));
        break;
    case 5:
        line.insert(at, some_word(some_line(targets[random_word() % targets.size()])));
        break;
    case 6:
        line += (random_word() % 2 ? "\n" : " ") + some_line(target);
        break;
    default:
        line.insert(at, random_word() % 8 ? 1 : random_word() % 5000, "(){}:+-@$%\"\\=&|!~*[]#,"[random_word() % 22]);
    }
}

inline std::string line_for(const Target& target) {
    if (random_word() % 16 == 0) {
        std::string noise(random_word() % 200, ' ');
        for (char& c : noise) c = char(random_word());
        return noise;
    }
    std::string line = some_line(target);
    for (uint64_t i = random_word() % 4; i > 0; --i) mutate(line, target);
    return line;
}

/// Sizes that are meant seriously take long, and so do records of everything; Linux changes each function by itself,
/// while QEMU executes it.
inline bool is_too_much(const Target& target, const std::string& line) {
    return (!strcmp(target.file, "buffer_size_kb") && strtoul(line.c_str(), nullptr, 0) > 512) ||
           (!proc_text::is_linnet() && !strcmp(target.file, "current_tracer")) ||
           (!strcmp(target.file, "set_event") && line.find_first_not_of(" \n:*!") == std::string::npos);
}

inline bool is_known(int error) {
    constexpr int not_supported = 524; // that Linux keeps for itself
    for (const int known : {EINVAL, ENOENT,  EEXIST,  EBUSY,   E2BIG,      ENOMEM,    ENOSPC, EACCES,
                            ENODEV, EISDIR,  EILSEQ,  ENOEXEC, EOPNOTSUPP, ERANGE,    EPERM,  ENAMETOOLONG,
                            EIO,    ENOTDIR, ENOTSUP, EBADF,   EAGAIN,     EOVERFLOW, ESRCH,  not_supported})
        if (error == known) return true;
    return false;
}

/// 0 or the error; of a long text a part may be taken.
inline int write_line(const char* file, const std::string& line, int flags) {
    const int fd = open(path(file).c_str(), O_WRONLY | flags);
    if (fd < 0) return errno;
    const ssize_t written = write(fd, line.data(), line.size());
    const int error = written < 0 ? errno : 0;
    close(fd);
    return error;
}

/// As much as is quickly made.
inline void read_some(const char* file) {
    char buffer[16384];
    const int fd = open(path(file).c_str(), O_RDONLY);
    if (fd < 0) return;
    CHECK_GE(read(fd, buffer, sizeof buffer), 0);
    close(fd);
}

/// Something for the events to see, and then all that can be read.
inline void look() {
    getpgid(0);
    getsid(0);
    calls_probed(1);
    for (const char* file :
         {"kprobe_events", "uprobe_events", "kprobe_profile", "uprobe_profile", "error_log", "set_event",
          "set_event_pid", "set_ftrace_filter", "set_ftrace_pid", "events/sched/sched_switch/trigger"})
        CHECK(read_all(file) != "?");
    for (const char* file : {"trace", "events/fuzz/one/format", "events/fuzz/many/format", "events/fuzz/user/filter"})
        read_some(file);
}

inline void take_away() {
    write_text("current_tracer", "nop");
    for (const char* list : {"set_ftrace_filter", "set_ftrace_notrace", "set_ftrace_pid", "set_ftrace_notrace_pid"})
        write_text(list, "\n", O_TRUNC);
    write_text("events/enable", "0");
    // Triggers hold events; those of others first.
    for (const char* trigger : {"events/sched/sched_switch/trigger", "events/fuzz/one/trigger"})
        for (const char* gone : {"!stacktrace", "!traceon", "!traceoff", "!enable_event:fuzz:one",
                                 "!disable_event:raw_syscalls:sys_enter", "!snapshot", "!hist:keys=prev_pid"})
            write_text(trigger, gone);
    write_text("events/sched/filter", "0");
    write_text("set_event_notrace_pid", "\n", O_TRUNC);
    write_text("tracing_cpumask", "f");
    write_text("trace_clock", "local");
    for (const char* option :
         {"nostacktrace", "noevent-fork", "overwrite", "norecord-tgid", "irq-info", "nohex", "nofunction-fork"})
        write_text("trace_options", option);
    reset();
}

/// Recursion is what parsers of them are tempted to.
inline void deep_filters() {
    const std::string event = "events/sched/sched_switch/";
    CHECK_EQ(write_text(event + "enable", "1"), 0);
    for (size_t depth = 1; depth < 4000; depth += depth < 40 ? 1 : 500)
        for (const char* open : {"(", "!("}) {
            std::string text;
            for (size_t i = 0; i < depth; ++i) text += open;
            const int error =
                write_line((event + "filter").c_str(), text + "prev_pid == 1" + std::string(depth, ')') + "\n", 0);
            CHECK(error == 0 || (error == EINVAL && depth > 5));
            sched_yield();
        }
    take_away();
}

inline void nobody_may() {
    run_in_child([] {
        CHECK_OK(setgid(60000));
        CHECK_OK(setuid(60000));
        for (const Target& target : targets) {
            CHECK_EQ(open(path(target.file).c_str(), O_WRONLY), -1);
            CHECK_EQ(open(path(target.file).c_str(), O_RDONLY), -1);
        }
    });
}

inline int run(int lines) {
    tracefs::mount();
    proc_text::needs(access(path("kprobe_events").c_str(), F_OK) == 0, "no dynamic events");
    if (!proc_text::is_linnet()) lines = 500; // Linux patches its code for each event that is switched, which is slow
    make_targets();
    nobody_may();
    deep_filters();
    int taken = 0, refused = 0;
    for (int i = 0; i < lines; ++i) {
        nasty::seed(uint64_t(i));
        // Half of them make probes and take them away.
        const Target& target = targets[random_word() % 2 ? random_word() % 2 : random_word() % targets.size()];
        const std::string line = line_for(target);
        if (is_too_much(target, line)) continue;
        const int error = write_line(target.file, line + "\n", random_word() % 8 ? O_APPEND : 0);
        error ? ++refused : ++taken;
        if (error && !is_known(error)) {
            CHECK(false);
            printf("%s: error %d for \"%s\"\n", target.file, error, line.c_str());
        }
        if (i % lines_to_a_look == 0) look();
        if (i % lines_to_a_reset != lines_to_a_reset - 1) continue;
        take_away();
        CHECK_EQ(write_text("kprobe_events", "\n", O_TRUNC), 0);
        CHECK_EQ(write_text("uprobe_events", "\n", O_TRUNC), 0);
        CHECK(says("kprobe_events", ""));
        CHECK(says("uprobe_events", ""));
        nobody_may();
    }
    take_away();
    CHECK_EQ(write_text("kprobe_events", "\n", O_TRUNC), 0);
    CHECK_EQ(write_text("uprobe_events", "\n", O_TRUNC), 0);
    CHECK_EQ(write_text("buffer_size_kb", "1408"), 0);
    CHECK_GT(taken, lines / 20); // or it would prove nothing
    CHECK_GT(refused, lines / 20);
    unmount();
    printf("%d lines: %d taken, %d refused\n", lines, taken, refused);
    return result();
}

} // namespace tracefs_fuzz
