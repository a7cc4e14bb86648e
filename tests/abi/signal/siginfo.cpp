// What siginfo tells, source by source: kill, tkill, sigqueue, children, timers, pipes, limits, terminals.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "asleep.hpp"

using namespace check;

namespace {

siginfo_t seen;
volatile sig_atomic_t arrived;

void record(int, siginfo_t* info, void*) {
    seen = *info;
    arrived = arrived + 1;
}

siginfo_t sent(int signal, void (*send)(int)) {
    arrived = 0;
    seen = {};
    handle(signal, record);
    send(signal);
    CHECK_EQ(int(arrived), 1);
    CHECK_EQ(seen.si_signo, signal);
    CHECK_EQ(seen.si_errno, 0);
    handle(signal, SIG_DFL);
    return seen;
}

void from_programs() {
    siginfo_t info = sent(SIGUSR1, [](int signal) { kill(getpid(), signal); });
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_EQ(info.si_pid, getpid());
    CHECK_EQ(info.si_uid, getuid());
    info = sent(SIGUSR1, [](int signal) { syscall(SYS_tgkill, getpid(), gettid(), signal); });
    CHECK_EQ(info.si_code, SI_TKILL);
    CHECK_EQ(info.si_pid, getpid());
    info = sent(SIGRTMIN, [](int signal) { syscall(SYS_tkill, gettid(), signal); });
    CHECK_EQ(info.si_code, SI_TKILL);
    info = sent(SIGRTMIN + 3, [](int signal) { sigqueue(getpid(), signal, {.sival_ptr = (void*)0x123456789abcul}); });
    CHECK_EQ(info.si_code, SI_QUEUE);
    CHECK_EQ(info.si_pid, getpid());
    CHECK(info.si_value.sival_ptr == (void*)0x123456789abcul);
    static pid_t child;
    info = sent(SIGUSR2, [](int signal) {
        child = fork();
        if (child == 0) {
            (void)!setresuid(1234, 0, 0);
            kill(getppid(), signal);
            _exit(0);
        }
        CHECK(eventually([] { return arrived != 0; }));
        CHECK_EQ(waitpid(child, nullptr, 0), child);
    });
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_uid, 1234u);
}

void raw_siginfo() {
    siginfo_t own = {};
    own.si_code = SI_QUEUE - 5;
    own.si_value.sival_int = 77;
    own.si_pid = 4242;
    handle(SIGUSR1, record);
    arrived = 0;
    CHECK_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &own));
    CHECK_EQ(int(arrived), 1);
    CHECK_EQ(seen.si_signo, SIGUSR1);
    CHECK_EQ(seen.si_code, SI_QUEUE - 5);
    CHECK_EQ(seen.si_pid, 4242);
    CHECK_EQ(seen.si_value.sival_int, 77);
    own.si_code = SI_QUEUE;
    CHECK_OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &own));
    CHECK_EQ(int(arrived), 2);
    CHECK_EQ(seen.si_code, SI_QUEUE);
    // To oneself any code goes; to others nothing that looks like the kernel's or kill's.
    own.si_code = SI_USER;
    CHECK_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &own));
    CHECK_EQ(int(arrived), 3);
    const pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    for (int code : {int(SI_USER), int(SI_TKILL), int(SI_KERNEL), 5}) {
        own.si_code = code;
        CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, child, SIGUSR1, &own), EPERM);
        CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, child, child, SIGUSR1, &own), EPERM);
    }
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, child, 65, &own), EPERM);
    own.si_code = SI_QUEUE;
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, child, 65, &own), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, child, SIGUSR1, nullptr), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, child, getpid(), SIGUSR1, &own), ESRCH);
    CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, -1, child, SIGUSR1, &own), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, child, 0, SIGUSR1, &own), EINVAL);
    kill(child, SIGKILL);
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, child, SIGUSR1, &own), ESRCH);
}

