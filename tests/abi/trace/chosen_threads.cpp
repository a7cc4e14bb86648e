// Whose records there are: set_event_pid and set_event_notrace_pid, and the children with the option event-fork.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "asleep.hpp"
#include "child.hpp"
#include "tracefs.hpp"

using namespace check;
using namespace tracefs;

namespace {

constexpr const char *chosen = "set_event_pid", *excluded = "set_event_notrace_pid";
std::string text_of(pid_t pid) { return std::to_string(pid); }

/// One call that is recorded, by the thread itself: nobody else makes any with this argument.
constexpr long mark = 0x1234567;
void call() { syscall(SYS_getpgid, mark); }

size_t calls_of(const std::string& trace, pid_t pid) {
    size_t found = 0;
    const std::string name = "-" + text_of(pid) + " ";
    for (size_t at = 0; at < trace.size();) {
        const size_t end = trace.find('\n', at);
        const std::string line = trace.substr(at, end - at);
        if (contains(line, name) && contains(line, " (1234567,")) ++found;
        if (end == std::string::npos) break;
        at = end + 1;
    }
    return found;
}

struct Family {
    pid_t child, grandchild;
};

/// Calls, then has a child and a grandchild do so.
Family call_with_family() {
    auto* family =
        static_cast<Family*>(mmap(nullptr, sizeof(Family), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    REQUIRE(family != MAP_FAILED);
    call();
    run_in_child([&] {
        family->child = getpid();
        call();
        run_in_child([&] {
            family->grandchild = getpid();
            call();
        });
        call();
    });
    const Family seen = *family;
    munmap(family, sizeof *family);
    return seen;
}

void begin(const char* file, const std::string& pids) {
    write_text("trace", "\n", O_TRUNC);
    CHECK_EQ(write_text(chosen, "\n", O_TRUNC), 0);
    CHECK_EQ(write_text(excluded, "\n", O_TRUNC), 0);
    CHECK_EQ(write_text(file, pids, O_TRUNC), 0);
}

/// Who has died is in the list no more; on Linux from when it is forgotten.
void loses_the_dead(const char* file) {
    const std::string alone = text_of(getpid()) + "\n";
    CHECK(eventually([&] { return read_all(file) == alone; }));
}

void lists() {
    CHECK(says(chosen, ""));
    CHECK(says(excluded, ""));
    CHECK_EQ(write_text(chosen, "300 20", O_TRUNC), 0);
    CHECK_EQ(write_text(chosen, "1", O_APPEND), 0);
    CHECK_EQ(write_text(chosen, "300\n"), 0);
    CHECK(says(chosen, "1\n20\n300\n"));
    CHECK_EQ(write_text(excluded, "7"), 0);
    CHECK(says(excluded, "7\n"));
    CHECK_EQ(write_text(chosen, "4 x"), EINVAL);
    CHECK_EQ(write_text(excluded, "-4"), EINVAL);
    CHECK_EQ(write_text(chosen, "\n", O_TRUNC), 0);
    CHECK_EQ(write_text(excluded, "\n", O_TRUNC), 0);
    CHECK(says(chosen, ""));
}

void only_chosen() {
    begin(chosen, text_of(getpid()));
    const Family family = call_with_family();
    const std::string trace = entries();
    CHECK_EQ(calls_of(trace, getpid()), 1u);
    CHECK_EQ(calls_of(trace, family.child), 0u);
    CHECK_EQ(calls_of(trace, family.grandchild), 0u);
}

void all_but_excluded() {
    begin(excluded, text_of(getpid()));
    const Family family = call_with_family();
    std::string trace = entries();
    CHECK_EQ(calls_of(trace, getpid()), 0u);
    CHECK_EQ(calls_of(trace, family.child), 2u);
    CHECK_EQ(calls_of(trace, family.grandchild), 1u);
    // Who is in both lists is excluded.
    CHECK_EQ(write_text(chosen, text_of(getpid())), 0);
    call();
    trace = entries();
    CHECK_EQ(calls_of(trace, getpid()), 0u);
}

void children_of_chosen() {
    begin(chosen, text_of(getpid()));
    CHECK_EQ(write_text("trace_options", "event-fork"), 0);
    const Family family = call_with_family();
    const std::string trace = entries();
    CHECK_EQ(calls_of(trace, getpid()), 1u);
    CHECK_EQ(calls_of(trace, family.child), 2u);
    CHECK_EQ(calls_of(trace, family.grandchild), 1u);
    loses_the_dead(chosen);
}

void children_of_excluded() {
    begin(excluded, text_of(getpid()));
    const Family family = call_with_family();
    const std::string trace = entries();
    CHECK_EQ(calls_of(trace, getpid()), 0u);
    CHECK_EQ(calls_of(trace, family.child), 0u);
    CHECK_EQ(calls_of(trace, family.grandchild), 0u);
    loses_the_dead(excluded);
}

/// A list is of threads, and those that one makes are its children, too.
void threads() {
    const auto call_in_thread = [](void* tid) -> void* {
        *static_cast<pid_t*>(tid) = gettid();
        call();
        return nullptr;
    };
    for (const bool with_children : {true, false}) {
        begin(chosen, text_of(getpid()));
        CHECK_EQ(write_text("trace_options", with_children ? "event-fork" : "noevent-fork"), 0);
        pthread_t thread;
        pid_t tid = 0;
        CHECK_EQ(pthread_create(&thread, nullptr, call_in_thread, &tid), 0);
        CHECK_EQ(pthread_join(thread, nullptr), 0);
        CHECK_EQ(calls_of(entries(), tid), with_children ? 1u : 0u);
    }
}

} // namespace

int main() {
    tracefs::mount();
    write_text("trace_options", "noevent-fork");
    lists();
    CHECK_EQ(write_text("events/raw_syscalls/sys_enter/filter", "id == " + text_of(SYS_getpgid)), 0);
    CHECK_EQ(write_text("events/raw_syscalls/sys_enter/enable", "1"), 0);
    only_chosen();
    all_but_excluded();
    children_of_chosen();
    children_of_excluded();
    threads();
    CHECK_EQ(write_text("events/raw_syscalls/sys_enter/filter", "0"), 0);
    write_text(excluded, "\n", O_TRUNC);
    unmount();
    return result();
}
