// Handlers: masks during and after, SA_NODEFER, SA_RESETHAND, nesting, leaving by siglongjmp, what ucontext holds and
// what an edit of it does, flags that can be probed, and signals that nothing can block or catch.
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "asleep.hpp"

using namespace check;

namespace {

sigset_t current_mask() {
    sigset_t set;
    sigprocmask(SIG_SETMASK, nullptr, &set);
    return set;
}

bool blocks(int signal) {
    const sigset_t set = current_mask();
    return sigismember(&set, signal) == 1;
}

volatile sig_atomic_t depth, deepest, runs;
sigset_t mask_inside, saved_inside;

void look(int, siginfo_t*, void* context) {
    mask_inside = current_mask();
    saved_inside = static_cast<ucontext_t*>(context)->uc_sigmask;
    runs = runs + 1;
}

void masks() {
    struct sigaction action = {}, old = {};
    action.sa_sigaction = look;
    action.sa_flags = SA_SIGINFO;
    action.sa_mask = set_of(SIGUSR2, SIGRTMAX, SIGKILL, SIGSTOP);
    CHECK_OK(sigaction(SIGUSR1, &action, nullptr));
    CHECK_OK(sigaction(SIGUSR1, nullptr, &old));
    CHECK(sigismember(&old.sa_mask, SIGUSR2));
    CHECK(!sigismember(&old.sa_mask, SIGKILL) && !sigismember(&old.sa_mask, SIGSTOP));
    CHECK(old.sa_sigaction == look);
    const sigset_t outside = set_of(SIGHUP);
    CHECK_OK(sigprocmask(SIG_SETMASK, &outside, nullptr));
    runs = 0;
    raise(SIGUSR1);
    CHECK_EQ(int(runs), 1);
    for (int signal : {SIGHUP, SIGUSR1, SIGUSR2, SIGRTMAX}) CHECK_EQ(sigismember(&mask_inside, signal), 1);
    CHECK_EQ(sigismember(&mask_inside, SIGTERM), 0);
    CHECK_EQ(sigismember(&mask_inside, SIGKILL), 0);
    CHECK_EQ(sigismember(&saved_inside, SIGHUP), 1);
    CHECK_EQ(sigismember(&saved_inside, SIGUSR1), 0);
    CHECK(blocks(SIGHUP) && !blocks(SIGUSR1) && !blocks(SIGUSR2));
    // With SA_NODEFER the signal itself stays open, unless the mask names it.
    action.sa_flags |= SA_NODEFER;
    CHECK_OK(sigaction(SIGUSR1, &action, nullptr));
    raise(SIGUSR1);
    CHECK_EQ(sigismember(&mask_inside, SIGUSR1), 0);
    CHECK_EQ(sigismember(&mask_inside, SIGUSR2), 1);
    sigaddset(&action.sa_mask, SIGUSR1);
    CHECK_OK(sigaction(SIGUSR1, &action, nullptr));
    raise(SIGUSR1);
    CHECK_EQ(sigismember(&mask_inside, SIGUSR1), 1);
    const sigset_t none = set_of();
    CHECK_OK(sigprocmask(SIG_SETMASK, &none, nullptr));
}

constexpr int levels = 100;
void recurse(int signal) {
    depth = depth + 1;
    if (depth > deepest) deepest = int(depth);
    runs = runs + 1;
    if (runs < levels) raise(signal);
    depth = depth - 1;
}

void start_over() {
    depth = 0;
    deepest = 0;
    runs = 0;
}

void nesting() {
    start_over();
    handle(SIGUSR1, recurse, SA_NODEFER);
    raise(SIGUSR1);
    CHECK_EQ(int(runs), levels);
    CHECK_EQ(int(deepest), levels);
    CHECK_EQ(int(depth), 0);
    // Deferred: once more after each return, never within.
    start_over();
    handle(SIGUSR1, recurse);
    raise(SIGUSR1);
    CHECK_EQ(int(runs), levels);
    CHECK_EQ(int(deepest), 1);
}

volatile sig_atomic_t trail;
void third(int) { trail = trail * 10 + 3; }
void second(int) {
    trail = trail * 10 + 2;
    raise(SIGTERM);
    trail = trail * 10 + 4;
}
void first(int) {
    trail = trail * 10 + 1;
    raise(SIGUSR2);
    trail = trail * 10 + 5;
}

void different_levels() {
    handle(SIGUSR1, first);
    handle(SIGUSR2, second);
    handle(SIGTERM, third);
    trail = 0;
    raise(SIGUSR1);
    CHECK_EQ(int(trail), 12345);
    CHECK(!blocks(SIGUSR1) && !blocks(SIGUSR2) && !blocks(SIGTERM));
}

void reset_by_delivery() {
    runs = 0;
    handle(SIGUSR1, [](int) { runs = runs + 1; }, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction now;
    CHECK_OK(sigaction(SIGUSR1, nullptr, &now));
    CHECK(now.sa_handler == SIG_DFL);
    CHECK_EQ(int(runs), 1);
    CHECK(died_of(in_child([] { raise(SIGUSR1); }), SIGUSR1));
}

sigjmp_buf back;
void jump_out(int signal) { siglongjmp(back, signal); }

void leaving_by_jump() {
    handle(SIGUSR1, jump_out);
    handle(SIGSEGV, jump_out);
    for (volatile int i = 0; i < 1000; i = i + 1) {
        const int signal = i % 2 ? SIGUSR1 : SIGSEGV;
        if (const int got = sigsetjmp(back, 1)) {
            CHECK_EQ(got, signal);
            CHECK(!blocks(signal));
        } else {
            if (signal == SIGUSR1)
                raise(SIGUSR1);
            else
                *(volatile int*)16 = 1;
            CHECK(false);
        }
    }
    // Without saving the mask it stays as the handler had it.
    if (sigsetjmp(back, 0) == 0) raise(SIGUSR1);
    CHECK(blocks(SIGUSR1));
    const sigset_t none = set_of();
    CHECK_OK(sigprocmask(SIG_SETMASK, &none, nullptr));
    handle(SIGSEGV, SIG_DFL);
}

void edit_mask(int, siginfo_t*, void* context) {
    auto* uc = static_cast<ucontext_t*>(context);
    uc->uc_sigmask = set_of(SIGHUP, SIGKILL, SIGSTOP, SIGRTMAX);
}

void editing_the_frame() {
    handle(SIGUSR1, edit_mask);
    raise(SIGUSR1);
    CHECK(blocks(SIGHUP) && blocks(SIGRTMAX));
    CHECK(!blocks(SIGKILL) && !blocks(SIGSTOP) && !blocks(SIGUSR1));
    const sigset_t none = set_of();
    CHECK_OK(sigprocmask(SIG_SETMASK, &none, nullptr));
}

void unblockable() {
    sigset_t all;
    sigfillset(&all);
    CHECK_OK(sigprocmask(SIG_SETMASK, &all, nullptr));
    CHECK(!blocks(SIGKILL) && !blocks(SIGSTOP) && blocks(SIGTERM));
    unsigned long raw = ~0ul;
    CHECK_OK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &raw, nullptr, 8));
    CHECK_OK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, nullptr, &raw, 8));
    CHECK_EQ(raw, ~0ul & ~(1ul << (SIGKILL - 1)) & ~(1ul << (SIGSTOP - 1)));
    raw = 0;
    CHECK_OK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &raw, nullptr, 8));
    struct sigaction action = {};
    action.sa_handler = SIG_IGN;
    for (int signal : {SIGKILL, SIGSTOP}) {
        CHECK_ERRNO(sigaction(signal, &action, nullptr), EINVAL);
        CHECK_OK(sigaction(signal, nullptr, &action));
        action.sa_handler = SIG_IGN;
    }
    CHECK(died_of(in_child([] {
                      sigset_t set;
                      sigfillset(&set);
                      sigprocmask(SIG_SETMASK, &set, nullptr);
                      kill(getpid(), SIGKILL);
                  }),
                  SIGKILL));
}

