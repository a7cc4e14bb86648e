// needs-linux: 6.1
//
// wait4(2), waitid(2): stops and continues, what is left unreaped, children of other threads, usage, signals
// meanwhile.
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "asleep.hpp"

using namespace check;

namespace {

constexpr auto by_pidfd = idtype_t(3);

int pidfd_of(pid_t pid, unsigned flags = 0) { return int(syscall(SYS_pidfd_open, pid, flags)); }

void check_info(const siginfo_t& info, pid_t child, int code, int status) {
    CHECK_EQ(info.si_signo, SIGCHLD);
    CHECK_EQ(info.si_errno, 0);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_uid, getuid());
    CHECK_EQ(info.si_code, code);
    CHECK_EQ(info.si_status, status);
}

/// A group of its own in the parent's session isn't orphaned, so that SIGTTIN stops it too.
void in_own_group(void (*body)()) {
    const int status = in_child([&] {
        setpgid(0, 0);
        body();
    });
    CHECK_EQ(status, 0);
}

/// A stop is told once, unless WNOWAIT leaves it; so is what makes it go on.
void stops() {
    const pid_t child = pausing();
    siginfo_t info = {};
    kill(child, SIGSTOP);
    CHECK_OK(waitid(P_PID, id_t(child), &info, WSTOPPED | WNOWAIT));
    check_info(info, child, CLD_STOPPED, SIGSTOP);
    info = {};
    CHECK_OK(waitid(P_PID, id_t(child), &info, WEXITED | WSTOPPED | WCONTINUED));
    check_info(info, child, CLD_STOPPED, SIGSTOP);
    info.si_pid = 1;
    CHECK_OK(waitid(P_PID, id_t(child), &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG));
    CHECK_EQ(info.si_pid, 0); // told already

    // While stopped nothing else stops it; a stop signal is not told again.
    kill(child, SIGTSTP);
    CHECK_OK(waitid(P_PID, id_t(child), &info, WSTOPPED | WNOHANG));
    CHECK_EQ(info.si_pid, 0);

    kill(child, SIGCONT);
    CHECK_OK(waitid(P_PID, id_t(child), &info, WCONTINUED | WNOWAIT));
    check_info(info, child, CLD_CONTINUED, SIGCONT);
    int status = -1;
    CHECK_EQ(wait4(child, &status, WCONTINUED, nullptr), child);
    CHECK(WIFCONTINUED(status));
    CHECK_EQ(status, 0xffff);
    CHECK_EQ(wait4(child, &status, WCONTINUED | WUNTRACED | WNOHANG, nullptr), 0);

    // A stop that nobody has waited for is gone once the process goes on.
    kill(child, SIGSTOP);
    CHECK(eventually([&] { return thread_state(child) == 'T'; }));
    kill(child, SIGCONT);
    CHECK_OK(waitid(P_PID, id_t(child), &info, WCONTINUED));
    CHECK_OK(waitid(P_PID, id_t(child), &info, WSTOPPED | WNOHANG));
    CHECK_EQ(info.si_pid, 0);

    // Each stop signal is told by its number; without WUNTRACED none.
    for (const int signal : {SIGSTOP, SIGTTIN, SIGTTOU}) {
        kill(child, signal);
        CHECK_EQ(wait4(child, &status, WUNTRACED, nullptr), child);
        CHECK_EQ(status, signal << 8 | 0x7f);
        CHECK_EQ(wait4(child, &status, WNOHANG, nullptr), 0);
        kill(child, SIGCONT);
        CHECK_EQ(wait4(child, &status, WCONTINUED, nullptr), child);
    }
    // Killed while stopped.
    kill(child, SIGSTOP);
    CHECK_EQ(wait4(child, &status, WUNTRACED, nullptr), child);
    kill(child, SIGKILL);
    CHECK_OK(waitid(P_PID, id_t(child), &info, WSTOPPED | WEXITED));
    check_info(info, child, CLD_KILLED, SIGKILL);
}

