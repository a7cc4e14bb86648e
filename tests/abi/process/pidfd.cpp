// needs-linux: 5.10
//
// pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2): arguments, rights, polling, what a pidfd says once its process
// is gone.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "asleep.hpp"
#include "proc_text.hpp"

using namespace check;

namespace {

constexpr unsigned thread_flag = O_EXCL; // PIDFD_THREAD, since Linux 6.9

int pidfd_open(pid_t pid, unsigned flags = 0) { return int(syscall(SYS_pidfd_open, pid, flags)); }
int send(int pidfd, int signal, siginfo_t* info = nullptr, unsigned flags = 0) {
    return int(syscall(SYS_pidfd_send_signal, pidfd, signal, info, flags));
}
int getfd(int pidfd, int fd, unsigned flags = 0) { return int(syscall(SYS_pidfd_getfd, pidfd, fd, flags)); }

short events_of(int pidfd) {
    pollfd entry = {pidfd, POLLIN, 0};
    CHECK_OK(poll(&entry, 1, 0));
    return entry.revents;
}

void opening() {
    for (const pid_t wrong : {0, -1, INT32_MIN}) CHECK_ERRNO(pidfd_open(wrong), EINVAL);
    CHECK_ERRNO(pidfd_open(INT32_MAX), ESRCH);
    for (int bit = 0; bit < 32; ++bit) {
        const unsigned flag = 1u << bit;
        if (flag == O_NONBLOCK || flag == thread_flag) continue;
        CHECK_ERRNO(pidfd_open(getpid(), flag), EINVAL);
    }
    const int fd = pidfd_open(getpid(), O_NONBLOCK);
    CHECK_OK(fd);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_NONBLOCK | O_RDWR);
    CHECK_OK(fcntl(fd, F_SETFL, 0));
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    char byte = 0;
    CHECK_ERRNO(read(fd, &byte, 1), EINVAL);
    CHECK_ERRNO(write(fd, &byte, 1), EINVAL);
    char name[64], target[64] = {};
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    snprintf(target, sizeof target, "/proc/self/fdinfo/%d", fd);
    CHECK_EQ(proc_text::number_in(target, "Pid"), getpid());
    CHECK_EQ(events_of(fd), 0);
    close(fd);
}

/// The id of a thread that leads no process: a pidfd of it exists since Linux 6.9, when asked for.
void of_threads() {
    static std::atomic<pid_t> tid;
    static std::atomic<int> go;
    pthread_t thread;
    auto run = [](void*) -> void* {
        tid = gettid();
        while (!go) nap();
        return nullptr;
    };
    CHECK_EQ(pthread_create(&thread, nullptr, run, nullptr), 0);
    CHECK(eventually([] { return tid != 0; }));
    errno = 0;
    const int refused = pidfd_open(tid), error = errno;
    CHECK_EQ(refused, -1);
    CHECK(error == EINVAL || error == ENOENT); // ENOENT since 6.9
    const int asked = pidfd_open(tid, thread_flag);
    if (asked >= 0) { // a Linux that has it
        CHECK_EQ(events_of(asked), 0);
        go = 1;
        pthread_join(thread, nullptr);
        CHECK(eventually([&] { return (events_of(asked) & (POLLIN | POLLHUP)) == (POLLIN | POLLHUP); }));
        close(asked);
        return;
    }
    CHECK_ERRNO(pidfd_open(tid, thread_flag), EINVAL);
    CHECK_ERRNO(pidfd_open(getpid(), thread_flag), EINVAL);
    go = 1;
    pthread_join(thread, nullptr);
}

