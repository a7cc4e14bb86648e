// needs-linux: 5.10
//
// clone(2) and clone3(2): each flag that makes no namespace and what it shares, each combination that is an error, the
// rules of stack, size and exit signal. What clone.cpp checks isn't repeated.
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "asleep.hpp"

using namespace check;

namespace {

constexpr uint64_t clear_sighand = 1ull << 32;

long clone3(clone_args& args, size_t size = sizeof(clone_args)) { return syscall(SYS_clone3, &args, size); }

/// The call as it was before clone3; the order of its last arguments is the machine's own, so all are zero but the
/// third.
long old_clone(unsigned long flags, void* third = nullptr) { return syscall(SYS_clone, flags, 0, third, 0, 0); }

int end_of(pid_t child) {
    int status = -1;
    CHECK_EQ(waitpid(child, &status, __WALL), child);
    return status;
}

/// Makes a child that ends at once, and reaps it; what the call said.
template <typename F>
long made(F make) {
    const long child = make();
    if (child == 0) _exit(0);
    const int error = errno;
    if (child > 0) end_of(pid_t(child));
    errno = error;
    return child;
}

long by_clone3(uint64_t flags, uint64_t exit_signal = SIGCHLD) {
    return made([=] {
        clone_args args = {};
        args.flags = flags;
        args.exit_signal = exit_signal;
        return clone3(args);
    });
}
long by_clone(unsigned long flags, void* third = nullptr) {
    return made([=] { return old_clone(flags, third); });
}

void illegal_in_both() {
    const uint64_t illegal[] = {
        CLONE_THREAD,
        CLONE_THREAD | CLONE_VM,
        CLONE_SIGHAND,
        CLONE_SIGHAND | CLONE_THREAD,
    };
    for (const uint64_t flags : illegal) {
        CHECK_ERRNO(by_clone3(flags, 0), EINVAL);
        CHECK_ERRNO(by_clone(flags | SIGCHLD), EINVAL);
    }
    // A pidfd of a thread makes sense only since Linux 6.9; without CLONE_SIGHAND it is wrong for ever.
    int pidfd = -1;
    clone_args args = {};
    args.flags = CLONE_PIDFD | CLONE_THREAD;
    args.pidfd = uint64_t(&pidfd);
    CHECK_ERRNO(made([&] { return clone3(args); }), EINVAL);
    CHECK_ERRNO(by_clone(CLONE_PIDFD | CLONE_DETACHED | SIGCHLD, &pidfd), EINVAL);
    CHECK_EQ(pidfd, -1);
}

void only_clone3() {
    CHECK_ERRNO(by_clone3(clear_sighand | CLONE_SIGHAND | CLONE_VM), EINVAL);
    CHECK_ERRNO(by_clone3(CLONE_DETACHED), EINVAL);
    CHECK_ERRNO(by_clone3(1), EINVAL); // CSIGNAL belongs into a field of its own
    CHECK_ERRNO(by_clone3(0xff), EINVAL);
    for (int bit = 34; bit < 64; ++bit) CHECK_ERRNO(by_clone3(1ull << bit), EINVAL);
    CHECK_ERRNO(by_clone3(CLONE_PARENT, SIGCHLD), EINVAL);
    CHECK_ERRNO(by_clone3(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, SIGCHLD), EINVAL);
    CHECK_ERRNO(by_clone3(0, 65), EINVAL);
    CHECK_ERRNO(by_clone3(0, 0x100), EINVAL);
    CHECK_ERRNO(by_clone3(0, 1ull << 32), EINVAL);
    signal(64, SIG_IGN);
    CHECK_GT(by_clone3(0, 64), 0);
    CHECK_GT(by_clone3(0, 0), 0);
}

/// What the old call lets pass: CLONE_DETACHED has no meaning, unknown exit signals are never sent.
void only_clone() {
    CHECK_GT(by_clone(CLONE_DETACHED | SIGCHLD), 0);
    CHECK_GT(by_clone(65), 0);
    CHECK_GT(by_clone(0xff), 0);
    CHECK_GT(by_clone(0), 0);
    // The pidfd goes where the parent's copy of the number would.
    int pidfd = -1;
    CHECK_ERRNO(by_clone(CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, &pidfd), EINVAL);
    const long child = by_clone(CLONE_PIDFD | SIGCHLD, &pidfd);
    CHECK_GT(child, 0);
    CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(pidfd, F_GETFL) & O_ACCMODE, O_RDWR);
    close(pidfd);
}