/// 48 bytes have a meaning: behind them the kernel keeps nothing, and takes nothing under a code that it doesn't know.
void rest_of_siginfo() {
    union {
        siginfo_t info;
        unsigned char bytes[128];
    } sent = {};
    static_assert(sizeof sent == sizeof(siginfo_t));
    const auto send = [&](int code) {
        sent.info.si_signo = SIGUSR1;
        sent.info.si_code = code;
        return syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &sent);
    };
    handle(SIGUSR1, record);
    arrived = 0;
    memset(sent.bytes + 48, 0x5a, sizeof sent - 48);
    const siginfo_t none = {};
    for (int code : {int(SI_QUEUE), int(SI_TKILL), -7, -60, int(SI_KERNEL), int(SI_USER), 1, 6}) {
        memset(&seen, 0xff, sizeof seen);
        CHECK_OK(send(code));
        CHECK_EQ(seen.si_code, code);
        CHECK(memcmp(reinterpret_cast<unsigned char*>(&seen) + 48, &none, sizeof seen - 48) == 0);
    }
    CHECK_EQ(int(arrived), 8);
    const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
    CHECK_OK(pidfd);
    for (int code : {-8, -59, -61, 7, 0x81, INT_MIN, INT_MAX}) {
        CHECK_ERRNO(send(code), E2BIG);
        CHECK_ERRNO(syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, &sent, 0), E2BIG);
    }
    CHECK_EQ(int(arrived), 8);
    memset(sent.bytes + 48, 0, sizeof sent - 48);
    for (int code : {-8, -61, 7}) {
        CHECK_OK(send(code));
        CHECK_EQ(seen.si_code, code);
    }
    sent.bytes[127] = 1;
    CHECK_ERRNO(send(-8), E2BIG);
    close(pidfd);
}

siginfo_t next_of(int signal) {
    const sigset_t set = set_of(signal);
    siginfo_t info = {};
    const timespec limit = {10, 0};
    CHECK_EQ(sigtimedwait(&set, &info, &limit), signal);
    return info;
}

void from_children() {
    sigset_t set = set_of(SIGCHLD), old;
    sigprocmask(SIG_BLOCK, &set, &old);
    int gate[2];
    REQUIRE(pipe(gate) == 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        (void)!setuid(1000);
        (void)!read(gate[0], &byte, 1);
        for (volatile long i = 0; i < 30000000; i = i + 1) {
        }
        _exit(0x1ff);
    }
    kill(child, SIGSTOP);
    siginfo_t info = next_of(SIGCHLD);
    CHECK_EQ(info.si_code, CLD_STOPPED);
    CHECK_EQ(info.si_status, SIGSTOP);
    CHECK_EQ(info.si_pid, child);
    kill(child, SIGCONT);
    info = next_of(SIGCHLD);
    CHECK_EQ(info.si_code, CLD_CONTINUED);
    CHECK_EQ(info.si_status, SIGCONT);
    CHECK_EQ(write(gate[1], "x", 1), 1);
    info = next_of(SIGCHLD);
    CHECK_EQ(info.si_code, CLD_EXITED);
    CHECK_EQ(info.si_status, 0xff);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_uid, 1000u);
    CHECK_GT(info.si_utime, 0);
    CHECK_EQ(waitpid(child, nullptr, 0), child);

    child = fork();
    if (child == 0)
        for (;;) pause();
    kill(child, SIGTERM);
    info = next_of(SIGCHLD);
    CHECK_EQ(info.si_code, CLD_KILLED);
    CHECK_EQ(info.si_status, SIGTERM);
    CHECK_EQ(waitpid(child, nullptr, 0), child);

    // With SA_NOCLDSTOP only the end is told.
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    action.sa_flags = SA_NOCLDSTOP;
    sigaction(SIGCHLD, &action, nullptr);
    child = fork();
    if (child == 0)
        for (;;) pause();
    int status;
    kill(child, SIGSTOP);
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    kill(child, SIGCONT);
    CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
    sigset_t pending;
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGCHLD));
    kill(child, SIGKILL);
    CHECK_EQ(next_of(SIGCHLD).si_code, CLD_KILLED);
    CHECK_EQ(waitpid(child, &status, 0), child);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, nullptr);
    close(gate[0]), close(gate[1]);
}

void from_timers() {
    sigset_t set = set_of(SIGALRM, SIGRTMIN + 1, SIGXCPU), old;
    sigprocmask(SIG_BLOCK, &set, &old);
    const itimerval soon = {{0, 0}, {0, 1000}};
    CHECK_OK(setitimer(ITIMER_REAL, &soon, nullptr));
    CHECK_EQ(next_of(SIGALRM).si_code, SI_KERNEL);
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN + 1;
    event.sigev_value.sival_ptr = (void*)0xabcdef0123ul;
    timer_t timer;
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    const itimerspec once = {{0, 0}, {0, 1000}};
    CHECK_OK(timer_settime(timer, 0, &once, nullptr));
    siginfo_t info = next_of(SIGRTMIN + 1);
    CHECK_EQ(info.si_code, SI_TIMER);
    CHECK(info.si_value.sival_ptr == (void*)0xabcdef0123ul);
    CHECK_EQ(info.si_overrun, 0);
    CHECK_OK(timer_delete(timer));
    // To one thread, by number.
    event.sigev_notify = SIGEV_THREAD_ID;
    event._sigev_un._tid = gettid();
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    CHECK_OK(timer_settime(timer, 0, &once, nullptr));
    CHECK_EQ(next_of(SIGRTMIN + 1).si_code, SI_TIMER);
    CHECK_OK(timer_delete(timer));
    sigprocmask(SIG_SETMASK, &old, nullptr);
}