void by_kinds_of_id() {
    const pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        _exit(9);
    }
    setpgid(child, child);
    const pid_t other = pausing();
    const int pidfd = pidfd_of(child), other_pidfd = pidfd_of(other);
    siginfo_t info = {};
    CHECK_OK(waitid(by_pidfd, id_t(pidfd), &info, WEXITED | WNOWAIT));
    check_info(info, child, CLD_EXITED, 9);
    CHECK_OK(waitid(P_PGID, id_t(child), &info, WEXITED | WNOWAIT));
    check_info(info, child, CLD_EXITED, 9);
    CHECK_OK(waitid(P_ALL, 12345, &info, WEXITED | WNOWAIT)); // the id is not looked at
    check_info(info, child, CLD_EXITED, 9);
    CHECK_OK(waitid(P_ALL, id_t(-1), &info, WEXITED | WNOWAIT));
    CHECK_OK(waitid(by_pidfd, id_t(other_pidfd), &info, WEXITED | WNOHANG));
    CHECK_EQ(info.si_pid, 0);
    CHECK_OK(waitid(by_pidfd, id_t(pidfd), &info, WEXITED));
    check_info(info, child, CLD_EXITED, 9);
    CHECK_ERRNO(waitid(by_pidfd, id_t(pidfd), &info, WEXITED), ECHILD);
    CHECK_ERRNO(waitid(P_PGID, id_t(child), &info, WEXITED), ECHILD);
    CHECK_ERRNO(waitid(by_pidfd, 0, &info, WEXITED), EBADF); // not a pidfd
    CHECK_ERRNO(waitid(by_pidfd, id_t(-1), &info, WEXITED), EINVAL);
    CHECK_ERRNO(waitid(P_PID, 0, &info, WEXITED), EINVAL);
    CHECK_ERRNO(waitid(P_PGID, id_t(-1), &info, WEXITED), EINVAL);
    const int own = pidfd_of(getpid());
    CHECK_ERRNO(waitid(by_pidfd, id_t(own), &info, WEXITED), ECHILD);
    close(own);
    // Would have to wait, and must not.
    const int nonblocking = pidfd_of(other, 04000);
    CHECK_OK(nonblocking);
    CHECK_ERRNO(waitid(by_pidfd, id_t(nonblocking), &info, WEXITED), EAGAIN);
    CHECK_OK(waitid(by_pidfd, id_t(nonblocking), &info, WEXITED | WNOHANG));
    CHECK_EQ(info.si_pid, 0);
    kill(other, SIGTERM);
    CHECK_OK(waitid(by_pidfd, id_t(other_pidfd), &info, WEXITED | WNOWAIT));
    check_info(info, other, CLD_KILLED, SIGTERM);
    CHECK_OK(waitid(by_pidfd, id_t(nonblocking), &info, WEXITED));
    check_info(info, other, CLD_KILLED, SIGTERM);
    for (const int fd : {pidfd, other_pidfd, nonblocking}) close(fd);
}

void bad_options() {
    siginfo_t info = {};
    for (int bit = 0; bit < 32; ++bit) {
        const unsigned option = 1u << bit;
        constexpr unsigned of_wait4 = WNOHANG | WUNTRACED | WCONTINUED | 0xe0000000u;
        constexpr unsigned of_waitid = WNOHANG | WSTOPPED | WEXITED | WCONTINUED | WNOWAIT | 0xe0000000u;
        CHECK_ERRNO(syscall(SYS_wait4, -1, nullptr, option, nullptr), option & of_wait4 ? ECHILD : EINVAL);
        CHECK_ERRNO(syscall(SYS_waitid, P_ALL, 0, &info, option | WEXITED, nullptr),
                    option & of_waitid ? ECHILD : EINVAL);
        const bool names_event = option & (WSTOPPED | WEXITED | WCONTINUED);
        CHECK_ERRNO(syscall(SYS_waitid, P_ALL, 0, &info, option, nullptr), names_event ? ECHILD : EINVAL);
    }
    // A bad pointer doesn't keep the child: it is gone.
    const pid_t child = fork();
    if (child == 0) _exit(0);
    CHECK_ERRNO(syscall(SYS_waitid, P_PID, child, 8, WEXITED, nullptr), EFAULT);
    CHECK_ERRNO(waitpid(child, nullptr, 0), ECHILD);
}