void sizes() {
    struct {
        clone_args args;
        unsigned char more[8192];
    } large = {};
    large.args.exit_signal = SIGCHLD;
    auto sized = [&](size_t size) { return made([&] { return syscall(SYS_clone3, &large, size); }); };
    for (const size_t wrong : {0, 1, 63}) CHECK_ERRNO(sized(wrong), EINVAL);
    CHECK_GT(sized(CLONE_ARGS_SIZE_VER0), 0);
    CHECK_GT(sized(CLONE_ARGS_SIZE_VER0 + 1), 0);
    CHECK_GT(sized(CLONE_ARGS_SIZE_VER1), 0);
    CHECK_GT(sized(CLONE_ARGS_SIZE_VER2), 0);
    CHECK_GT(sized(4096), 0);
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    if (page < sizeof large) CHECK_ERRNO(sized(page + 1), E2BIG);
    CHECK_ERRNO(sized(~0ul), E2BIG);
    for (const size_t at : {0ul, 1ul, 63ul, 4096 - sizeof(clone_args) - 1}) {
        large.more[at] = 1;
        CHECK_ERRNO(sized(sizeof(clone_args) + at + 1), E2BIG);
        CHECK_GT(sized(sizeof(clone_args) + at), 0); // not looked at
        large.more[at] = 0;
    }
    // A structure that is cut off has zeros behind its end.
    large.args.set_tid_size = 1;
    CHECK_GT(sized(CLONE_ARGS_SIZE_VER0), 0);
    CHECK_ERRNO(sized(CLONE_ARGS_SIZE_VER1), EINVAL);
}

void bad_pointers() {
    CHECK_ERRNO(syscall(SYS_clone3, nullptr, sizeof(clone_args)), EFAULT);
    CHECK_ERRNO(syscall(SYS_clone3, -1l, sizeof(clone_args)), EFAULT);
    // The last structure of readable memory, and one that reaches beyond.
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    char* pages =
        static_cast<char*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(pages != MAP_FAILED);
    CHECK_OK(mprotect(pages + page, page, PROT_NONE));
    auto* last = reinterpret_cast<clone_args*>(pages + page - sizeof(clone_args));
    last->exit_signal = SIGCHLD;
    CHECK_GT(made([&] { return syscall(SYS_clone3, last, sizeof *last); }), 0);
    CHECK_ERRNO(made([&] { return syscall(SYS_clone3, last, sizeof *last + 8); }), EFAULT);
    clone_args args = {};
    args.exit_signal = SIGCHLD;
    args.flags = CLONE_PIDFD;
    args.pidfd = uint64_t(pages + page);
    CHECK_ERRNO(made([&] { return clone3(args); }), EFAULT);
    CHECK_ERRNO(waitpid(-1, nullptr, __WALL), ECHILD); // no child came of it
    // Where the numbers can't be stored the child lives all the same.
    args.flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID;
    args.parent_tid = args.child_tid = uint64_t(pages + page);
    CHECK_GT(made([&] { return clone3(args); }), 0);
    args = {};
    args.exit_signal = SIGCHLD;
    args.set_tid = uint64_t(pages + page);
    args.set_tid_size = 1;
    CHECK_ERRNO(made([&] { return clone3(args); }), EFAULT);
    munmap(pages, 2 * page);
}

