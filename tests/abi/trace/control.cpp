// tracefs: its files, what they say and what they refuse (Linux's documentation, "ftrace - Function Tracer" and "Event
// Tracing").
#include <sys/statfs.h>

#include "child.hpp"
#include "tracefs.hpp"

using namespace check;
using namespace tracefs;

namespace {

void files_are_there() {
    for (const char* name : {"available_events",
                             "available_tracers",
                             "buffer_size_kb",
                             "buffer_total_size_kb",
                             "current_tracer",
                             "events/enable",
                             "events/header_event",
                             "events/header_page",
                             "events/sched/enable",
                             "events/sched/filter",
                             "events/sched/sched_switch/enable",
                             "events/sched/sched_switch/filter",
                             "events/sched/sched_switch/format",
                             "events/sched/sched_switch/id",
                             "events/sched/sched_switch/trigger",
                             "events/ftrace/print/format",
                             "free_buffer",
                             "options/overwrite",
                             "per_cpu/cpu0/stats",
                             "per_cpu/cpu0/trace",
                             "per_cpu/cpu0/trace_pipe",
                             "per_cpu/cpu0/trace_pipe_raw",
                             "saved_cmdlines",
                             "set_event",
                             "set_event_pid",
                             "trace",
                             "trace_clock",
                             "trace_marker",
                             "trace_marker_raw",
                             "trace_options",
                             "trace_pipe",
                             "tracing_cpumask",
                             "tracing_on"}) {
        struct stat status;
        CHECK_OK(stat(path(name).c_str(), &status));
        CHECK(S_ISREG(status.st_mode));
        CHECK_EQ(status.st_mode & 07, 0u);
    }
    struct statfs file_system;
    CHECK_OK(statfs(place.c_str(), &file_system));
    CHECK_EQ((unsigned long)file_system.f_type, 0x74726163ul);
    struct stat status;
    CHECK_ERRNO(stat(path("events/sched/no_such_event").c_str(), &status), ENOENT);
    CHECK_ERRNO(stat(path("events/no_such_system").c_str(), &status), ENOENT);
}

void folders_list_what_is_there() {
    bool has_switch = false, has_filter = false;
    DIR* folder = opendir(path("events/sched").c_str());
    REQUIRE(folder);
    while (const dirent* entry = readdir(folder)) {
        has_switch |= !strcmp(entry->d_name, "sched_switch");
        has_filter |= !strcmp(entry->d_name, "filter");
        struct stat status;
        CHECK_OK(fstatat(dirfd(folder), entry->d_name, &status, 0));
    }
    closedir(folder);
    CHECK(has_switch && has_filter);
}

void formats() {
    const std::string format = read_all("events/sched/sched_switch/format");
    CHECK(contains(format, "name: sched_switch\nID: " + read_all("events/sched/sched_switch/id") + "format:\n"));
    CHECK(contains(format, "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"));
    CHECK(contains(format, "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"));
    CHECK(contains(format, "prev_comm[16];\toffset:8;\tsize:16;\tsigned:"));
    CHECK(contains(format, "\tfield:pid_t next_pid;\toffset:56;\tsize:4;\tsigned:1;\n"));
    CHECK(contains(format, "\nprint fmt: \"prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s%s ==> next_comm=%s "
                           "next_pid=%d next_prio=%d\", REC->prev_comm"));
    const std::string enter = read_all("events/raw_syscalls/sys_enter/format");
    CHECK(contains(enter, "\tfield:unsigned long args[6];\toffset:16;\tsize:48;\tsigned:0;\n"));
    const std::string header = read_all("events/header_page");
    CHECK(contains(header, "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"));
    CHECK(contains(header, "\tfield: char data;\toffset:16;\tsize:"));
    CHECK(contains(read_all("events/header_event"), "type_len    :    5 bits\n"));
}

void switches() {
    CHECK(says("events/sched/sched_switch/enable", "0\n"));
    CHECK_EQ(write_text("events/sched/sched_switch/enable", "1\n"), 0);
    CHECK(says("events/sched/sched_switch/enable", "1\n"));
    CHECK(says("events/sched/enable", "X\n"));
    CHECK(says("events/enable", "X\n"));
    CHECK(says("set_event", "sched:sched_switch\n"));
    CHECK_EQ(write_text("events/sched/sched_switch/enable", "2"), EINVAL);
    CHECK_EQ(write_text("events/sched/sched_switch/enable", "x"), EINVAL);
    CHECK_EQ(write_text("events/sched/sched_switch/enable", "0"), 0);
    CHECK(says("events/sched/enable", "0\n"));

    CHECK_EQ(write_text("set_event", "sched:sched_switch\n"), 0);
    CHECK_EQ(write_text("set_event", "sched_waking\n"), 0);
    CHECK_EQ(count(read_all("set_event"), "\n"), 2u);
    CHECK_EQ(write_text("set_event", "!sched:sched_switch"), 0);
    CHECK(says("set_event", "sched:sched_waking\n"));
    CHECK_EQ(write_text("set_event", "sched:*"), 0);
    CHECK(says("events/sched/enable", "1\n"));
    CHECK_EQ(write_text("set_event", "nothing_of_that_name"), EINVAL);
    CHECK_EQ(write_text("set_event", "\n", O_TRUNC), 0);
    CHECK(says("events/sched/enable", "0\n"));
    CHECK(contains(read_all("available_events"), "sched:sched_switch\n"));
    CHECK(contains(read_all("available_events"), "raw_syscalls:sys_enter\n"));
}

void settings() {
    CHECK(contains(" " + read_all("available_tracers"), " nop"));
    CHECK(says("current_tracer", "nop\n"));
    CHECK_EQ(write_text("current_tracer", "nop"), 0);
    CHECK_EQ(write_text("current_tracer", "no_such_tracer"), EINVAL);

    CHECK(contains(read_all("trace_clock"), "[local] global counter uptime perf mono mono_raw boot"));
    CHECK_EQ(write_text("trace_clock", "global"), 0);
    CHECK(contains(read_all("trace_clock"), "local [global]"));
    CHECK_EQ(write_text("trace_clock", "no_such_clock"), EINVAL);
    CHECK_EQ(write_text("trace_clock", "local"), 0);

    CHECK(says("tracing_on", "1\n"));
    CHECK_EQ(write_text("tracing_on", "0"), 0);
    CHECK(says("tracing_on", "0\n"));
    CHECK_EQ(write_text("trace_marker", "nobody hears"), EBADF);
    CHECK_EQ(write_text("tracing_on", "x"), EINVAL);
    CHECK_EQ(write_text("tracing_on", "1"), 0);

    CHECK(contains(read_all("trace_options"), "\noverwrite\n"));
    CHECK_EQ(write_text("trace_options", "nooverwrite"), 0);
    CHECK(says("options/overwrite", "0\n"));
    CHECK_EQ(write_text("options/overwrite", "1"), 0);
    CHECK(contains(read_all("trace_options"), "\noverwrite\n"));
    CHECK_EQ(write_text("trace_options", "no_such_option"), EINVAL);
    CHECK_EQ(write_text("options/overwrite", "2"), EINVAL);

    CHECK_EQ(write_text("buffer_size_kb", "0"), EINVAL);
    CHECK_EQ(write_text("buffer_size_kb", "many"), EINVAL);
    CHECK_EQ(write_text("buffer_size_kb", "100"), 0);
    const int size = atoi(read_all("buffer_size_kb").c_str());
    CHECK_GE(size, 100);
    CHECK_LT(size, 100 + 32);
    CHECK_EQ(write_text("per_cpu/cpu0/buffer_size_kb", "400"), 0);
    CHECK(says("buffer_size_kb", "X\n"));
    CHECK_GE(atoi(read_all("per_cpu/cpu0/buffer_size_kb").c_str()), 400);
    CHECK_GT(atoi(read_all("buffer_total_size_kb").c_str()), 400 + 3 * 99);
    CHECK_EQ(write_text("buffer_size_kb", "1408"), 0);
    CHECK_EQ(write_text("set_event_pid", "x"), EINVAL);
    CHECK_EQ(write_text("tracing_cpumask", "no mask"), EINVAL);
}

void filters() {
    const std::string filter = "events/sched/sched_switch/filter";
    CHECK(says(filter, "none\n"));
    for (const char* good : {"prev_pid == 1", "prev_comm ~ \"a*\" || (next_pid != 0x10 && !(next_prio > 3))",
                             "prev_state & 1", "common_pid > 0", "CPU == 0", "COMM == \"sh\""}) {
        CHECK_EQ(write_text(filter, good), 0);
        CHECK(says(filter, std::string(good) + "\n"));
    }
    for (const char* bad :
         {"no_such_field == 1", "prev_pid", "prev_pid == x", "prev_pid == ", "prev_comm > 3", "prev_comm == 3"})
        CHECK_EQ(write_text(filter, bad), EINVAL);
    // For these Linux 6.1 has other errors.
    for (const char* bad : {"|| prev_pid == 1", "(prev_pid == 1", "prev_pid == 1)", "prev_comm == \"x"})
        CHECK_NE(write_text(filter, bad), 0);
    CHECK_EQ(write_text(filter, "no_such_field == 1"), EINVAL);
    CHECK(contains(read_all(filter), "parse_error: Field not found"));
    CHECK_EQ(write_text(filter, "0"), 0);
    CHECK(says(filter, "none\n"));
    // Of a system: the events that have the field take it.
    CHECK_EQ(write_text("events/raw_syscalls/filter", "ret == -1"), 0);
    CHECK(says("events/raw_syscalls/sys_exit/filter", "ret == -1\n"));
    CHECK_EQ(write_text("events/raw_syscalls/filter", "0"), 0);
}

void only_root_may() {
    run_in_child([] {
        // The folder itself keeps others out, so the check is of the files.
        const int root = open(place.c_str(), O_PATH);
        CHECK_OK(setgid(65534));
        CHECK_OK(setuid(65534));
        CHECK_ERRNO(openat(root, "trace", O_RDONLY), EACCES);
        CHECK_ERRNO(openat(root, "tracing_on", O_WRONLY), EACCES);
        CHECK_ERRNO(openat(root, "trace_marker", O_WRONLY), EACCES);
    });
}

} // namespace

int main() {
    tracefs::mount();
    files_are_there();
    folders_list_what_is_there();
    formats();
    switches();
    settings();
    filters();
    only_root_may();
    unmount();
    return result();
}
