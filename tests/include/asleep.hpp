// Helpers for tests with several processes: what a child or thread does is waited for, never slept for.
#pragma once

#include <atomic>
#include <csignal>
#include <ctime>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

#include "check.hpp"
#include "child.hpp"

namespace check {

inline void nap() {
    timespec pause = {0, 1000000};
    nanosleep(&pause, nullptr);
}

/// Waits until `holds()` is true; false when it still isn't after so many seconds.
template <typename F>
bool eventually(F holds, double seconds = 30) {
    auto now = [] {
        timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return double(time.tv_sec) + double(time.tv_nsec) / 1e9;
    };
    for (const double end = now() + seconds; !holds(); nap())
        if (now() > end) return false;
    return true;
}

/// The letter that /proc/TID/stat shows: R, S, D, T, Z …; 0 when there is no such thread.
inline char thread_state(pid_t tid) {
    char name[64], text[512];
    snprintf(name, sizeof name, "/proc/%d/stat", int(tid));
    FILE* file = fopen(name, "r");
    if (!file) return 0;
    const size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    const char* end = strrchr(text, ')');
    return end && end[1] ? end[2] : char(0);
}

/// Waits until a thread sleeps in a call, seen three times in a row: a page being brought in is a short sleep too.
inline bool wait_asleep(pid_t tid) {
    int seen = 0;
    return eventually([&] {
        seen = thread_state(tid) == 'S' ? seen + 1 : 0;
        return seen >= 3;
    });
}

/// A zeroed T that children share with their parent.
template <typename T>
T* shared() {
    void* memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) _Exit(1);
    return new (memory) T{};
}

template <typename... Signals>
sigset_t set_of(Signals... signals) {
    sigset_t set;
    sigemptyset(&set);
    (sigaddset(&set, signals), ...);
    return set;
}

inline void handle(int signal, void (*handler)(int), int flags = 0) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    CHECK_OK(sigaction(signal, &action, nullptr));
}

inline void handle(int signal, void (*handler)(int, siginfo_t*, void*), int flags = 0) {
    struct sigaction action = {};
    action.sa_sigaction = handler;
    action.sa_flags = flags | SA_SIGINFO;
    CHECK_OK(sigaction(signal, &action, nullptr));
}

} // namespace check