void from_limits_and_pipes() {
    siginfo_t info = sent(SIGPIPE, [](int) {
        int ends[2];
        REQUIRE(pipe(ends) == 0);
        close(ends[0]);
        CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
        close(ends[1]);
    });
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_EQ(info.si_pid, getpid());
    const int status = in_child([] {
        const siginfo_t told = sent(SIGXFSZ, [](int) {
            const rlimit limit = {100, 100};
            setrlimit(RLIMIT_FSIZE, &limit);
            const int fd = open("siginfo.file", O_RDWR | O_CREAT | O_TRUNC, 0600);
            char block[200] = {};
            CHECK_EQ(write(fd, block, sizeof block), 100);
            CHECK_ERRNO(write(fd, block, 1), EFBIG);
            close(fd);
        });
        CHECK_EQ(told.si_code, SI_USER);
        unlink("siginfo.file");
    });
    CHECK_EQ(status, 0);
    const int busy = in_child([] {
        sigset_t set = set_of(SIGXCPU);
        sigprocmask(SIG_BLOCK, &set, nullptr);
        const rlimit limit = {1, 100};
        setrlimit(RLIMIT_CPU, &limit);
        sigset_t pending;
        do sigpending(&pending);
        while (!sigismember(&pending, SIGXCPU));
        const siginfo_t told = next_of(SIGXCPU);
        CHECK_EQ(told.si_code, SI_KERNEL);
    });
    CHECK_EQ(busy, 0);
}

void from_terminals() {
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    REQUIRE(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    char name[64];
    REQUIRE(ptsname_r(master, name, sizeof name) == 0);
    const int status = in_child([&] {
        setsid();
        const int slave = open(name, O_RDWR);
        CHECK(slave >= 0);
        sigset_t set = set_of(SIGINT, SIGQUIT, SIGTSTP, SIGWINCH);
        sigprocmask(SIG_BLOCK, &set, nullptr);
        CHECK_EQ(write(master, "\x03", 1), 1);
        CHECK_EQ(next_of(SIGINT).si_code, SI_KERNEL);
        CHECK_EQ(write(master, "\x1c", 1), 1);
        CHECK_EQ(next_of(SIGQUIT).si_code, SI_KERNEL);
        CHECK_EQ(write(master, "\x1a", 1), 1);
        CHECK_EQ(next_of(SIGTSTP).si_code, SI_KERNEL);
        winsize size = {11, 22, 0, 0};
        CHECK_OK(ioctl(master, TIOCSWINSZ, &size));
        CHECK_EQ(next_of(SIGWINCH).si_code, SI_KERNEL);
    });
    CHECK_EQ(status, 0);
    close(master);
}

/// Through a pidfd: as kill(2) does, or with a siginfo of one's own.
void from_pidfds() {
    const int self = int(syscall(SYS_pidfd_open, getpid(), 0));
    CHECK(self >= 0);
    handle(SIGUSR1, record);
    arrived = 0;
    CHECK_OK(syscall(SYS_pidfd_send_signal, self, SIGUSR1, nullptr, 0));
    CHECK_EQ(int(arrived), 1);
    CHECK_EQ(seen.si_code, SI_USER);
    CHECK_EQ(seen.si_pid, getpid());
    siginfo_t own = {};
    own.si_signo = SIGUSR1;
    own.si_code = SI_QUEUE;
    own.si_value.sival_int = 9;
    CHECK_OK(syscall(SYS_pidfd_send_signal, self, SIGUSR1, &own, 0));
    CHECK_EQ(seen.si_value.sival_int, 9);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, self, SIGUSR2, &own, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, self, SIGUSR1, &own, 0x8000), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, 0, SIGUSR1, &own, 0), EBADF);
    close(self);
}

} // namespace

int main() {
    from_programs();
    raw_siginfo();
    rest_of_siginfo();
    from_children();
    from_timers();
    from_limits_and_pipes();
    from_terminals();
    from_pidfds();
    return result();
}
