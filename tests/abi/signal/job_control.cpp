// Stops and continues: which signals stop, who is told, what cancels what, orphaned groups, and the terminal's part in
// it.
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "asleep.hpp"

using namespace check;

namespace {

int wait_status(pid_t child, int options) {
    int status = -1;
    CHECK_EQ(waitpid(child, &status, options), child);
    return status;
}

bool stopped_by(int status, int signal) { return WIFSTOPPED(status) && WSTOPSIG(status) == signal; }

void each_stop_signal() {
    for (int signal : {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU}) {
        const pid_t child = pausing();
        setpgid(child, child); // its group has a parent outside, in the same session: not orphaned
        kill(child, signal);
        CHECK(stopped_by(wait_status(child, WUNTRACED), signal));
        CHECK_EQ(thread_state(child), 'T');
        siginfo_t info = {};
        CHECK_OK(waitid(P_PID, id_t(child), &info, WSTOPPED | WNOHANG)); // told once
        CHECK_EQ(info.si_pid, 0);
        kill(child, SIGCONT);
        CHECK_OK(waitid(P_PID, id_t(child), &info, WCONTINUED | WNOWAIT));
        CHECK_EQ(info.si_code, CLD_CONTINUED);
        CHECK_EQ(info.si_status, SIGCONT);
        CHECK(WIFCONTINUED(wait_status(child, WCONTINUED)));
        CHECK_EQ(waitpid(child, nullptr, WCONTINUED | WNOHANG), 0);
        end_child(child);
    }
}

void stopped_ones_die() {
    pid_t child = pausing();
    kill(child, SIGSTOP);
    CHECK(stopped_by(wait_status(child, WUNTRACED), SIGSTOP));
    kill(child, SIGTERM); // stays pending
    for (int i = 0; i < 20; ++i) nap();
    CHECK_EQ(thread_state(child), 'T');
    kill(child, SIGCONT);
    CHECK(died_of(wait_status(child, 0), SIGTERM));
    child = pausing();
    kill(child, SIGSTOP);
    CHECK(stopped_by(wait_status(child, WUNTRACED), SIGSTOP));
    kill(child, SIGKILL);
    CHECK(died_of(wait_status(child, 0), SIGKILL));
}

/// SIGCONT throws pending stops away, and a stop a pending SIGCONT.
void cancelling() {
    sigset_t set = set_of(SIGTSTP, SIGTTIN, SIGCONT), old, pending;
    sigprocmask(SIG_BLOCK, &set, &old);
    kill(getpid(), SIGTSTP);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGTSTP));
    kill(getpid(), SIGCONT);
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGTSTP));
    CHECK(sigismember(&pending, SIGCONT));
    kill(getpid(), SIGTTIN);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGTTIN));
    CHECK(!sigismember(&pending, SIGCONT));
    kill(getpid(), SIGCONT);
    sigprocmask(SIG_SETMASK, &old, nullptr);
}

struct Counters {
    std::atomic<long> one, two;
    std::atomic<int> continued;
};

/// All threads of a process stop; its SIGCONT handler runs when it goes on.
void whole_process() {
    auto* counters = shared<Counters>();
    static Counters* in_child_counters;
    in_child_counters = counters;
    const pid_t child = fork();
    if (child == 0) {
        handle(SIGCONT, [](int) { in_child_counters->continued++; });
        pthread_t thread;
        pthread_create(
            &thread, nullptr,
            [](void*) -> void* {
                for (;;) in_child_counters->two++;
            },
            nullptr);
        for (;;) counters->one++;
    }
    CHECK(eventually([&] { return counters->one > 0 && counters->two > 0; }));
    for (int i = 0; i < 5; ++i) {
        kill(child, SIGSTOP);
        CHECK(stopped_by(wait_status(child, WUNTRACED), SIGSTOP));
        const long one = counters->one, two = counters->two;
        for (int n = 0; n < 5; ++n) nap();
        CHECK_EQ(counters->one.load(), one);
        CHECK_EQ(counters->two.load(), two);
        kill(child, SIGCONT);
        CHECK(WIFCONTINUED(wait_status(child, WCONTINUED)));
        CHECK(eventually([&] { return counters->one > one && counters->two > two && counters->continued == i + 1; }));
    }
    end_child(child);
}

/// A quick succession of stops and continues ends as its last signal says.
void storm() {
    const pid_t child = pausing();
    for (int i = 0; i < 300; ++i) {
        kill(child, SIGSTOP);
        kill(child, SIGCONT);
    }
    kill(child, SIGSTOP);
    CHECK(eventually([&] { return thread_state(child) == 'T'; }));
    kill(child, SIGCONT);
    CHECK(eventually([&] { return thread_state(child) == 'S'; }));
    end_child(child);
}