void stacks() {
    alignas(16) static char memory[65536];
    auto with = [](uint64_t stack, uint64_t size) {
        return made([=] {
            clone_args args = {};
            args.exit_signal = SIGCHLD;
            args.stack = stack;
            args.stack_size = size;
            return clone3(args);
        });
    };
    CHECK_ERRNO(with(uint64_t(memory), 0), EINVAL);
    CHECK_ERRNO(with(0, sizeof memory), EINVAL);
    CHECK_ERRNO(with(uint64_t(memory), ~0ull - 4095), EINVAL);
    CHECK_ERRNO(with(uint64_t(memory), 1ull << 63), EINVAL);
    CHECK_ERRNO(with(1ull << 63, 4096), EINVAL);
    CHECK_ERRNO(with(~0ull - 100, 4096), EINVAL);
}

void chosen_numbers() {
    auto with = [](const pid_t* numbers, size_t count) {
        return made([=] {
            clone_args args = {};
            args.exit_signal = SIGCHLD;
            args.set_tid = uint64_t(numbers);
            args.set_tid_size = count;
            return clone3(args);
        });
    };
    pid_t numbers[40] = {31234};
    CHECK_EQ(with(numbers, 1), 31234);
    CHECK_EQ(with(numbers, 1), 31234); // free again
    CHECK_ERRNO(with(numbers, 2), EINVAL);
    CHECK_ERRNO(with(numbers, 33), EINVAL);
    CHECK_ERRNO(with(numbers, 0), EINVAL);
    CHECK_ERRNO(with(nullptr, 1), EINVAL);
    const pid_t own = getpid(), none = 0, negative = -1, large = INT32_MAX;
    CHECK_ERRNO(with(&own, 1), EEXIST);
    CHECK_ERRNO(with(&none, 1), EINVAL);
    CHECK_ERRNO(with(&negative, 1), EINVAL);
    CHECK_ERRNO(with(&large, 1), EINVAL);
    run_in_child([&] {
        CHECK_OK(setresuid(1000, 1000, 1000));
        CHECK_ERRNO(with(numbers, 1), EPERM);
        CHECK_ERRNO(with(&none, 1), EINVAL);
    });
    // A chosen number is no place from which the next ones are counted.
    CHECK_NE(made([] { return long(fork()); }), 31235);
}

/// CLONE_CLEAR_SIGHAND: handlers go, with their flags; what is ignored stays ignored.
void cleared_handlers() {
    handle(SIGUSR1, [](int) {}, SA_RESTART);
    signal(SIGUSR2, SIG_IGN);
    clone_args args = {};
    args.flags = clear_sighand;
    args.exit_signal = SIGCHLD;
    const pid_t child = pid_t(clone3(args));
    if (child == 0) {
        struct sigaction one, two;
        sigaction(SIGUSR1, nullptr, &one);
        sigaction(SIGUSR2, nullptr, &two);
        const bool right = one.sa_handler == SIG_DFL && !(one.sa_flags & SA_RESTART) && two.sa_handler == SIG_IGN;
        _exit(right ? 0 : 1);
    }
    CHECK_EQ(end_of(child), 0);
    struct sigaction action;
    sigaction(SIGUSR1, nullptr, &action);
    CHECK(action.sa_handler != SIG_DFL); // only the child's
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
}

/// CLONE_SIGHAND without CLONE_THREAD: two processes, one table of handlers; masks and pending signals stay apart.
void shared_handlers() {
    alignas(16) static char stack[65536];
    signal(SIGUSR1, SIG_DFL);
    const pid_t child = clone(
        [](void*) {
            signal(SIGUSR1, SIG_IGN);
            const sigset_t set = set_of(SIGUSR2);
            syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, nullptr, 8);
            return 0;
        },
        stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | SIGCHLD, nullptr);
    CHECK_EQ(end_of(child), 0);
    struct sigaction action;
    sigaction(SIGUSR1, nullptr, &action);
    CHECK(action.sa_handler == SIG_IGN);
    sigset_t mask;
    sigprocmask(SIG_SETMASK, nullptr, &mask);
    CHECK(!sigismember(&mask, SIGUSR2));
    signal(SIGUSR1, SIG_DFL);
}