/// A flag that the kernel doesn't know reads back as 0 (sigaction(2), "Dynamically probing for flag bit support").
void probing_flags() {
    struct Raw {
        void (*handler)(int);
        unsigned long flags;
        unsigned long rest[4];
    } action = {}, seen = {};
    constexpr unsigned long unsupported = 0x400, expose_tag_bits = 0x800;
    action.handler = third;
#ifdef __x86_64__
    constexpr unsigned long restorer = 0x04000000;
    struct sigaction libc;
    sigaction(SIGUSR2, nullptr, &libc);
    CHECK_OK(syscall(SYS_rt_sigaction, SIGUSR2, nullptr, &action, 8));
#else
    constexpr unsigned long restorer = 0;
#endif
    action.flags = unsupported | expose_tag_bits | SA_RESTART | restorer;
    CHECK_OK(syscall(SYS_rt_sigaction, SIGUSR2, &action, nullptr, 8));
    CHECK_OK(syscall(SYS_rt_sigaction, SIGUSR2, nullptr, &seen, 8));
    CHECK_EQ(seen.flags, expose_tag_bits | SA_RESTART | restorer);
    handle(SIGUSR2, SIG_DFL);
}

void default_actions() {
    for (int signal : {SIGHUP,    SIGINT,  SIGPIPE, SIGALRM,   SIGTERM,  SIGUSR1,  SIGUSR2, SIGPROF,
                       SIGVTALRM, SIGIO,   SIGPWR,  SIGSTKFLT, SIGRTMIN, SIGRTMAX, SIGQUIT, SIGILL,
                       SIGTRAP,   SIGABRT, SIGBUS,  SIGFPE,    SIGSEGV,  SIGXCPU,  SIGXFSZ, SIGSYS})
        CHECK(died_of(in_child([signal] {
                          handle(signal, SIG_DFL);
                          kill(getpid(), signal);
                          for (;;) pause();
                      }),
                      signal));
    for (int signal : {SIGCHLD, SIGURG, SIGWINCH, SIGCONT}) CHECK_EQ(in_child([signal] { kill(getpid(), signal); }), 0);
}

} // namespace

int main() {
    masks();
    nesting();
    different_levels();
    reset_by_delivery();
    leaving_by_jump();
    editing_the_frame();
    unblockable();
    probing_flags();
    default_actions();
    return result();
}