/// In a group without a parent in its session that could continue it, only SIGSTOP stops.
void orphaned_group() {
    const int status = in_child([] {
        CHECK_EQ(setsid(), getpid());
        signal(SIGCONT, SIG_DFL);
        for (int signal : {SIGTSTP, SIGTTIN, SIGTTOU}) kill(getpid(), signal); // nothing happens
        handle(SIGTSTP, SIG_DFL);
        kill(0, SIGTSTP);
    });
    CHECK_EQ(status, 0);
    const pid_t child = fork();
    if (child == 0) {
        setsid();
        kill(getpid(), SIGSTOP);
        _exit(3);
    }
    CHECK(stopped_by(wait_status(child, WUNTRACED), SIGSTOP));
    kill(child, SIGCONT);
    const int ended = wait_status(child, 0);
    CHECK_EQ(ended, 3 << 8);
}

/// A group that becomes orphaned with a stopped member gets SIGHUP and SIGCONT.
void newly_orphaned() {
    struct Notes {
        std::atomic<int> hangups, continues;
        std::atomic<pid_t> member;
    };
    static Notes* notes;
    notes = shared<Notes>();
    const pid_t leader = fork();
    if (leader == 0) {
        setsid();
        const pid_t member = fork();
        if (member == 0) {
            setpgid(0, 0);
            handle(SIGHUP, [](int) { notes->hangups++; });
            handle(SIGCONT, [](int) { notes->continues++; });
            notes->member = getpid();
            for (;;) pause();
        }
        setpgid(member, member);
        while (notes->member == 0) nap();
        kill(member, SIGSTOP);
        int status;
        waitpid(member, &status, WUNTRACED);
        _exit(0);
    }
    CHECK_EQ(wait_status(leader, 0), 0);
    CHECK(eventually([] { return notes->hangups == 1 && notes->continues == 1; }));
    kill(notes->member, SIGKILL);
}

struct Terminal {
    int master = -1;
    char name[64];
    Terminal() {
        master = posix_openpt(O_RDWR | O_NOCTTY);
        REQUIRE(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
        REQUIRE(ptsname_r(master, name, sizeof name) == 0);
    }
    ~Terminal() { close(master); }
    /// Runs `body(slave)` in a session whose terminal this is.
    template <typename F>
    int session(F body) {
        return in_child([&] {
            setsid();
            const int slave = open(name, O_RDWR);
            REQUIRE(slave >= 0);
            CHECK_EQ(tcgetpgrp(slave), getpid());
            body(slave);
        });
    }
};

/// A background child of the session that runs `body`; returns its pid.
template <typename F>
pid_t background(F body) {
    const pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        failures = 0;
        body();
        _exit(result());
    }
    setpgid(child, child);
    return child;
}

void background_reads_and_writes() {
    Terminal terminal;
    const int status = terminal.session([&](int slave) {
        char byte;
        // A read stops; ignored or blocked it fails.
        pid_t child = background([&] { (void)!read(slave, &byte, 1); });
        CHECK(stopped_by(wait_status(child, WUNTRACED), SIGTTIN));
        end_child(child);
        child = background([&] {
            signal(SIGTTIN, SIG_IGN);
            CHECK_ERRNO(read(slave, &byte, 1), EIO);
            signal(SIGTTIN, SIG_DFL);
            const sigset_t set = set_of(SIGTTIN);
            sigprocmask(SIG_BLOCK, &set, nullptr);
            CHECK_ERRNO(read(slave, &byte, 1), EIO);
        });
        CHECK_EQ(wait_status(child, 0), 0);
        // A handler runs, and the read ends with EINTR.
        child = background([&] {
            handle(SIGTTIN, [](int) {});
            CHECK_ERRNO(read(slave, &byte, 1), EINTR);
        });
        CHECK_EQ(wait_status(child, 0), 0);
        // A write passes without TOSTOP and stops with it.
        child = background([&] { CHECK_EQ(write(slave, "w", 1), 1); });
        CHECK_EQ(wait_status(child, WUNTRACED), 0);
        termios settings;
        CHECK_OK(tcgetattr(slave, &settings));
        settings.c_lflag |= TOSTOP;
        CHECK_OK(tcsetattr(slave, TCSANOW, &settings));
        child = background([&] { (void)!write(slave, "x", 1); });
        CHECK(stopped_by(wait_status(child, WUNTRACED), SIGTTOU));
        end_child(child);
        child = background([&] {
            signal(SIGTTOU, SIG_IGN);
            CHECK_EQ(write(slave, "y", 1), 1);
        });
        CHECK_EQ(wait_status(child, WUNTRACED), 0);
        // Changing the terminal from behind stops with or without TOSTOP.
        child = background([&] { tcsetattr(slave, TCSANOW, &settings); });
        CHECK(stopped_by(wait_status(child, WUNTRACED), SIGTTOU));
        end_child(child);
        child = background([&] { tcsetpgrp(slave, getpgrp()); });
        CHECK(stopped_by(wait_status(child, WUNTRACED), SIGTTOU));
        // Continued in the foreground it tries again and succeeds.
        CHECK_OK(tcsetpgrp(slave, child));
        signal(SIGTTOU, SIG_IGN);
        kill(child, SIGCONT);
        CHECK_EQ(wait_status(child, 0), 0);
        CHECK_OK(tcsetpgrp(slave, getpgrp()));
        CHECK_ERRNO(tcsetpgrp(slave, 99999999), ESRCH);
    });
    CHECK_EQ(status, 0);
}