/// Children whose end is told by another signal, or by none, are "clones".
void clones() {
    const pid_t plain = pausing();
    const pid_t clone_child = pid_t(syscall(SYS_clone, 0, 0, 0, 0, 0));
    if (clone_child == 0) _exit(3);
    siginfo_t info = {};
    CHECK_OK(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | __WALL));
    check_info(info, clone_child, CLD_EXITED, 3);
    CHECK_EQ(waitpid(-1, nullptr, WNOHANG), 0); // only the plain one is looked at
    CHECK_ERRNO(waitpid(clone_child, nullptr, WNOHANG), ECHILD);
    CHECK_ERRNO(waitpid(plain, nullptr, WNOHANG | __WCLONE), ECHILD);
    CHECK_OK(waitid(P_PID, id_t(clone_child), &info, WEXITED | WNOWAIT | __WCLONE));
    int status = -1;
    CHECK_EQ(waitpid(-1, &status, __WCLONE), clone_child);
    CHECK_EQ(status, 3 << 8);
    CHECK_EQ(waitpid(-1, &status, WNOHANG | __WALL | __WCLONE), 0);
    end_child(plain);
}

template <typename F>
void in_thread(F body) {
    pthread_t thread;
    auto run = [](void* argument) -> void* {
        (*static_cast<F*>(argument))();
        return nullptr;
    };
    REQUIRE(pthread_create(&thread, nullptr, run, &body) == 0);
    CHECK_EQ(pthread_join(thread, nullptr), 0);
}

/// __WNOTHREAD: only children that this thread made. Those of a thread that is gone belong to another that lives.
void children_of_threads() {
    const pid_t mine = pausing();
    pid_t theirs = 0;
    in_thread([&] {
        CHECK_ERRNO(waitpid(mine, nullptr, WNOHANG | __WNOTHREAD), ECHILD);
        CHECK_EQ(waitpid(mine, nullptr, WNOHANG), 0);
        theirs = pausing();
        CHECK_EQ(waitpid(theirs, nullptr, WNOHANG | __WNOTHREAD), 0);
        const pid_t brief = fork();
        if (brief == 0) _exit(0);
        CHECK_EQ(waitpid(brief, nullptr, __WNOTHREAD), brief);
    });
    CHECK_EQ(waitpid(mine, nullptr, WNOHANG | __WNOTHREAD), 0);
    CHECK(eventually([&] { return waitpid(theirs, nullptr, WNOHANG | __WNOTHREAD) == 0; }));
    end_child(theirs);
    end_child(mine);
}

/// The leader ends first: its children are another thread's, who finds them with __WNOTHREAD.
void children_of_a_dead_leader() {
    const int status = in_child([] {
        static pid_t child;
        static pid_t leader;
        child = pausing();
        leader = getpid();
        pthread_t thread;
        auto run = [](void*) -> void* {
            CHECK(eventually([] { return thread_state(leader) == 'Z'; }));
            CHECK_EQ(waitpid(child, nullptr, WNOHANG | __WNOTHREAD), 0);
            end_child(child);
            _exit(result());
        };
        CHECK_EQ(pthread_create(&thread, nullptr, run, nullptr), 0);
        syscall(SYS_exit, 0);
    });
    CHECK_EQ(status, 0);
}

/// A zombie leader is told only when the last thread has gone (wait(2)).
void late_threads() {
    auto* go = shared<std::atomic<int>>();
    const pid_t child = fork();
    if (child == 0) {
        static std::atomic<int>* wait_for;
        wait_for = go;
        pthread_t thread;
        auto run = [](void*) -> void* {
            while (!*wait_for) nap();
            syscall(SYS_exit, 5);
            return nullptr;
        };
        pthread_create(&thread, nullptr, run, nullptr);
        syscall(SYS_exit, 4);
    }
    CHECK(eventually([&] { return thread_state(child) == 'Z'; }));
    CHECK_EQ(waitpid(child, nullptr, WNOHANG), 0);
    *go = 1;
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 5 << 8); // the last thread's, since Linux 5.18
}

