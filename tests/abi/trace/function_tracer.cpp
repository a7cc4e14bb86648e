// The function tracer: its files, what they take and refuse, what is recorded of which functions and threads (Linux's
// documentation, "ftrace - Function Tracer").
// needs-linux: 6.12
// timeout: 300
#include <algorithm>
#include <pthread.h>

#include <span>

#include "asleep.hpp"
#include "child.hpp"
#include "function_tracer.hpp"

using namespace check;
using namespace functions;

namespace {

constexpr const char *all_enabled = "#### all functions enabled ####\n",
                     *none_disabled = "#### no functions disabled ####\n";

std::string number(long value) { return std::to_string(value); }

/// What lies in a list, whichever comes first.
bool lists_both(const char* file) {
    const std::string text = read_all(file);
    return text == one + "\n" + two + "\n" || text == two + "\n" + one + "\n";
}

void says_what_there_is() {
    CHECK(contains(read_all("available_tracers"), "function nop\n"));
    CHECK(says("current_tracer", "nop\n"));
    const std::string all = "\n" + read_all("available_filter_functions");
    CHECK(contains(all, "\n" + one + "\n"));
    CHECK(contains(all, "\n" + two + "\n"));
    CHECK_GT(count(all, "\n"), 1000u);
    CHECK(says("enabled_functions", ""));
    CHECK(says(filter, all_enabled));
    CHECK(says(notrace, none_disabled));
    CHECK(says(pids, "no pid\n"));
    CHECK(says(no_pids, "no pid\n"));
    CHECK_EQ(write_text("available_filter_functions", one), EINVAL);
    const std::string format = read_all("events/ftrace/function/format");
    CHECK(contains(format, "name: function\nID: 1\nformat:\n"));
    CHECK(contains(format, "\tfield:unsigned long ip;\toffset:8;\tsize:8;\tsigned:0;\n"
                           "\tfield:unsigned long parent_ip;\toffset:16;\tsize:8;\tsigned:0;\n"));
    CHECK(contains(format, "\nprint fmt: \" %ps <-- %ps\", (void *)REC->ip, (void *)REC->parent_ip\n"));
}

void refuses_other_tracers() {
    for (const char* bad : {"nosuch", "\n", "func", "functions", "nop function"})
        CHECK_EQ(write_text("current_tracer", bad), EINVAL);
    CHECK(says("current_tracer", "nop\n"));
    CHECK_EQ(write_text("current_tracer", " nop \n"), 0);
}

void takes_names(const char* file, const char* empty) {
    CHECK_EQ(write_text(file, one + "\n", O_TRUNC), 0);
    CHECK(says(file, one + "\n"));
    CHECK_EQ(write_text(file, two + "\n", O_APPEND), 0);
    CHECK(lists_both(file));
    CHECK_EQ(write_text(file, "!" + one + "\n", O_APPEND), 0);
    CHECK(says(file, two + "\n"));
    CHECK_EQ(write_text(file, one + "\n", O_TRUNC), 0);
    CHECK(says(file, one + "\n"));
    CHECK_EQ(write_text(file, "\n", O_TRUNC), 0);
    CHECK(says(file, empty));
    CHECK_EQ(write_text(file, "!" + one + "\n"), 0); // takes away what isn't there
    CHECK(says(file, empty));
}

/// Of several words as many as are good.
void takes_several() {
    const std::string text = one + " \t" + two + "\n" + "no_such_function\n";
    const int fd = open(path(filter).c_str(), O_WRONLY | O_TRUNC);
    size_t at = 0;
    ssize_t written;
    while ((written = write(fd, text.data() + at, text.size() - at)) > 0) at += size_t(written);
    const int why = written < 0 ? errno : 0;
    CHECK_EQ(why, EINVAL);
    CHECK_GE(at, one.size() + two.size() + 2);
    CHECK_LT(at, text.size() - 1);
    close(fd);
    CHECK(lists_both(filter));
}

void takes_patterns() {
    const std::string stem = one.substr(0, one.size() - 3), end = one.substr(4);
    for (const std::string& pattern : {stem + "*", "*" + end, "*" + end.substr(0, end.size() - 2) + "*",
                                       one.substr(0, 3) + "*" + end, stem + "?" + one.substr(one.size() - 2),
                                       stem + "[a-z]" + one.substr(one.size() - 2), "*" + end.substr(0, 2) + "*pgi?"}) {
        CHECK_EQ(write_text(filter, pattern + "\n", O_TRUNC), 0);
        CHECK(contains("\n" + read_all(filter), "\n" + one + "\n"));
        CHECK(!contains("\n" + read_all(filter), "\n" + two + "\n"));
    }
    CHECK_EQ(write_text(filter, "!*\n", O_APPEND), 0);
    CHECK(says(filter, all_enabled));
    CHECK_EQ(write_text(filter, "*\n", O_TRUNC), 0);
    CHECK(says(filter, read_all("available_filter_functions")));
}

/// As lines of available_filter_functions.
void takes_numbers() {
    const std::string all = read_all("available_filter_functions");
    const size_t third = all.find('\n', all.find('\n') + 1) + 1;
    CHECK_EQ(write_text(filter, "1\n", O_TRUNC), 0);
    CHECK(says(filter, all.substr(0, all.find('\n') + 1)));
    CHECK_EQ(write_text(filter, "3\n", O_TRUNC), 0);
    CHECK(says(filter, all.substr(third, all.find('\n', third) + 1 - third)));
    CHECK_EQ(write_text(filter, "0\n"), EINVAL);
    CHECK_EQ(write_text(filter, number(long(count(all, "\n")) + 1) + "\n"), EINVAL);
    CHECK_EQ(write_text(filter, "\n", O_TRUNC), 0);
}

void refuses_nonsense() {
    for (const char* file : {filter, notrace}) {
        for (const std::string& bad : {std::string("no_such_function"), std::string("!no_such_function"),
                                       std::string("no_*_function"), std::string("!"), one + ":nosuch",
                                       one + ":nosuch:1", std::string(5000, 'a'), std::string(200, '*') + "\1"})
            CHECK_EQ(write_text(file, bad + "\n"), EINVAL);
        CHECK_EQ(write_text(file, "\n", O_TRUNC), 0);
        CHECK_EQ(write_text(file, std::string(3000, ' ') + "\n"), 0);
    }
    CHECK(says(filter, all_enabled));
    CHECK(says(notrace, none_disabled));
}

/// A word ends with a blank, or with the file, and what has been written holds from then on.
void takes_words_in_pieces() {
    const int fd = open(path(filter).c_str(), O_WRONLY | O_TRUNC);
    CHECK_OK(fd);
    for (char c : one) CHECK_EQ(write(fd, &c, 1), 1);
    CHECK(says(filter, all_enabled));
    close(fd);
    CHECK(says(filter, one + "\n"));
    CHECK_EQ(write_text(filter, "no_such_function", O_TRUNC), 0); // nobody is left to be told
    CHECK(says(filter, all_enabled));
}

void records_calls() {
    trace(one);
    CHECK_EQ(write_text(pids, number(getpid()), O_TRUNC), 0);
    CHECK(says("current_tracer", "function\n"));
    CHECK(contains(read_all("enabled_functions"), one + " (1)"));
    CHECK_EQ(count(read_all("enabled_functions"), "\n"), 1u);
    for (int i = 0; i < 50; ++i) call_one(), call_two();
    CHECK_EQ(write_text("tracing_on", "0"), 0);
    call_one();
    const std::string text = read_all("trace");
    CHECK_EQ(text.find("# tracer: function\n#\n# entries-in-buffer/entries-written: "), 0u);
    CHECK_EQ(hits(text, one, getpid()), 50u);
    CHECK_EQ(hits(text, two, getpid()), 0u);
    // TASK-PID, CPU, five characters, time.
    const size_t line = text.rfind('\n', text.find(one + " <-")) + 1;
    char comm[64], flags[16] = "", caller[200] = "";
    int pid = 0, cpu = -1, seconds = -1, micros = -1;
    CHECK_EQ(sscanf(text.c_str() + line, " %63[^-]-%d [%d] %15s %d.%6d: ", comm, &pid, &cpu, flags, &seconds, &micros),
             6);
    // Linux notes names when threads are switched.
    CHECK(comm == std::string(program_invocation_short_name).substr(0, 15) ||
          (!proc_text::is_linnet() && comm == std::string("<...>")));
    CHECK_EQ(strlen(flags), 5u);
    CHECK_EQ(sscanf(text.c_str() + text.find(" <-", line), " <-%199s\n", caller), 1);
    CHECK(std::string(caller) != one && caller[0] != '0');
    // To begin again is to begin anew; to go on is not.
    for (int i = 1; i < 3; ++i) {
        CHECK_EQ(write_text("tracing_on", "1"), 0);
        call_one();
        CHECK_EQ(hits(read_all("trace"), one, getpid()), size_t(i));
    }
}

/// Choosing the same tracer again changes nothing; another begins anew.
void empties_the_trace() {
    trace(one);
    call_one();
    CHECK_EQ(write_text("current_tracer", "function"), 0);
    CHECK(hits(read_all("trace"), one, getpid()) > 0);
    CHECK_EQ(write_text("current_tracer", "nop"), 0);
    CHECK(entries().empty());
    CHECK(contains(read_all("trace"), "# tracer: nop\n"));
    CHECK(says("enabled_functions", ""));
    call_one();
    CHECK(entries().empty());
}

void changes_while_it_traces() {
    trace(one);
    call_one(), call_two();
    CHECK_EQ(write_text(filter, two + "\n", O_APPEND), 0);
    call_one(), call_two();
    CHECK_EQ(write_text(notrace, one + "\n", O_TRUNC), 0);
    CHECK(contains(read_all("enabled_functions"), two + " (1)"));
    CHECK(!contains(read_all("enabled_functions"), one + " (1)"));
    call_one(), call_two();
    CHECK_EQ(write_text(notrace, "\n", O_TRUNC), 0);
    CHECK_EQ(write_text(filter, "!" + two + "\n", O_APPEND), 0);
    call_one(), call_two();
    const std::string text = entries();
    CHECK_EQ(hits(text, one, getpid()), 3u);
    CHECK_EQ(hits(text, two, getpid()), 2u);
    CHECK_EQ(write_text(notrace, "\n", O_TRUNC), 0);
}

void is_taken_by_pipe() {
    trace(one);
    CHECK_EQ(write_text(pids, number(getpid()), O_TRUNC), 0);
    write_text("trace", "\n", O_TRUNC);
    const int pipe = open(path("trace_pipe").c_str(), O_RDONLY | O_NONBLOCK);
    CHECK_OK(pipe);
    call_one(), call_one();
    char text[8192] = "";
    CHECK_GT(read(pipe, text, sizeof text - 1), 0);
    CHECK_EQ(hits(text, one, getpid()), 2u);
    CHECK_ERRNO(read(pipe, text, sizeof text), EAGAIN);
    CHECK_EQ(write_text("current_tracer", "nop"), EBUSY);
    CHECK_EQ(write_text("current_tracer", "nosuch"), EINVAL);
    CHECK_EQ(write_text("current_tracer", "function"), 0);
    close(pipe);
    CHECK_EQ(write_text("current_tracer", "nop"), 0);
    CHECK_EQ(write_text(pids, "\n", O_TRUNC), 0);
}

/// Checks the record of this thread among the data of a page of a buffer, if it is there; on Linux others may have left
/// theirs before it. The format of the page: Documentation/trace/ring-buffer-design, and events/header_event.
bool check_record(std::span<const unsigned char> page) {
    constexpr size_t head = 16, head_of_event = 4, words_of_data = 6;
    constexpr unsigned in_next_word = 0, padding = 29; // kinds; above are times
    struct {
        uint16_t id;
        uint8_t flags, depth;
        int32_t pid;
        uint64_t ip, parent;
    } record = {};
    const auto word = [&](size_t at) {
        uint32_t value;
        memcpy(&value, &page[at], sizeof value);
        return value;
    };
    const size_t end = std::min(page.size(), head + (word(8) & 0xfffff));
    for (size_t at = head; at + head_of_event + 4 <= end;) {
        const unsigned kind = page[at] & 31;
        if (kind == padding && word(at) >> 5 == 0) break;
        // Where words of 64 bits have to be aligned, Linux puts the length into a word of its own.
        const size_t data = at + head_of_event + (kind == in_next_word ? 4 : 0);
        if ((kind == in_next_word || kind == words_of_data) && data + sizeof record <= end) {
            memcpy(&record, &page[data], sizeof record);
            if (record.pid == getpid() || proc_text::is_linnet()) {
                CHECK_EQ(record.id, 1u);
                CHECK_EQ(record.pid, getpid());
                CHECK(record.ip - kprobe::function_of_call("getpgid").address < 16);
                CHECK(record.parent != 0);
                return true;
            }
        }
        const bool is_long = kind == in_next_word || kind == padding;
        at += kind > padding ? 8 : head_of_event + (is_long ? word(at + 4) : 4 * kind);
    }
    CHECK(!proc_text::is_linnet());
    return false;
}

/// Pages, as programs read them: a record has the id 1, the thread, the function and its caller.
void is_raw_pages() {
    trace(one);
    CHECK_EQ(write_text(pids, number(getpid()), O_TRUNC), 0);
    write_text("trace", "\n", O_TRUNC);
    call_one();
    CHECK_EQ(write_text("tracing_on", "0"), 0);
    unsigned found = 0;
    for (int cpu = 0; cpu < 64; ++cpu) {
        const int fd = open(path("per_cpu/cpu" + number(cpu) + "/trace_pipe_raw").c_str(), O_RDONLY | O_NONBLOCK);
        if (fd < 0) break;
        unsigned char page[65536];
        const ssize_t size = read(fd, page, sizeof page);
        close(fd);
        if (size >= 48) found += check_record({page, size_t(size)});
    }
    CHECK_EQ(found, 1u);
    CHECK_EQ(write_text("tracing_on", "1"), 0);
    CHECK_EQ(write_text(pids, "\n", O_TRUNC), 0);
}

void lists_threads() {
    for (const char* file : {pids, no_pids}) {
        CHECK_EQ(write_text(file, "300 20", O_TRUNC), 0);
        CHECK_EQ(write_text(file, "1", O_APPEND), 0);
        CHECK_EQ(write_text(file, "300\n"), 0);
        CHECK(says(file, "1\n20\n300\n"));
        CHECK_EQ(write_text(file, "4x"), EINVAL);
        CHECK_EQ(write_text(file, "-4"), EINVAL);
        CHECK_EQ(write_text(file, "\n", O_TRUNC), 0);
        CHECK(says(file, "no pid\n"));
    }
}

struct Family {
    pid_t child = 0, thread = 0;
    std::string list; // what `file` says when they have died
};

Family call_with_family(const char* file) {
    auto* child = static_cast<pid_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    REQUIRE(child != MAP_FAILED);
    call_one();
    run_in_child([&] {
        *child = getpid();
        call_one();
    });
    Family family;
    family.child = *child;
    munmap(child, 4096);
    pthread_t thread;
    const auto body = [](void* tid) -> void* {
        *static_cast<pid_t*>(tid) = gettid();
        call_one();
        return nullptr;
    };
    CHECK_EQ(pthread_create(&thread, nullptr, body, &family.thread), 0);
    CHECK_EQ(pthread_join(thread, nullptr), 0);
    family.list = read_all(file);
    return family;
}

void expect(const Family& family, size_t own, size_t of_child, size_t of_thread) {
    const std::string text = entries();
    CHECK_EQ(hits(text, one, getpid()), own);
    CHECK_EQ(hits(text, one, family.child), of_child);
    CHECK_EQ(hits(text, one, family.thread), of_thread);
    write_text("trace", "\n", O_TRUNC);
}

void traces_chosen_threads() {
    const std::string me = number(getpid());
    trace(one);
    CHECK_EQ(write_text(pids, me, O_TRUNC), 0);
    write_text("trace", "\n", O_TRUNC);
    expect(call_with_family(pids), 1, 0, 0);
    // Children, and those who die leave.
    CHECK_EQ(write_text("trace_options", "function-fork"), 0);
    expect(call_with_family(pids), 1, 1, 1);
    CHECK(eventually([&] { return read_all(pids) == me + "\n"; }));
    CHECK_EQ(write_text(pids, "\n", O_TRUNC), 0);
    CHECK_EQ(write_text(no_pids, me, O_TRUNC), 0);
    expect(call_with_family(no_pids), 0, 0, 0);
    CHECK_EQ(write_text("options/function-fork", "0"), 0);
    expect(call_with_family(no_pids), 0, 1, 1);
    // Who is in both is left out.
    CHECK_EQ(write_text(pids, me, O_TRUNC), 0);
    expect(call_with_family(pids), 0, 0, 0);
    CHECK_EQ(write_text(no_pids, "\n", O_TRUNC), 0);
    CHECK_EQ(write_text(pids, "\n", O_TRUNC), 0);
    expect(call_with_family(pids), 1, 1, 1);
}

/// The clock and the size are changed as ever; the trace begins anew with another clock.
void other_settings() {
    trace(one);
    CHECK_EQ(write_text("buffer_size_kb", "64"), 0);
    for (int i = 0; i < 10'000; ++i) call_one();
    const size_t kept = hits(entries(), one, getpid());
    CHECK(kept > 1000 && kept < 10'000);
    CHECK_EQ(write_text("trace_clock", "counter"), 0);
    CHECK_EQ(write_text(pids, number(getpid()), O_TRUNC), 0);
    write_text("trace", "\n", O_TRUNC);
    call_one(), call_one();
    CHECK_EQ(hits(entries(), one, getpid()), 2u);
    CHECK_EQ(write_text("trace_clock", "local"), 0);
    CHECK(entries().empty());
    CHECK_EQ(write_text("buffer_size_kb", "1408"), 0);
    CHECK_EQ(write_text(pids, "\n", O_TRUNC), 0);
    const unsigned long cpus = strtoul(read_all("tracing_cpumask").c_str(), nullptr, 16);
    CHECK_EQ(write_text("tracing_cpumask", "1"), 0);
    for (int i = 0; i < 100; ++i) call_one(), sched_yield();
    CHECK(!contains(entries(), " [001] "));
    char all[32];
    snprintf(all, sizeof all, "%lx", cpus);
    CHECK_EQ(write_text("tracing_cpumask", all), 0);
}

/// All functions at once: this program's work goes on, and some of it is seen.
void traces_everything() {
    // Linux changes each function while QEMU executes it, which ends in a panic now and then.
    if (!proc_text::is_linnet() && sysconf(_SC_NPROCESSORS_ONLN) > 1) return;
    CHECK_EQ(write_text(filter, "\n", O_TRUNC), 0);
    CHECK_EQ(write_text(pids, number(getpid()), O_TRUNC), 0);
    CHECK_EQ(write_text("current_tracer", "function"), 0);
    CHECK_GT(count(read_all("enabled_functions"), "\n"), 1000u);
    write_text("trace", "\n", O_TRUNC);
    call_one();
    run_in_child([] { call_two(); });
    CHECK_EQ(write_text("tracing_on", "0"), 0);
    const std::string text = entries();
    CHECK_EQ(hits(text, one, getpid()), 1u);
    CHECK_GT(count(text, "\n"), 100u);
    CHECK_EQ(count(text, " <-"), count(text, "\n"));
    CHECK_EQ(write_text("current_tracer", "nop"), 0);
    CHECK(says("enabled_functions", ""));
}

} // namespace

int main() {
    functions::mount();
    says_what_there_is();
    refuses_other_tracers();
    takes_names(filter, all_enabled);
    takes_names(notrace, none_disabled);
    takes_several();
    takes_patterns();
    takes_numbers();
    refuses_nonsense();
    takes_words_in_pieces();
    lists_threads();
    for (void (*const part)() : {records_calls, empties_the_trace, changes_while_it_traces, is_taken_by_pipe,
                                 is_raw_pages, traces_chosen_threads, other_settings, traces_everything}) {
        everything_off();
        part();
    }
    functions::unmount();
    return result();
}