/// A background read in an orphaned group: EIO at once.
void orphan_reads() {
    struct Shared {
        std::atomic<int> result, error;
        std::atomic<bool> done;
    };
    auto* memory = shared<Shared>();
    Terminal terminal;
    const int status = terminal.session([&](int slave) {
        const pid_t middle = fork();
        if (middle == 0) {
            setpgid(0, 0);
            if (fork() == 0) {
                CHECK(eventually([] { return getppid() == 1; }));
                char byte;
                memory->result = int(read(slave, &byte, 1));
                memory->error = errno;
                memory->done = true;
                _exit(0);
            }
            _exit(0);
        }
        CHECK_EQ(wait_status(middle, 0), 0);
        CHECK(eventually([&] { return memory->done.load(); }));
        CHECK_EQ(memory->result.load(), -1);
        CHECK_EQ(memory->error.load(), EIO);
    });
    CHECK_EQ(status, 0);
}

/// Keys stop and end the foreground group, all of it, and nobody else.
void keys() {
    Terminal terminal;
    const int status = terminal.session([&](int slave) {
        signal(SIGTTOU, SIG_IGN);
        const pid_t behind = background([] {
            for (;;) pause();
        });
        const pid_t front = background([] {
            for (;;) pause();
        });
        const pid_t second = fork();
        if (second == 0) {
            setpgid(0, front);
            for (;;) pause();
        }
        setpgid(second, front);
        CHECK_OK(tcsetpgrp(slave, front));
        CHECK_EQ(write(terminal.master, "\x1a", 1), 1);
        CHECK(stopped_by(wait_status(front, WUNTRACED), SIGTSTP));
        CHECK(stopped_by(wait_status(second, WUNTRACED), SIGTSTP));
        CHECK_EQ(waitpid(behind, nullptr, WUNTRACED | WNOHANG), 0);
        kill(-front, SIGCONT);
        CHECK_EQ(write(terminal.master, "\x1c", 1), 1);
        CHECK(died_of(wait_status(front, 0), SIGQUIT));
        CHECK(died_of(wait_status(second, 0), SIGQUIT));
        CHECK_EQ(waitpid(behind, nullptr, WUNTRACED | WNOHANG), 0);
        end_child(behind);
        CHECK_OK(tcsetpgrp(slave, getpgrp()));
    });
    CHECK_EQ(status, 0);
}

/// The leader's end hangs the session up: the foreground group gets SIGHUP, the terminal is free for another session.
void leader_exits() {
    struct Shared {
        std::atomic<pid_t> front;
        std::atomic<int> hangups;
    };
    static Shared* memory;
    memory = shared<Shared>();
    Terminal terminal;
    const int status = terminal.session([&](int slave) {
        signal(SIGTTOU, SIG_IGN);
        const pid_t front = background([] {
            handle(SIGHUP, [](int) { memory->hangups++; });
            memory->front = getpid();
            while (memory->hangups == 0) nap();
        });
        while (memory->front == 0) nap();
        CHECK_OK(tcsetpgrp(slave, front));
    });
    CHECK_EQ(status, 0);
    CHECK(eventually([] { return memory->hangups == 1; }));
    CHECK_EQ(terminal.session([](int) {}), 0);
}

} // namespace

int main() {
    each_stop_signal();
    stopped_ones_die();
    cancelling();
    whole_process();
    storm();
    orphaned_group();
    newly_orphaned();
    background_reads_and_writes();
    orphan_reads();
    keys();
    leader_exits();
    return result();
}
