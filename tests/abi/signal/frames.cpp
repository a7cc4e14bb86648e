// timeout: 60
// Frames that a hostile program returns through: whatever they hold, the program dies or goes on, and nothing else. Pages
// that end in the middle of a frame, kernel addresses, and random damage to every word.
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
    case Forgery::KernelPc: return machine::set_pc(uc, machine::kernel_address);
    case Forgery::StrangePc: return machine::set_pc(uc, machine::strange_address);
    case Forgery::NullPc: return machine::set_pc(uc, 0);
    case Forgery::KernelSp: return machine::set_sp(uc, machine::kernel_address);
    case Forgery::StrangeSp: return machine::set_sp(uc, machine::strange_address);
    case Forgery::Mask: sigfillset(&uc.uc_sigmask);
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
    for (Forgery kind : {Forgery::KernelPc, Forgery::StrangePc, Forgery::NullPc, Forgery::KernelSp, Forgery::StrangeSp}) {
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
    auto* pages = static_cast<char*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    munmap(pages + page, page);
    const uint64_t places[] = {0,
                               16,
                               machine::kernel_address,
                               machine::strange_address,
                               ~uint64_t(15),
                               uint64_t(pages + page),       // a hole
                               uint64_t(pages + page - 64),  // a frame cut short
                               uint64_t(pages + page - 512),
                               uint64_t(pages) + 4,          // not aligned
                               uint64_t(pages)};             // all zero
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

uint64_t state;
uint64_t random_word() {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

uint64_t nasty_word() {
    switch (random_word() % 6) {
    case 0: return random_word();
    case 1: return ~uint64_t(0);
    case 2: return uint64_t(1) << (random_word() % 64);
    case 3: return machine::kernel_address + random_word() % 4096;
    case 4: return random_word() & 0xffff;
    default: return 0;
    }
}

/// Damages words of the frame, from siginfo to what the stack pointer was (and a little beyond: the extended state).
void damage(int, siginfo_t* info, void* context) {
    auto* from = reinterpret_cast<uint64_t*>(info);
    auto* end = reinterpret_cast<uint64_t*>(machine::sp(*static_cast<ucontext_t*>(context)) & ~uint64_t(7));
    auto* other = reinterpret_cast<uint64_t*>(context);
    if (other < from) from = other;
    const size_t words = size_t(end - from);
    const int damaged = 1 + int(random_word() % 8);
    for (int i = 0; i < damaged; ++i) from[random_word() % words] = nasty_word();
}

void random_damage(int rounds) {
    for (int i = 0; i < rounds; ++i) {
        const int status = in_child([i] {
            state = uint64_t(i) * 0x9e3779b97f4a7c15 + 12345;
            struct sigaction action = {};
            action.sa_sigaction = damage;
            action.sa_flags = SA_SIGINFO;
            alarm(2); // a frame may send it anywhere, into an endless loop too
            sigaction(SIGUSR1, &action, nullptr);
            raise(SIGUSR1);
            syscall(SYS_exit_group, 0);
        });
        (void)status; // any end will do
    }
}

} // namespace

int main() {
    chosen_values();
    no_frame();
    const char* is_long = getenv("LINNET_LONG");
    random_damage(is_long ? 20000 : 400);
    return result();
}
