// The function tracer, and two functions of the kernel that only this test's calls reach.
#pragma once

#include <sys/syscall.h>

#include "kprobe.hpp"
#include "tracefs.hpp"

namespace functions {

using namespace tracefs;

inline std::string one, two; // those of getpgid(2) and getsid(2)

inline constexpr const char *filter = "set_ftrace_filter", *notrace = "set_ftrace_notrace", *pids = "set_ftrace_pid",
                            *no_pids = "set_ftrace_notrace_pid";

inline void call_one() { syscall(SYS_getpgid, 0); }
inline void call_two() { syscall(SYS_getsid, 0); }

inline void everything_off() {
    write_text("current_tracer", "nop");
    for (const char* list : {filter, notrace, pids, no_pids}) write_text(list, "\n", O_TRUNC);
    write_text("trace_options", "nofunction-fork");
    reset();
}

/// A function may have several names, of which the tracer knows one.
inline std::string traced_name(const std::string& call) {
    const std::string all = "\n" + read_all("available_filter_functions");
    for (const kprobe::Symbol& symbol : kprobe::functions_of_call(call))
        if (contains(all, "\n" + symbol.name + "\n")) return symbol.name;
    check::failed(__FILE__, __LINE__, ("the tracer has no function for " + call).c_str());
    return "";
}

/// Mounts tracefs; skips the test on a Linux that lacks the tracer.
inline void mount() {
    tracefs::mount();
    proc_text::needs(contains(read_all("available_tracers"), "function "), "no function tracer");
    one = traced_name("getpgid");
    two = traced_name("getsid");
    everything_off();
}

inline void unmount() {
    everything_off();
    tracefs::unmount();
}

/// Writes several words: Linux takes one at a time.
inline void choose(const char* list, const std::string& functions, int flags = O_TRUNC) {
    const std::string text = functions + "\n";
    const int fd = open(path(list).c_str(), O_WRONLY | flags);
    for (size_t at = 0; at < text.size();) {
        const ssize_t written = write(fd, text.data() + at, text.size() - at);
        CHECK_GT(written, 0);
        if (written <= 0) break;
        at += size_t(written);
    }
    close(fd);
}

inline void trace(const std::string& functions) {
    choose(filter, functions);
    CHECK_EQ(write_text("current_tracer", "function"), 0);
}

/// Entries of the function in the thread.
inline size_t hits(const std::string& text, const std::string& function, pid_t tid) {
    size_t found = 0;
    const std::string thread = "-" + std::to_string(tid) + " ", call = ": " + function + " <-";
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        const std::string line = text.substr(at, end - at);
        if (contains(line, thread) && contains(line, call)) ++found;
        at = end + 1;
    }
    return found;
}

} // namespace functions
