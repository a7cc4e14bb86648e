// timeout: 120
// Calls with a time-out that are stopped and continued: they wait for what is left, not anew (restart_syscall(2)), and
// one whose time has passed meanwhile ends as it goes on. Those that keep what is left in the program's memory (select
// and ppoll) begin anew with that, so that the stop does not count. Interrupted by a handler, some tell what is left.
#include <sys/syscall.h>

#include "blocking_calls.hpp"

using namespace blocking;

namespace {

/// A call that nothing but its time-out ends.
struct Timed {
    const char* name;
    long (*run)(timespec);
    long result; // of a time-out
    int error;   // with it, when the result is -1
    bool waits_while_stopped = true;
};

timespec later(clockid_t clock, timespec span) {
    timespec time;
    clock_gettime(clock, &time);
    time.tv_sec += span.tv_sec;
    time.tv_nsec += span.tv_nsec;
    if (time.tv_nsec >= 1000000000) time.tv_nsec -= 1000000000, time.tv_sec++;
    return time;
}

const Timed timed_calls[] = {
    {"nanosleep", [](timespec span) { return long(syscall(SYS_nanosleep, &span, nullptr)); }, 0, 0},
    {"clock_nanosleep", [](timespec span) { return posix(clock_nanosleep(CLOCK_MONOTONIC, 0, &span, nullptr)); }, 0, 0},
    {"clock_nanosleep of CLOCK_REALTIME",
     [](timespec span) { return posix(clock_nanosleep(CLOCK_REALTIME, 0, &span, nullptr)); }, 0, 0},
    {"clock_nanosleep until",
     [](timespec span) {
         const timespec until = later(CLOCK_MONOTONIC, span);
         return posix(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr));
     },
     0, 0},
#ifdef SYS_poll // elsewhere it is ppoll
    {"poll", [](timespec span) { return long(syscall(SYS_poll, nullptr, 0, int(span.tv_sec * 1000))); }, 0, 0},
#endif
    {"ppoll", [](timespec span) { return long(ppoll(nullptr, 0, &span, nullptr)); }, 0, 0, false},
    {"raw ppoll", [](timespec span) { return syscall(SYS_ppoll, nullptr, 0, &span, nullptr, 8); }, 0, 0, false},
    {"select",
     [](timespec span) {
         timeval time = {span.tv_sec, span.tv_nsec / 1000};
         return long(select(0, nullptr, nullptr, nullptr, &time));
     },
     0, 0, false},
    {"raw pselect6", [](timespec span) { return syscall(SYS_pselect6, 0, nullptr, nullptr, nullptr, &span, nullptr); },
     0, 0, false},
    {"futex wait", [](timespec span) { return futex(FUTEX_WAIT, &span); }, -1, ETIMEDOUT},
    {"futex wait until",
     [](timespec span) {
         const timespec until = later(CLOCK_MONOTONIC, span);
         return futex(FUTEX_WAIT_BITSET, &until);
     },
     -1, ETIMEDOUT},
    {"futex_waitv",
     [](timespec span) {
         const WaitedWord one = {0, uint64_t(&memory->word), 2, 0};
         const timespec until = later(CLOCK_MONOTONIC, span);
         return syscall(449, &one, 1, 0, &until, CLOCK_MONOTONIC);
     },
     -1, ETIMEDOUT},
    {"mq_timedreceive",
     [](timespec span) {
         const timespec until = later(CLOCK_REALTIME, span);
         return long(mq_timedreceive(things.queue, &byte, 1, nullptr, &until));
     },
     -1, ETIMEDOUT},
};
constexpr int call_count = sizeof timed_calls / sizeof *timed_calls;

double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return double(time.tv_sec) + double(time.tv_nsec) / 1e9;
}

void wait_until(double when) {
    while (now() < when) nap();
}

struct Outcome {
    long result;
    int error;
    double began, ended;
};

constexpr int span_seconds = 3;