void polling() {
    const pid_t child = pausing();
    const int fd = pidfd_open(child), epoll = epoll_create1(0);
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLET;
    CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    CHECK_EQ(events_of(fd), 0);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
    kill(child, SIGSTOP); // not an end
    CHECK_EQ(waitpid(child, nullptr, WUNTRACED), child);
    CHECK_EQ(events_of(fd), 0);
    kill(child, SIGKILL);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 30000), 1);
    CHECK(event.events & EPOLLIN);
    CHECK(events_of(fd) & POLLIN); // a zombie
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    CHECK(events_of(fd) & POLLIN); // and gone
    close(epoll);
    close(fd);

    // A process whose leader has ended lives on, and its pidfd says so.
    auto* go = shared<std::atomic<int>>();
    const pid_t threaded = fork();
    if (threaded == 0) {
        static std::atomic<int>* wait_for;
        wait_for = go;
        pthread_t thread;
        auto run = [](void*) -> void* {
            while (!*wait_for) nap();
            _exit(0);
        };
        pthread_create(&thread, nullptr, run, nullptr);
        syscall(SYS_exit, 0);
    }
    const int of_threaded = pidfd_open(threaded);
    CHECK(eventually([&] { return thread_state(threaded) == 'Z'; }));
    CHECK_EQ(events_of(of_threaded), 0);
    CHECK_OK(send(of_threaded, 0));
    *go = 1;
    pollfd entry = {of_threaded, POLLIN, 0};
    CHECK_EQ(poll(&entry, 1, 30000), 1);
    CHECK_EQ(waitpid(threaded, nullptr, 0), threaded);
    close(of_threaded);
}

/// Many that poll are all told.
void many_wait_for_one() {
    const pid_t child = pausing();
    static std::atomic<int> told;
    static int fd;
    told = 0;
    fd = pidfd_open(child);
    pthread_t threads[4];
    auto run = [](void*) -> void* {
        pollfd entry = {fd, POLLIN, 0};
        if (poll(&entry, 1, 30000) == 1 && (entry.revents & POLLIN)) told++;
        return nullptr;
    };
    for (pthread_t& thread : threads) pthread_create(&thread, nullptr, run, nullptr);
    end_child(child);
    for (const pthread_t thread : threads) pthread_join(thread, nullptr);
    CHECK_EQ(told.load(), 4);
    close(fd);
}

void signals() {
    const pid_t child = pausing();
    const int fd = pidfd_open(child);
    CHECK_OK(send(fd, 0));
    CHECK_ERRNO(send(fd, -1), EINVAL);
    CHECK_ERRNO(send(fd, 65), EINVAL);
    CHECK_ERRNO(send(fd, 0, nullptr, 1u << 31), EINVAL);
    CHECK_ERRNO(send(-1, 0), EBADF);
    CHECK_ERRNO(send(0, 0), EBADF); // not a pidfd
    CHECK_ERRNO(send(fd, SIGTERM, reinterpret_cast<siginfo_t*>(8)), EFAULT);
    siginfo_t info = {};
    info.si_signo = SIGUSR2;
    info.si_code = SI_QUEUE;
    CHECK_ERRNO(send(fd, SIGUSR1, &info), EINVAL); // not the same signal
    info.si_signo = SIGUSR1;
    for (const int forged : {int(SI_USER), int(SI_KERNEL), int(SI_TKILL), 1}) {
        info.si_code = forged;
        CHECK_ERRNO(send(fd, SIGUSR1, &info), EPERM);
    }
    // To oneself anything goes.
    static siginfo_t seen;
    handle(SIGUSR1, [](int, siginfo_t* got, void*) { seen = *got; });
    const int own = pidfd_open(getpid());
    info.si_code = SI_TKILL;
    info.si_value.sival_int = 4711;
    CHECK_OK(send(own, SIGUSR1, &info));
    CHECK_EQ(seen.si_code, SI_TKILL);
    CHECK_EQ(seen.si_value.sival_int, 4711);
    CHECK_OK(send(own, SIGUSR1));
    CHECK_EQ(seen.si_code, SI_USER);
    CHECK_EQ(seen.si_pid, getpid());
    close(own);
    signal(SIGUSR1, SIG_DFL);
    run_in_child([=] {
        CHECK_OK(setresuid(1000, 1000, 1000));
        CHECK_ERRNO(send(fd, SIGTERM), EPERM);
        CHECK_ERRNO(send(fd, 0), EPERM);
    });
    CHECK_OK(send(fd, SIGKILL));
    siginfo_t end = {};
    CHECK_OK(waitid(P_PID, id_t(child), &end, WEXITED | WNOWAIT));
    CHECK_EQ(end.si_status, SIGKILL);
    CHECK_OK(send(fd, SIGTERM)); // a zombie takes signals
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    CHECK_ERRNO(send(fd, 0), ESRCH);
    close(fd);
}

