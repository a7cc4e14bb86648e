// Frames that a hostile program returns through: whatever they hold, the program dies or goes on, and nothing else.
// Pages that end in the middle of a frame, kernel addresses, no frame at all. (Random damage: hostile/sigreturn.cpp.)
#include <sys/mman.h>
#include <sys/syscall.h>

#include "asleep.hpp"
#include "machine.hpp"

using namespace check;

namespace {

enum class Forgery { KernelPc, StrangePc, NullPc, KernelSp, StrangeSp, Mask };
Forgery forgery;

void forge(int, siginfo_t*, void* context) {
    auto& uc = *static_cast<ucontext_t*>(context);
    switch (forgery) {
    case Forgery::KernelPc:
        return machine::set_pc(uc, machine::kernel_address);
    case Forgery::StrangePc:
        return machine::set_pc(uc, machine::strange_address);
    case Forgery::NullPc:
        return machine::set_pc(uc, 0);
    case Forgery::KernelSp:
        return machine::set_sp(uc, machine::kernel_address);
    case Forgery::StrangeSp:
        return machine::set_sp(uc, machine::strange_address);
    case Forgery::Mask:
        sigfillset(&uc.uc_sigmask);
    }
}

int run_forgery(Forgery kind) {
    return in_child([kind] {
        forgery = kind;
        handle(SIGUSR1, forge);
        raise(SIGUSR1);
    });
}

void chosen_values() {
    for (Forgery kind :
         {Forgery::KernelPc, Forgery::StrangePc, Forgery::NullPc, Forgery::KernelSp, Forgery::StrangeSp}) {
        const int status = run_forgery(kind);
        CHECK(died_of(status, SIGSEGV) || died_of(status, SIGBUS));
    }
    // A mask of everything leaves SIGKILL and SIGSTOP open.
    const int status = in_child([] {
        forgery = Forgery::Mask;
        handle(SIGUSR1, forge);
        raise(SIGUSR1);
        sigset_t mask;
        sigprocmask(SIG_SETMASK, nullptr, &mask);
        CHECK(!sigismember(&mask, SIGKILL) && !sigismember(&mask, SIGSTOP) && sigismember(&mask, SIGTERM));
        kill(getpid(), SIGKILL);
    });
    CHECK(died_of(status, SIGKILL));
}

/// rt_sigreturn where there is no frame.
void no_frame() {
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    auto* pages =
        static_cast<char*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    munmap(pages + page, page);
    const uint64_t places[] = {0,
                               16,
                               machine::kernel_address,
                               machine::strange_address,
                               ~uint64_t(15),
                               uint64_t(pages + page),      // a hole
                               uint64_t(pages + page - 64), // a frame cut short
                               uint64_t(pages + page - 512),
                               uint64_t(pages) + 4, // not aligned
                               uint64_t(pages)};    // all zero
    for (uint64_t place : places) {
        const int status = in_child([place] { machine::sigreturn_at(place); });
        CHECK(died_of(status, SIGSEGV) || died_of(status, SIGBUS));
        // A handler for SIGSEGV has nowhere to run when the stack is rubbish; on the alternate one it may.
        const int handled = in_child([place] {
            static char alternate[65536];
            stack_t stack = {};
            stack.ss_sp = alternate;
            stack.ss_size = sizeof alternate;
            sigaltstack(&stack, nullptr);
            for (int signal : {SIGSEGV, SIGBUS, SIGILL}) handle(signal, [](int) { _exit(7); }, SA_ONSTACK);
            machine::sigreturn_at(place);
        });
        CHECK(handled == 7 << 8 || WIFSIGNALED(handled));
    }
}

} // namespace

int main() {
    chosen_values();
    no_frame();
    return result();
}
