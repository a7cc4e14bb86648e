// Signal frames forged by the thousand (sigreturn(2)): a genuine frame with some of its words damaged, where it is or
// in a copy elsewhere, or nothing but random words. Whatever a frame holds, the program goes on with what a program may
// have, or dies of a fault; the kernel goes on. Each frame depends on its number only.
#pragma once

#include <csetjmp>
#include <sys/syscall.h>

#include "asleep.hpp"
#include "nasty_words.hpp"
#include "proc_text.hpp"

namespace frame_fuzz {

using namespace check;
using nasty::nasty_word, nasty::random_word;

constexpr int workers = 4;
constexpr size_t buffer_words = 2048;
constexpr int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

/// Of each worker.
struct Progress {
    alignas(64) std::atomic<int> next; // frame
    std::atomic<int> gone_on, faulted;
    std::atomic<int> privileged;
};
inline Progress* progress;

/// What the kernel must never let a frame decide, as a later frame shows it.
inline bool is_privileged(const ucontext_t& context) {
#if defined(__x86_64__)
    const uint64_t flags = uint64_t(context.uc_mcontext.gregs[REG_EFL]);
    constexpr uint64_t interrupts = 0x200, io_level = 0x3000, virtual_8086 = 0x20000;
    return !(flags & interrupts) || (flags & (io_level | virtual_8086)) ||
           (context.uc_mcontext.gregs[REG_CSGSFS] & 3) != 3;
#elif defined(__aarch64__)
    constexpr uint64_t mode = 0x1f, interrupts_off = 0x3c0;
    return context.uc_mcontext.pstate & (mode | interrupts_off);
#else
    (void)context; // the frame shows no status register
    return false;
#endif
}

inline void damage(uint64_t* frame, size_t words) {
    const int damaged = 1 + int(random_word() % 8);
    for (int i = 0; i < damaged; ++i) {
        // Half of them among the registers and the heads of what follows, for extended state is long and harmless.
        uint64_t& word = frame[random_word() % (random_word() % 2 ? words : words < 128 ? words : 128)];
        word = nasty_word(word);
    }
}

alignas(64) inline uint64_t elsewhere[buffer_words + 8];
inline Progress* mine;

inline void forge(int, siginfo_t* info, void* context) {
    if (is_privileged(*static_cast<ucontext_t*>(context))) mine->privileged++;
    auto* frame = reinterpret_cast<uint64_t*>(info);
    if (static_cast<uint64_t*>(context) < frame) frame = static_cast<uint64_t*>(context);
    const auto end = machine::sp(*static_cast<ucontext_t*>(context)) & ~uint64_t(7);
    size_t words = (end - uint64_t(frame)) / 8;
    switch (random_word() % 8) {
    default:
        return damage(frame, words);
    case 5:
    case 6: {
        if (words > buffer_words) words = buffer_words;
        uint64_t* copy = elsewhere + uint64_t(frame) % 64 / 8;
        memcpy(copy, frame, words * 8);
        damage(copy, words);
        machine::sigreturn_at(uint64_t(copy));
    }
    case 7:
        for (uint64_t& word : elsewhere) word = random_word();
        machine::sigreturn_at(uint64_t(elsewhere) + random_word() % 8 * 8);
    }
}

inline sigjmp_buf back;
inline void leave(int) {
    mine->faulted++;
    siglongjmp(back, 1);
}

/// Takes frames until one kills it.
inline void take_frames(int end) {
    static char alternate[65536];
    for (;;) {
        stack_t stack = {};
        stack.ss_sp = alternate;
        stack.ss_size = sizeof alternate;
        sigaltstack(&stack, nullptr);
        const sigset_t none = set_of();
        sigprocmask(SIG_SETMASK, &none, nullptr);
        const int number = mine->next.fetch_add(1);
        if (number >= end) _exit(0);
        nasty::seed(uint64_t(number));
        switch (sigsetjmp(back, 0)) {
        case 0:
            syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
            siglongjmp(back, 2); // no register is to be believed any more
        case 2:
            mine->gone_on++;
        }
    }
}

/// A child that no longer takes frames is sent astray: killed.
inline int wait_while_busy(pid_t child) {
    int status = 0, seen = mine->next, unchanged = 0;
    for (; waitpid(child, &status, WNOHANG) == 0; nap()) {
        const int now = mine->next;
        unchanged = now == seen ? unchanged + 1 : 0;
        seen = now;
        if (unchanged == 100) kill(child, SIGKILL);
    }
    return status;
}

inline void work(int end) {
    int strange = 0;
    while (mine->next < end) {
        const pid_t child = fork();
        if (child == 0) {
            handle(SIGUSR1, forge);
            for (int signal : faults) handle(signal, leave, SA_ONSTACK);
            take_frames(end);
        }
        REQUIRE(child > 0);
        const int status = wait_while_busy(child);
        if (status == 0 || died_of(status, SIGKILL)) continue;
        bool by_fault = false;
        for (int signal : faults) by_fault = by_fault || died_of(status, signal);
        if (!by_fault && strange++ < 10)
            printf("a child ended with status %#x before frame %d\n", status, mine->next.load());
    }
    // Registers that are random may make the program itself do something else.
    CHECK_LE(strange, 2 + end / 1000);
}

inline int run(int frames) {
#if defined(__loongarch__)
    if (!proc_text::is_linnet()) skip("Linux 7.2 locks up on LoongArch");
#endif
    progress = static_cast<Progress*>(
        mmap(nullptr, sizeof(Progress) * workers, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    REQUIRE(progress != MAP_FAILED);
    pid_t children[workers];
    for (int i = 0; i < workers; i++) {
        progress[i].next = i * (frames / workers);
        fflush(stdout);
        children[i] = fork();
        if (children[i] != 0) continue;
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2); // a program sent astray should have no rights
        mine = &progress[i];
        work((i + 1) * (frames / workers));
        fflush(stdout);
        _exit(result());
    }
    int gone_on = 0, faulted = 0;
    for (int i = 0; i < workers; i++) {
        int status;
        CHECK_EQ(waitpid(children[i], &status, 0), children[i]);
        CHECK_EQ(status, 0);
        CHECK_EQ(progress[i].privileged.load(), 0);
        gone_on += progress[i].gone_on, faulted += progress[i].faulted;
    }
    CHECK_GT(gone_on, frames / 20); // or it would prove nothing
    CHECK_GT(faulted, frames / 20);
    printf("%d frames: %d went on, %d faulted\n", frames, gone_on, faulted);
    return result();
}

} // namespace frame_fuzz