/// A folder of /proc is a pidfd for signals, and for nothing else (pidfd_open(2)).
void folders_of_proc() {
    const pid_t child = pausing();
    char name[64];
    snprintf(name, sizeof name, "/proc/%d", child);
    const int fd = open(name, O_DIRECTORY | O_RDONLY);
    CHECK_OK(fd);
    CHECK_OK(send(fd, 0));
    siginfo_t info = {};
    CHECK_ERRNO(waitid(idtype_t(3), id_t(fd), &info, WEXITED | WNOHANG), EBADF);
    CHECK_ERRNO(getfd(fd, 0), EBADF);
    const int root = open("/proc", O_DIRECTORY | O_RDONLY);
    CHECK_ERRNO(send(root, 0), EBADF);
    close(root);
    if (!CHECK_OK(send(fd, SIGTERM))) kill(child, SIGTERM);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, SIGTERM);
    CHECK_ERRNO(send(fd, 0), ESRCH);
    close(fd);
}

void descriptors() {
    int pipes[2];
    CHECK_OK(pipe(pipes));
    const pid_t child = fork();
    if (child == 0) {
        CHECK_OK(dup2(pipes[1], 99));
        for (;;) pause();
    }
    const int fd = pidfd_open(child);
    int got = -1;
    CHECK(eventually([&] { return (got = getfd(fd, 99)) >= 0; }));
    CHECK_EQ(fcntl(got, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(got, "x", 1), 1);
    char byte = 0;
    CHECK_EQ(read(pipes[0], &byte, 1), 1);
    CHECK_EQ(byte, 'x');
    CHECK_ERRNO(getfd(fd, 98), EBADF);
    CHECK_ERRNO(getfd(fd, -1), EBADF);
    CHECK_ERRNO(getfd(fd, 99, 1), EINVAL);
    CHECK_ERRNO(getfd(-1, 99), EBADF);
    CHECK_ERRNO(getfd(pipes[0], 99), EBADF);
    run_in_child([=] {
        CHECK_OK(setresgid(1000, 1000, 1000));
        CHECK_OK(setresuid(1000, 1000, 1000));
        CHECK_ERRNO(getfd(fd, 99), EPERM);
    });
    rlimit full = {64, 64};
    run_in_child([=] {
        CHECK_OK(setrlimit(RLIMIT_NOFILE, &full));
        while (dup(0) >= 0) {
        }
        CHECK_ERRNO(getfd(fd, 99), EMFILE);
    });
    kill(child, SIGKILL);
    siginfo_t info = {};
    CHECK_OK(waitid(P_PID, id_t(child), &info, WEXITED | WNOWAIT));
    CHECK_ERRNO(getfd(fd, 99), ESRCH);
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    CHECK_ERRNO(getfd(fd, 99), ESRCH);
    for (const int each : {fd, got, pipes[0], pipes[1]}) close(each);
}

/// What a pidfd names stays what it was, whoever bears the number later.
void numbers_return() {
    const pid_t child = pausing();
    const int fd = pidfd_open(child);
    end_child(child);
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
    CHECK_EQ(proc_text::number_in(name, "Pid"), -1);
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
            cgroup;
    } args = {};
    args.exit_signal = SIGCHLD;
    args.set_tid = uint64_t(&child);
    args.set_tid_size = 1;
    const long again = syscall(SYS_clone3, &args, sizeof args);
    if (again == 0)
        for (;;) pause();
    // Linux gives the number anew, and the pidfd knows that it is another's.
    if (again > 0) {
        CHECK_EQ(again, child);
        CHECK_ERRNO(send(fd, SIGKILL), ESRCH);
        siginfo_t info = {};
        CHECK_ERRNO(waitid(idtype_t(3), id_t(fd), &info, WEXITED | WNOHANG), ECHILD);
        end_child(pid_t(again));
    } else {
        CHECK_EQ(again, 1); // shows errno
    }
    close(fd);
}

} // namespace

int main() {
    opening();
    of_threads();
    polling();
    many_wait_for_one();
    signals();
    folders_of_proc();
    descriptors();
    numbers_return();
    return result();
}