void usage() {
    const pid_t child = fork();
    if (child == 0) {
        char* memory = static_cast<char*>(malloc(20 << 20));
        for (size_t i = 0; i < 20u << 20; i += 1024) memory[i] = 1;
        rusage own = {};
        do getrusage(RUSAGE_SELF, &own);
        while (own.ru_utime.tv_sec == 0 && own.ru_utime.tv_usec + own.ru_stime.tv_usec < 50000);
        _exit(memory[5]);
    }
    rusage looked = {}, reaped = {};
    siginfo_t info = {};
    CHECK_OK(syscall(SYS_waitid, P_PID, child, &info, WEXITED | WNOWAIT, &looked));
    CHECK_EQ(wait4(child, nullptr, 0, &reaped), child);
    CHECK_GE(reaped.ru_maxrss, 20 << 10);
    CHECK_EQ(looked.ru_maxrss, reaped.ru_maxrss);
    CHECK_EQ(looked.ru_minflt, reaped.ru_minflt);
    CHECK_EQ(looked.ru_utime.tv_usec, reaped.ru_utime.tv_usec);
    CHECK_GE(reaped.ru_minflt, 1);
    rusage all = {};
    CHECK_OK(getrusage(RUSAGE_CHILDREN, &all));
    CHECK_GE(all.ru_maxrss, reaped.ru_maxrss);
    CHECK_GE(all.ru_minflt, reaped.ru_minflt);
    memset(&reaped, 0x55, sizeof reaped);
    const pid_t sleeper = pausing();
    CHECK_EQ(wait4(sleeper, nullptr, WNOHANG, &reaped), 0);
    CHECK_EQ(reaped.ru_nvcsw, 0x5555555555555555); // nothing to tell: nothing written
    end_child(sleeper);
}

/// Ignored SIGCHLD, or SA_NOCLDWAIT: children leave nothing, and wait ends only when the last has gone.
void nobody_waits() {
    for (const bool ignored : {true, false}) {
        const int status = in_child([=] {
            static std::atomic<int> told;
            told = 0;
            if (ignored)
                signal(SIGCHLD, SIG_IGN);
            else
                handle(SIGCHLD, [](int) { told++; }, SA_NOCLDWAIT | SA_RESTART);
            for (int i = 0; i < 5; ++i)
                if (fork() == 0) _exit(7);
            CHECK_ERRNO(waitpid(-1, nullptr, 0), ECHILD);
            rusage usage = {};
            CHECK_OK(getrusage(RUSAGE_CHILDREN, &usage));
            CHECK_EQ(usage.ru_minflt, 0); // usage of children that nobody waited for isn't counted
            if (!ignored) CHECK(eventually([] { return told > 0; }));
        });
        CHECK_EQ(status, 0);
    }
}

/// A signal with a handler ends the wait, unless SA_RESTART; a child's end meanwhile is not lost.
void interrupted() {
    const pid_t child = pausing(), self = getpid();
    handle(SIGUSR1, [](int) {});
    const pid_t sender = fork();
    if (sender == 0) {
        CHECK(wait_asleep(self));
        kill(self, SIGUSR1);
        _exit(0);
    }
    CHECK_ERRNO(waitpid(child, nullptr, 0), EINTR);
    CHECK_EQ(waitpid(sender, nullptr, 0), sender);
    end_child(child);
    signal(SIGUSR1, SIG_DFL);
}

/// Of many threads that wait for one child, one gets it and the others are told that there is none.
void one_of_many() {
    for (int round = 0; round < 20; ++round) {
        static std::atomic<int> got, none, waiting_for;
        got = none = 0;
        const pid_t child = fork();
        if (child == 0) {
            nap();
            _exit(0);
        }
        waiting_for = child;
        pthread_t threads[6];
        auto run = [](void*) -> void* {
            const pid_t reaped = waitpid(waiting_for, nullptr, 0);
            if (reaped == waiting_for) got++;
            if (reaped < 0 && errno == ECHILD) none++;
            return nullptr;
        };
        for (pthread_t& thread : threads) pthread_create(&thread, nullptr, run, nullptr);
        for (const pthread_t thread : threads) pthread_join(thread, nullptr);
        CHECK_EQ(got.load(), 1);
        CHECK_EQ(none.load(), 5);
    }
}

} // namespace

int main() {
    in_own_group(stops);
    by_kinds_of_id();
    bad_options();
    clones();
    children_of_threads();
    children_of_a_dead_leader();
    late_threads();
    usage();
    nobody_waits();
    interrupted();
    one_of_many();
    return result();
}