/// All calls at once, each in a child of its own, stopped from `stop_at` to `continue_at` seconds, `times` times.
void stopped(double stop_at, double continue_at, int times, double latest) {
    auto* outcomes = static_cast<Outcome*>(
        mmap(nullptr, sizeof(Outcome) * call_count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    REQUIRE(outcomes != MAP_FAILED);
    pid_t children[call_count];
    for (int i = 0; i < call_count; i++) {
        children[i] = fork();
        if (children[i] != 0) continue;
        outcomes[i].began = now();
        errno = 0;
        outcomes[i].result = timed_calls[i].run({span_seconds, 0});
        outcomes[i].error = errno;
        outcomes[i].ended = now();
        _exit(0);
    }
    for (pid_t child : children) wait_asleep(child);
    const double begin = now();
    for (int time = 0; time < times; time++) {
        wait_until(begin + stop_at);
        int status;
        for (pid_t child : children) kill(child, SIGSTOP);
        for (pid_t child : children) CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
        wait_until(begin + continue_at);
        for (pid_t child : children) kill(child, SIGCONT);
    }
    for (int i = 0; i < call_count; i++) {
        int status;
        CHECK_EQ(waitpid(children[i], &status, 0), children[i]);
        const Outcome& outcome = outcomes[i];
        const double took = outcome.ended - outcome.began;
        const double extra = timed_calls[i].waits_while_stopped ? 0 : (continue_at - stop_at) * times;
        const double least = span_seconds + extra - (extra > 0 ? 0.3 : 0.01); // stopping takes a moment
        const bool as_told =
            outcome.result == timed_calls[i].result && (outcome.result != -1 || outcome.error == timed_calls[i].error);
        if (as_told && took >= least && took < latest + extra) continue;
        char text[200];
        snprintf(text, sizeof text, "%s, stopped from %g to %g: %ld (errno %d) after %.3f s", timed_calls[i].name,
                 stop_at, continue_at, outcome.result, outcome.error, took);
        failed(__FILE__, __LINE__, text);
    }
    munmap(outcomes, sizeof(Outcome) * call_count);
}

/// A call that writes what is left of its time-out back.
struct Telling {
    const char* name;
    long (*run)(timespec span, timespec& left);
    double least_waited = 0.2; // of 0.25 s stopped
};

const Telling telling_calls[] = {
    {"nanosleep", [](timespec span, timespec& left) { return long(syscall(SYS_nanosleep, &span, &left)); }},
    {"nanosleep over itself",
     [](timespec span, timespec& left) {
         left = span;
         return long(syscall(SYS_nanosleep, &left, &left));
     }},
    {"clock_nanosleep",
     [](timespec span, timespec& left) { return posix(clock_nanosleep(CLOCK_BOOTTIME, 0, &span, &left)); }},
    {"raw ppoll",
     [](timespec span, timespec& left) {
         left = span;
         return syscall(SYS_ppoll, nullptr, 0, &left, nullptr, 8);
     },
     0},
    {"raw pselect6",
     [](timespec span, timespec& left) {
         left = span;
         return syscall(SYS_pselect6, 0, nullptr, nullptr, nullptr, &left, nullptr);
     },
     0},
    {"select",
     [](timespec span, timespec& left) {
         timeval time = {span.tv_sec, span.tv_nsec / 1000};
         const long result = select(0, nullptr, nullptr, nullptr, &time);
         left = {time.tv_sec, time.tv_usec * 1000};
         return result;
     },
     0},
};

/// Stopped and continued once and then interrupted: what is left is what was not waited.
void told_what_is_left() {
    constexpr double whole = 1000;
    for (const Telling& call : telling_calls) {
        for (int flags : {0, SA_RESTART}) {
            memory->handled = 0;
            const pid_t child = fork();
            if (child == 0) {
                handle(SIGUSR1, [](int) { memory->handled++; }, flags);
                timespec left = {};
                const double began = now();
                errno = 0;
                const long result = call.run({long(whole), 0}, left);
                const int error = errno;
                const double took = now() - began, rest = double(left.tv_sec) + double(left.tv_nsec) / 1e9;
                if (result == -1 && error == EINTR && rest + took >= whole - 0.02 && rest < whole - call.least_waited)
                    _exit(0);
                printf("%s: %ld (errno %d), %.3f s left after %.3f\n", call.name, result, error, rest, took);
                fflush(stdout);
                _exit(1);
            }
            wait_asleep(child);
            const double begin = now();
            int status;
            kill(child, SIGSTOP);
            CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
            wait_until(begin + 0.25);
            kill(child, SIGCONT);
            CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
            wait_asleep(child);
            kill(child, SIGUSR1);
            CHECK_EQ(waitpid(child, &status, 0), child);
            CHECK_EQ(status, 0);
            CHECK_EQ(memory->handled.load(), 1);
        }
    }
}

/// What is given up by a handler can't be taken up again, and without anything to take up there is nothing.
void nothing_to_take_up() {
    CHECK_ERRNO(syscall(SYS_restart_syscall), EINTR);
    memory->handled = 0;
    const pid_t child = fork();
    if (child == 0) {
        handle(SIGUSR1, [](int) { memory->handled++; });
        const timespec span = {1000, 0};
        CHECK_ERRNO(syscall(SYS_nanosleep, &span, nullptr), EINTR);
        CHECK_ERRNO(syscall(SYS_restart_syscall), EINTR);
        _exit(result());
    }
    wait_asleep(child);
    kill(child, SIGUSR1);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(memory->handled.load(), 1);
}

} // namespace

int main() {
    memory = shared<Shared>();
    make_things();
    stopped(1, 2.5, 1, span_seconds + 1);                  // anew it would end after 5.5 s
    stopped(0.5, 0.5, 20, span_seconds + 2);               // again and again
    stopped(1, span_seconds + 1.5, 1, span_seconds + 3.5); // past its end; anew it would end after 7.5 s
    told_what_is_left();
    nothing_to_take_up();
    drop_things();
    unlink("restart.lock");
    unlink("restart.fifo");
    return result();
}