/// The alternate stack: forgotten where memory is shared, but not by vfork.
void alternate_stacks() {
    alignas(16) static char memory[65536], stack[65536];
    stack_t alternate = {};
    alternate.ss_sp = memory;
    alternate.ss_size = sizeof memory;
    CHECK_OK(sigaltstack(&alternate, nullptr));
    for (const int flags : {CLONE_VM, CLONE_VM | CLONE_VFORK, CLONE_VFORK, 0}) {
        const pid_t child = clone(
            [](void*) {
                stack_t seen = {};
                sigaltstack(nullptr, &seen);
                return seen.ss_flags & SS_DISABLE ? 1 : 0;
            },
            stack + sizeof stack, flags | SIGCHLD, nullptr);
        CHECK_EQ(end_of(child), flags == CLONE_VM ? 1 << 8 : 0);
    }
    alternate.ss_flags = SS_DISABLE;
    CHECK_OK(sigaltstack(&alternate, nullptr));
}

/// A program that a clone runs tells its end by SIGCHLD, whatever was asked for (execve(2)).
void exit_signal_after_exec(const char* self) {
    const pid_t child = pid_t(old_clone(SIGUSR1));
    if (child == 0) {
        execl(self, self, "end", static_cast<char*>(nullptr));
        _exit(99);
    }
    handle(SIGUSR1, [](int) { _exit(98); });
    siginfo_t info = {};
    // Only with __WCLONE until it has executed; then without.
    CHECK(
        eventually([&] { return waitid(P_PID, id_t(child), &info, WEXITED | WNOHANG) == 0 && info.si_pid == child; }));
    CHECK_EQ(info.si_status, 0);
    signal(SIGUSR1, SIG_DFL);
}

/// The child of CLONE_PARENT has its maker's exit signal, not its own.
void siblings() {
    const pid_t self = getpid();
    const pid_t middle = pid_t(old_clone(0)); // tells nobody
    if (middle == 0) {
        const pid_t sibling = pid_t(old_clone(CLONE_PARENT | SIGUSR1));
        if (sibling == 0) _exit(getppid() == self ? 0 : 1);
        _exit(sibling > 0 ? 0 : 1);
    }
    CHECK_ERRNO(waitpid(-1, nullptr, 0), ECHILD); // both are clones
    CHECK_EQ(end_of(middle), 0);
    int status = -1;
    CHECK_GT(waitpid(-1, &status, __WCLONE), 0); // SIGUSR1 would have killed us
    CHECK_EQ(status, 0);
}

/// CLONE_FILES and CLONE_FS beyond one process, and that execve ends the one but not the other.
void shared_after_exec(const char* self) {
    const int fd = open("/dev/null", O_RDONLY);
    CHECK_OK(dup3(fd, 80, O_CLOEXEC));
    close(fd);
    CHECK_OK(chdir("/"));
    clone_args args = {};
    args.flags = CLONE_FILES | CLONE_FS;
    args.exit_signal = SIGCHLD;
    const pid_t child = pid_t(clone3(args));
    if (child == 0) {
        execl(self, self, "move", static_cast<char*>(nullptr));
        _exit(99);
    }
    CHECK_EQ(end_of(child), 0);
    CHECK_OK(fcntl(80, F_GETFD));           // closed in the program's own copy only
    CHECK_ERRNO(fcntl(81, F_GETFD), EBADF); // opened in it
    char directory[64];
    CHECK_STREQ(getcwd(directory, sizeof directory), "/proc");
    close(80);
    CHECK_OK(chdir("/tmp"));
}

int other_program(const char* what) {
    if (!strcmp(what, "end")) return 0;
    if (!strcmp(what, "move")) {
        CHECK_ERRNO(fcntl(80, F_GETFD), EBADF);
        CHECK_EQ(dup2(0, 81), 81);
        CHECK_OK(chdir("/proc"));
    }
    return result();
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1) return other_program(arguments[1]);
    char self[256] = {};
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    illegal_in_both();
    only_clone3();
    only_clone();
    sizes();
    bad_pointers();
    stacks();
    chosen_numbers();
    cleared_handlers();
    shared_handlers();
    alternate_stacks();
    exit_signal_after_exec(self);
    siblings();
    shared_after_exec(self);
    return result();
}
