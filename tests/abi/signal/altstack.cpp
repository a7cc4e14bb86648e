// sigaltstack(2): what is in use is told by the stack pointer, SS_AUTODISARM, overflow of either stack, nesting,
// leaving by siglongjmp, AT_MINSIGSTKSZ.
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "asleep.hpp"

using namespace check;

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

namespace {

constexpr size_t size = 128 * 1024;
char* area;

void set_stack(int flags, size_t bytes = size) {
    stack_t stack = {};
    stack.ss_sp = area;
    stack.ss_size = bytes;
    stack.ss_flags = flags;
    CHECK_OK(sigaltstack(&stack, nullptr));
}

stack_t get_stack() {
    stack_t stack = {};
    CHECK_OK(sigaltstack(nullptr, &stack));
    return stack;
}

bool on_area(const void* p) { return p >= area && p < area + size; }

volatile sig_atomic_t was_on_area, flags_inside, change_errno, nested_below, runs;
stack_t in_context;
char* outer_frame;

void look(int, siginfo_t*, void* context) {
    char here;
    was_on_area = on_area(&here);
    flags_inside = get_stack().ss_flags;
    in_context = static_cast<ucontext_t*>(context)->uc_stack;
    stack_t other = {};
    other.ss_flags = SS_DISABLE;
    change_errno = sigaltstack(&other, nullptr) == 0 ? 0 : errno;
    runs = runs + 1;
}

void in_use() {
    CHECK_EQ(get_stack().ss_flags, SS_DISABLE);
    set_stack(0);
    handle(SIGUSR1, look, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(was_on_area);
    CHECK_EQ(int(flags_inside), SS_ONSTACK);
    CHECK_EQ(int(change_errno), EPERM);
    CHECK(in_context.ss_sp == area);
    CHECK_EQ(in_context.ss_size, size);
    CHECK_EQ(get_stack().ss_flags, 0);
    handle(SIGUSR1, look); // not asked for
    runs = 0;
    raise(SIGUSR1);
    CHECK_EQ(int(runs), 1);
    CHECK(!was_on_area);
    CHECK_EQ(int(change_errno), 0);
    // The handler took it away, and sigreturn put back what the frame says.
    CHECK_EQ(get_stack().ss_flags, 0);
}

void bad_arguments() {
    stack_t stack = {};
    stack.ss_sp = area;
    stack.ss_size = getauxval(AT_MINSIGSTKSZ) > 2048 ? 1024 : 100;
    CHECK_ERRNO(sigaltstack(&stack, nullptr), ENOMEM);
    stack.ss_size = size;
    stack.ss_flags = 0x40;
    CHECK_ERRNO(sigaltstack(&stack, nullptr), EINVAL);
    CHECK_ERRNO(sigaltstack((stack_t*)8, nullptr), EFAULT);
    CHECK_ERRNO(sigaltstack(nullptr, (stack_t*)8), EFAULT);
    stack.ss_flags = SS_ONSTACK; // taken as 0, as Linux always has
    CHECK_OK(sigaltstack(&stack, nullptr));
}

void look_disarmed(int, siginfo_t*, void* context) {
    char here;
    was_on_area = on_area(&here);
    flags_inside = get_stack().ss_flags;
    in_context = static_cast<ucontext_t*>(context)->uc_stack;
    runs = runs + 1;
}

void disarming() {
    set_stack(int(SS_AUTODISARM));
    CHECK_EQ(unsigned(get_stack().ss_flags), SS_AUTODISARM);
    handle(SIGUSR1, look_disarmed, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(was_on_area);
    CHECK_EQ(int(flags_inside), SS_DISABLE);
    CHECK(in_context.ss_sp == area);
    CHECK_EQ(unsigned(in_context.ss_flags), SS_AUTODISARM);
    CHECK_EQ(unsigned(get_stack().ss_flags), SS_AUTODISARM); // armed again
    CHECK(get_stack().ss_sp == area);
    set_stack(0);
}

void inner(int) {
    char here;
    nested_below = on_area(&here) && &here < outer_frame;
}
void outer(int) {
    char here;
    outer_frame = &here;
    raise(SIGUSR2);
}

void nesting() {
    set_stack(0);
    handle(SIGUSR1, outer, SA_ONSTACK);
    handle(SIGUSR2, inner, SA_ONSTACK);
    nested_below = 0;
    raise(SIGUSR1);
    CHECK(nested_below);
}

sigjmp_buf back;
void jump_out(int, siginfo_t*, void*) {
    char here;
    was_on_area = on_area(&here);
    siglongjmp(back, 1);
}

volatile int sink = -1;
[[gnu::noinline]] int devour(int depth) {
    volatile char room[4096];
    room[depth % 4096] = char(depth);
    if (sink == depth) return 0; // never; sink is -1
    return devour(depth + 1) + room[0];
}

/// The usual use: a stack that has run over is a fault, taken on the alternate stack, again and again.
void overflow() {
    set_stack(0);
    handle(SIGSEGV, jump_out, SA_ONSTACK);
    const int status = in_child([] {
        const rlimit limit = {512 * 1024, 512 * 1024};
        setrlimit(RLIMIT_STACK, &limit);
        for (volatile int i = 0; i < 5; i = i + 1) {
            was_on_area = 0;
            if (sigsetjmp(back, 1) == 0) sink = devour(0);
            CHECK(was_on_area);
            CHECK_EQ(get_stack().ss_flags, 0);
        }
    });
    CHECK_EQ(status, 0);
    handle(SIGSEGV, SIG_DFL);
}

void jump_in_fault(int, siginfo_t*, void*) { sink = devour(0); }

/// No stack to put the frame on, or a handler that runs over the alternate one: the program dies of SIGSEGV.
void no_stack_left() {
    CHECK(died_of(in_child([] {
                      const rlimit limit = {256 * 1024, 256 * 1024};
                      setrlimit(RLIMIT_STACK, &limit);
                      handle(SIGSEGV, look); // on the same stack
                      sink = devour(0);
                  }),
                  SIGSEGV));
    CHECK(died_of(in_child([] {
                      // Below the area is a hole.
                      munmap(area - size, size);
                      handle(SIGSEGV, jump_in_fault, SA_ONSTACK);
                      raise(SIGSEGV);
                  }),
                  SIGSEGV));
    CHECK(died_of(in_child([] {
                      munmap(area, size);
                      handle(SIGUSR1, look, SA_ONSTACK);
                      raise(SIGUSR1);
                  }),
                  SIGSEGV));
    // Even when the signal that finds no stack is blocked or ignored otherwise.
    CHECK(died_of(in_child([] {
                      munmap(area, size);
                      signal(SIGSEGV, SIG_IGN);
                      handle(SIGUSR1, look, SA_ONSTACK);
                      raise(SIGUSR1);
                  }),
                  SIGSEGV));
    // A handler for SIGSEGV elsewhere gets the fault.
    CHECK_EQ(in_child([] {
                 munmap(area, size);
                 handle(SIGSEGV, jump_out);
                 handle(SIGUSR1, look, SA_ONSTACK);
                 if (sigsetjmp(back, 1) == 0) {
                     raise(SIGUSR1);
                     CHECK(false);
                 }
             }),
             0);
}

void smallest_stack() {
    const size_t told = getauxval(AT_MINSIGSTKSZ); // LoongArch tells nothing
    const size_t least = told ? told : 4096;
    CHECK_GE(least, 1024u);
    const size_t bytes = least + 4096;
    set_stack(0, bytes);
    handle(SIGUSR1, look_disarmed, SA_ONSTACK);
    runs = 0;
    raise(SIGUSR1);
    CHECK_EQ(int(runs), 1);
    CHECK(was_on_area);
    set_stack(0);
}

/// A thread has none; a child keeps its parent's, a vfork child too.
void inheritance() {
    set_stack(0);
    CHECK_EQ(in_child([] { CHECK(get_stack().ss_sp == area); }), 0);
}

} // namespace

int main() {
    void* memory = mmap(nullptr, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    area = (char*)memory + size;
    in_use();
    bad_arguments();
    disarming();
    nesting();
    overflow();
    no_stack_left();
    smallest_stack();
    inheritance();
    return result();
}
