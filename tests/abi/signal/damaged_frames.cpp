// arch: x86_64 aarch64 riscv64
// Signal frames with random damage to every word, a few hundred of them: the program may die or go on, the kernel goes
// on. (Not on LoongArch: Linux 7.2 locks up there.)
#include <sys/syscall.h>

#include "asleep.hpp"
#include "machine.hpp"

using namespace check;

namespace {

uint64_t state;
uint64_t random_word() {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

uint64_t nasty_word() {
    switch (random_word() % 6) {
    case 0:
        return random_word();
    case 1:
        return ~uint64_t(0);
    case 2:
        return uint64_t(1) << (random_word() % 64);
    case 3:
        return machine::kernel_address + random_word() % 4096;
    case 4:
        return random_word() & 0xffff;
    default:
        return 0;
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
    random_damage(getenv("LINNET_LONG") ? 20000 : 400);
    return result();
}
