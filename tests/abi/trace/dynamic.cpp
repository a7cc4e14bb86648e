// Dynamic events: kprobe_events and uprobe_events make them, of functions of the kernel and of places in this program,
// with values that they fetch; they have format, filter and id as others have, and come and go as the files say.
//
// needs-linux: 5.13
// timeout: 120
#include <sys/wait.h>

#include "child.hpp"
#include "kprobe.hpp"
#include "tracefs.hpp"

using namespace check;
using namespace tracefs;

namespace {

kprobe::Symbol target;
bool is_linnet;
pid_t group; // some architectures ask for it by getpgid(2)

bool contains(const std::string& text, const std::string& part) {
    if (text.find(part) != std::string::npos) return true;
    printf("no \"%s\" in: %s\n", part.c_str(), text.c_str());
    return false;
}
size_t count(const std::string& text, const std::string& part) {
    size_t times = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++times;
    return times;
}
std::string number(long value) { return std::to_string(value); }
int append(const std::string& file, const std::string& line) { return write_text(file, line + "\n", O_APPEND); }
void only_me() { CHECK_EQ(write_text("set_event_pid", number(getpid()), O_TRUNC), 0); }

/// What getpgid(2) was called with: on Linux for x86_64 the function has the registers of user code.
std::string pid_argument() {
#if defined(__x86_64__)
    return is_linnet ? "%si:s32" : "+112(%di):s32";
#elif defined(__aarch64__)
    return is_linnet ? "%x1:s32" : "+0(%x0):s32";
#elif defined(__riscv)
    return is_linnet ? "%a1:s32" : "%a0:s32";
#else
    return is_linnet ? "%r5:s32" : "%r4:s32";
#endif
}

void of_the_kernel() {
    CHECK_EQ(
        append("kprobe_events", "p:mine/call " + target.name + " pid=" + pid_argument() + " name=$comm seven=\\7:u8"),
        0);
    CHECK_EQ(append("kprobe_events", "r:mine/back " + target.name + " value=$retval:s64"), 0);
    const std::string listed = read_all("kprobe_events");
    CHECK(contains(listed, "p:mine/call " + target.name + " pid=" + pid_argument() + " name=$comm seven=\\7:u8\n"));
    CHECK(contains(listed, ":mine/back " + target.name + " value=$retval:s64\n"));
    const std::string format = read_all("events/mine/call/format");
    CHECK(contains(format, "name: call\n"));
    CHECK(contains(format, "\tfield:unsigned long __probe_ip;\toffset:8;\tsize:8;\tsigned:0;\n"));
    CHECK(contains(format, "\tfield:s32 pid;\toffset:16;\tsize:4;\tsigned:1;\n"));
    CHECK(contains(format, "\tfield:__data_loc char[] name;\toffset:20;\tsize:4;\tsigned:"));
    CHECK(contains(format, "\tfield:u8 seven;\toffset:24;\tsize:1;\tsigned:0;\n"));
    CHECK(contains(format, "print fmt: \"(%lx) pid=%d name=\\\"%s\\\" seven=%u\", REC->__probe_ip, REC->pid, "
                           "__get_str(name), REC->seven\n"));
    CHECK(contains(read_all("events/mine/back/format"),
                   "print fmt: \"(%lx <- %lx) value=%Ld\", REC->__probe_func, REC->__probe_ret_ip, REC->value\n"));

    only_me();
    CHECK_EQ(write_text("events/mine/enable", "1"), 0);
    CHECK_EQ(getpgid(getpid()), group);
    CHECK_EQ(write_text("events/mine/enable", "0"), 0);
    const std::string text = read_all("trace");
    CHECK(contains(text, ": call: (" + target.name + "+0x"));
    CHECK(contains(text, " pid=" + number(getpid()) + " name=\"" +
                             std::string(program_invocation_short_name).substr(0, 15) + "\" seven=7\n"));
    CHECK(contains(text, " <- " + target.name + ") value=" + number(group) + "\n"));
    CHECK(contains(read_all("kprobe_profile"), "  call  "));
    CHECK(contains(read_all("kprobe_profile"), " 1               0\n"));
}

void filtered() {
    reset();
    only_me();
    CHECK_EQ(write_text("events/mine/call/filter", "pid == " + number(getppid())), 0);
    CHECK_EQ(write_text("events/mine/call/enable", "1"), 0);
    getpgid(getpid());
    getpgid(getppid());
    getpgid(getpid());
    CHECK_EQ(write_text("events/mine/call/enable", "0"), 0);
    CHECK_EQ(count(read_all("trace"), ": call: "), 1u);
}

void by_perf() {
    perf_event_attr asked = {};
    asked.type = PERF_TYPE_TRACEPOINT;
    asked.size = sizeof asked;
    asked.config = strtoul(read_all("events/mine/call/id").c_str(), nullptr, 10);
    const int fd = perf::opened(perf::open_event(&asked, 0, -1));
    for (int i = 0; i < 20; ++i) getpgid(0);
    CHECK_EQ(uprobe::value(fd), 20ul);
    // Who is in use can't go.
    CHECK_EQ(append("kprobe_events", "-:mine/call"), EBUSY);
    close(fd);
}

void removed() {
    CHECK_EQ(append("kprobe_events", "-:mine/no_such_event"), ENOENT);
    CHECK_EQ(write_text("events/mine/call/enable", "1"), 0);
    CHECK_EQ(append("kprobe_events", "-:mine/call"), EBUSY);
    CHECK_EQ(write_text("kprobe_events", "\n", O_TRUNC), EBUSY);
    CHECK_EQ(write_text("events/mine/call/enable", "0"), 0);
    CHECK_EQ(append("kprobe_events", "-:mine/call"), 0);
    CHECK_ERRNO(access(path("events/mine/call").c_str(), F_OK), ENOENT);
    CHECK_EQ(access(path("events/mine/back").c_str(), F_OK), 0);
    CHECK_EQ(write_text("kprobe_events", "\n", O_TRUNC), 0);
    CHECK_ERRNO(access(path("events/mine").c_str(), F_OK), ENOENT);
    CHECK(says("kprobe_events", ""));
    getpgid(0);
}

[[gnu::noinline, gnu::used]] long add(long a, const char* text) {
    asm volatile("");
    return a + text[0];
}

long (*volatile called)(long, const char*) = add;

void of_programs() {
#if defined(__x86_64__)
    const char *first = "%di", *second = "%si";
#elif defined(__aarch64__)
    const char *first = "%x0", *second = "%x1";
#elif defined(__riscv)
    const char *first = "%a0", *second = "%a1";
#else
    const char *first = "%r4", *second = "%r5";
#endif
    const uprobe::Place place = uprobe::place_of((void*)add);
    char where[PATH_MAX + 40];
    snprintf(where, sizeof where, "%s:0x%lx", place.path, (unsigned long)place.offset);
    const std::string values = std::string(" a=") + first + ":u32 text=+0(" + second + "):string head=+1(" + second +
                               "):u8[2] low=" + first + ":b4@4/32";
    CHECK_EQ(append("uprobe_events", std::string("p:mine/add ") + where + values), 0);
    CHECK_EQ(append("uprobe_events", std::string("r:mine/sum ") + where + " $retval"), 0);
    snprintf(where, sizeof where, "%s:0x%016lx", place.path, (unsigned long)place.offset);
    CHECK(contains(read_all("uprobe_events"), std::string("p:mine/add ") + where + values + "\n"));
    CHECK(contains(read_all("uprobe_events"), std::string("r:mine/sum ") + where + " arg1=$retval\n"));
    reset();
    only_me();
    CHECK_EQ(write_text("events/mine/enable", "1"), 0);
    CHECK_EQ(called(0x152, "Abc"), 0x152 + 'A');
    CHECK_EQ(write_text("events/mine/enable", "0"), 0);
    const std::string text = read_all("trace");
    CHECK(contains(text, ": add: (0x"));
    CHECK(contains(text, " a=338 text=\"Abc\" head={98,99} low=5\n"));
    CHECK(contains(text, ") arg1=0x193\n"));
    CHECK(contains(read_all("uprobe_profile"), " add  "));
    CHECK_EQ(write_text("uprobe_events", "\n", O_TRUNC), 0);
    CHECK_EQ(called(1, "A"), 66);
}

void refused() {
    const auto kernel = [](const std::string& line) { return append("kprobe_events", line); };
    const auto program = [](const std::string& line) { return append("uprobe_events", line); };
    CHECK_EQ(kernel("q:mine/call " + target.name), EINVAL);
    CHECK_EQ(kernel("p:mine/call no_such_function_at_all"), EINVAL);
    CHECK_EQ(kernel("p:mi+ne/call " + target.name), EINVAL);
    CHECK_EQ(kernel("p:mine/ca-ll " + target.name), EINVAL);
    CHECK_EQ(kernel("p:mine/call " + target.name + " x=%no_such_register"), EINVAL);
    CHECK_EQ(kernel("p:mine/call " + target.name + " x=$retval"), EINVAL);
    CHECK_EQ(kernel("p:mine/call " + target.name + " x=$no_such_variable"), EINVAL);
    CHECK_EQ(kernel("p:mine/call " + target.name + " x=$stack:u33"), EINVAL);
    CHECK_EQ(kernel("p:mine/call " + target.name + " x=+0($stack"), EINVAL);
    CHECK_EQ(kernel("p:mine/call " + target.name + " x=$stack x=$stack"), EINVAL);
    CHECK_EQ(kernel("p:mine/call " + target.name + " common_pid=$stack"), EINVAL);
    CHECK_EQ(kernel("p:mine/call " + target.name + " x=+0($stack):b9@0/8"), EINVAL);
    CHECK_EQ(kernel("r:mine/call " + target.name + "+11"), EINVAL);
    // A function's entry may be said by another's, as perf does.
    char entry[64];
    unsigned long text = 0;
    for (const kprobe::Symbol& symbol : kprobe::functions())
        if (symbol.name == "_text") text = symbol.address;
    snprintf(entry, sizeof entry, "r:mine/call _text+%lu", target.address - text);
    CHECK_EQ(kernel(entry), 0);
    CHECK_EQ(kernel("-:mine/call"), 0);
    CHECK_EQ(kernel("-:mine/call"), ENOENT);
    CHECK_EQ(program("p:mine/call /no/such/file:0x100"), ENOENT);
    CHECK_EQ(program("p:mine/call /:0x100"), EINVAL);
    CHECK_EQ(program("p:mine/call /proc/self/exe:zzz"), EINVAL);
    CHECK_EQ(program("p:mine/call relative:0x100"), EINVAL);
    // A comment and an empty line are nothing; the error says where it is.
    CHECK_EQ(kernel("# nothing"), 0);
    write_text("error_log", "\n", O_TRUNC);
    CHECK_EQ(kernel("p:mine/call " + target.name + " x=%no_such_register"), EINVAL);
    CHECK(contains(read_all("error_log"), ": error: Invalid register name\n"));
    CHECK(says("kprobe_events", ""));
    CHECK(says("uprobe_events", ""));
    // The same name twice.
    CHECK_EQ(kernel("p:mine/call " + target.name), 0);
    CHECK_EQ(kernel("p:mine/call " + target.name), EEXIST);
    CHECK_EQ(kernel("-:mine/call"), 0);
}

} // namespace

int main() {
    group = getpgrp();
    mount();
    proc_text::needs(access(path("kprobe_events").c_str(), F_OK) == 0, "no dynamic events");
    target = kprobe::getpgid_function();
    is_linnet = proc_text::is_linnet();
    write_text("kprobe_events", "\n", O_TRUNC);
    write_text("uprobe_events", "\n", O_TRUNC);
    of_the_kernel();
    filtered();
    by_perf();
    removed();
    of_programs();
    refused();
    unmount();
    return result();
}
