// Signal ABI common to the four architectures (asm-generic/signal.h, siginfo.h; signal(7), sigaction(2)).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr int SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGBUS = 7, SIGFPE = 8,
                     SIGKILL = 9, SIGUSR1 = 10, SIGSEGV = 11, SIGUSR2 = 12, SIGPIPE = 13, SIGALRM = 14, SIGTERM = 15,
                     SIGSTKFLT = 16, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGTTIN = 21, SIGTTOU = 22,
                     SIGURG = 23, SIGXCPU = 24, SIGXFSZ = 25, SIGVTALRM = 26, SIGPROF = 27, SIGWINCH = 28, SIGIO = 29,
                     SIGPWR = 30, SIGSYS = 31, SIGRTMIN = 32, SIGRTMAX = 64;
inline constexpr int signal_count = 64;

inline constexpr u64 SA_NOCLDSTOP = 1, SA_NOCLDWAIT = 2, SA_SIGINFO = 4, SA_UNSUPPORTED = 0x400,
                     SA_EXPOSE_TAGBITS = 0x800, SA_RESTORER = 0x04000000, SA_ONSTACK = 0x08000000,
                     SA_RESTART = 0x10000000, SA_NODEFER = 0x40000000, SA_RESETHAND = 0x80000000;
inline constexpr int SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2;
inline constexpr u64 SIG_DFL = 0, SIG_IGN = 1;
inline constexpr int SS_ONSTACK = 1, SS_DISABLE = 2;
inline constexpr int SS_AUTODISARM = static_cast<int>(1u << 31);

// si_code values
inline constexpr int SI_USER = 0, SI_KERNEL = 0x80, SI_QUEUE = -1, SI_TIMER = -2, SI_MESGQ = -3, SI_ASYNCIO = -4,
                     SI_SIGIO = -5, SI_TKILL = -6, SI_DETHREAD = -7;
inline constexpr int ILL_ILLOPC = 1, ILL_ILLOPN = 2, ILL_ILLADR = 3, ILL_ILLTRP = 4, ILL_PRVOPC = 5, ILL_PRVREG = 6,
                     ILL_COPROC = 7, ILL_BADSTK = 8;
inline constexpr int FPE_INTDIV = 1, FPE_INTOVF = 2, FPE_FLTDIV = 3, FPE_FLTOVF = 4, FPE_FLTUND = 5, FPE_FLTRES = 6,
                     FPE_FLTINV = 7, FPE_FLTSUB = 8, FPE_FLTUNK = 14;
inline constexpr int SEGV_MAPERR = 1, SEGV_ACCERR = 2, SEGV_BNDERR = 3, SEGV_PKUERR = 4;
inline constexpr int BUS_ADRALN = 1, BUS_ADRERR = 2, BUS_OBJERR = 3;
inline constexpr int TRAP_BRKPT = 1, TRAP_TRACE = 2, TRAP_BRANCH = 3, TRAP_HWBKPT = 4, TRAP_UNK = 5;
inline constexpr int CLD_EXITED = 1, CLD_KILLED = 2, CLD_DUMPED = 3, CLD_TRAPPED = 4, CLD_STOPPED = 5,
                     CLD_CONTINUED = 6;
inline constexpr int POLL_IN = 1, POLL_OUT = 2, POLL_MSG = 3, POLL_ERR = 4, POLL_PRI = 5, POLL_HUP = 6;

union sigval_t {
    i32 sival_int;
    u64 sival_ptr;
};

/// What is known of a signal: all of Linux's siginfo that any signal has a meaning for.
struct siginfo_t {
    i32 si_signo;
    i32 si_errno;
    i32 si_code;
    i32 si_padding;
    union {
        struct {
            i32 pid;
            u32 uid;
            sigval_t value; // SI_QUEUE
        } kill;
        struct {
            i32 timer_id;
            i32 overrun;
            sigval_t value;
            i32 sys_private;
        } timer;
        struct {
            i32 pid;
            u32 uid;
            i32 status;
            i32 padding;
            i64 utime;
            i64 stime;
        } child;
        struct {
            u64 address;
            u16 address_lsb;
            u16 padding[3];
            u64 lower; // or the protection key in its first 32 bits (SEGV_PKUERR)
            u64 upper;
        } fault;
        struct {
            i64 band;
            i32 fd;
        } poll;
        struct {
            u64 call_address;
            i32 syscall;
            u32 arch;
        } sys;
    };
};
static_assert(sizeof(siginfo_t) == 48);
static_assert(__builtin_offsetof(siginfo_t, kill.pid) == 16);
static_assert(__builtin_offsetof(siginfo_t, kill.value) == 24);
static_assert(__builtin_offsetof(siginfo_t, child.status) == 24);
static_assert(__builtin_offsetof(siginfo_t, child.utime) == 32);
static_assert(__builtin_offsetof(siginfo_t, fault.lower) == 32);

/// As user memory has it, with room for what may come (rt_sigqueueinfo(2)).
struct user_siginfo_t {
    siginfo_t known;
    u8 unused[80];
};
static_assert(sizeof(user_siginfo_t) == 128);

struct stack_t {
    u64 ss_sp;
    i32 ss_flags;
    i32 padding;
    u64 ss_size;
};
static_assert(sizeof(stack_t) == 24);

} // namespace linnet::abi
