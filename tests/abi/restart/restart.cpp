// timeout: 240
// Which interrupted calls go on: every call of blocking_calls.hpp with a handler with and without SA_RESTART, with
// signals ignored by default or on request, and with a stop and continue without a handler. The first signal decides.
#include "blocking_calls.hpp"

using namespace blocking;

namespace {

void count(int) { memory->handled++; }

struct Report {
    long result;
    int error;
};

/// A child that does the call, and the pipe in which it tells how that ended.
struct Trial {
    pid_t child;
    int report[2];

    explicit Trial(const Call& call, int flags) {
        make_things();
        if (call.prepare) call.prepare();
        REQUIRE(pipe(report) == 0);
        child = fork();
        if (child == 0) {
            handle(SIGUSR1, count, flags);
            handle(SIGUSR2, count, flags ^ SA_RESTART);
            handle(SIGTERM, SIG_IGN);
            errno = 0;
            Report done = {call.run(), 0};
            done.error = errno;
            (void)!write(report[1], &done, sizeof done);
            _exit(0);
        }
        settle();
    }

    void settle() { wait_asleep(child); }

    bool has_ended() {
        pollfd request = {report[0], POLLIN, 0};
        return poll(&request, 1, 0) == 1;
    }

    void expect(const Call& call, const char* what, Fate fate) {
        char text[200];
        Report done = {};
        if (fate == GoesOn) {
            if (!has_ended() && call.release) call.release(child);
            if (!call.release) {
                if (!has_ended()) return;
            } else if (read(report[0], &done, sizeof done) == sizeof done && done.result >= 0) {
                return;
            }
            if (!call.release) (void)!read(report[0], &done, sizeof done);
            snprintf(text, sizeof text, "%s, %s: ended with %ld (errno %d), should have gone on", call.name, what,
                     done.result, done.error);
        } else {
            if (!eventually([&] { return has_ended(); }))
                snprintf(text, sizeof text, "%s, %s: went on, should have ended", call.name, what);
            else if (read(report[0], &done, sizeof done) != sizeof done || done.result != -1 || done.error != EINTR)
                snprintf(text, sizeof text, "%s, %s: ended with %ld (errno %d), not EINTR", call.name, what,
                         done.result, done.error);
            else
                return;
        }
        failed(__FILE__, __LINE__, text);
    }

    ~Trial() {
        kill(child, SIGKILL);
        if (memory->grandchild) kill(memory->grandchild, SIGKILL);
        waitpid(child, nullptr, 0);
        close(report[0]), close(report[1]);
        drop_things();
    }
};

void with_handler(const Call& call, int flags, Fate fate) {
    Trial trial(call, flags);
    kill(trial.child, SIGUSR1);
    CHECK(eventually([] { return memory->handled == 1; }));
    if (fate == GoesOn) trial.settle();
    trial.expect(call, flags ? "handler with SA_RESTART" : "handler", fate);
}

void with_ignored_signals(const Call& call) {
    Trial trial(call, 0);
    for (int signal : {SIGURG, SIGWINCH, SIGCHLD, SIGCONT, SIGTERM}) kill(trial.child, signal);
    trial.settle();
    trial.expect(call, "ignored signals", GoesOn);
}

void with_stop(const Call& call) {
    Trial trial(call, 0);
    int status = 0;
    kill(trial.child, SIGSTOP);
    CHECK_EQ(waitpid(trial.child, &status, WUNTRACED), trial.child);
    CHECK(WIFSTOPPED(status));
    kill(trial.child, SIGCONT);
    CHECK_EQ(waitpid(trial.child, &status, WCONTINUED), trial.child);
    CHECK(WIFCONTINUED(status));
    if (call.after_stop == GoesOn) trial.settle();
    trial.expect(call, "stop and continue", call.after_stop);
}

/// Two handlers at once, of which one wants a restart: the signal delivered first, the lower number, decides.
void first_decides(int flags, Fate fate) {
    Trial trial(calls[0], flags);
    kill(trial.child, SIGSTOP);
    int status = 0;
    CHECK_EQ(waitpid(trial.child, &status, WUNTRACED), trial.child);
    kill(trial.child, SIGUSR2);
    kill(trial.child, SIGUSR1);
    kill(trial.child, SIGCONT);
    CHECK(eventually([] { return memory->handled == 2; }));
    if (fate == GoesOn) trial.settle();
    trial.expect(calls[0], flags ? "restart, then none" : "no restart, then one", fate);
}

} // namespace

int main() {
    memory = shared<Shared>();
    for (const Call& call : calls) {
        with_handler(call, SA_RESTART, call.with_restart);
        with_handler(call, 0, call.without_restart);
        with_ignored_signals(call);
        with_stop(call);
    }
    first_decides(SA_RESTART, GoesOn);
    first_decides(0, Ends);
    unlink("restart.lock");
    unlink("restart.fifo");
    return result();
}
