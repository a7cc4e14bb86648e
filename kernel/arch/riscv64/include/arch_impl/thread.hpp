// RISC-V: tp holds the running thread's ThreadHeader while the kernel runs. While user code runs, sscratch
// holds it, and sscratch is 0 in the kernel, so that the trap entry knows where it came from.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

struct KernelContext {
    u64 stack_pointer = 0;    // of a thread that doesn't run: its callee-saved registers lie there
    u64 user_entry_stack = 0; // sp inside enter_user(), taken up again by the next trap from user code
    u64 scratch = 0;          // one register of the trap entry, before there is a stack
};

struct CpuState {
    const UserContext* extended_owner = nullptr; // whose FP and vector registers were loaded last
};

/// No clobber and no volatile: the answer of a given thread never changes, so the compiler may keep it.
inline ThreadHeader* current_thread() {
    ThreadHeader* thread;
    asm("mv %0, tp" : "=r"(thread));
    return thread;
}
inline void set_current_thread(ThreadHeader* thread) { asm volatile("mv tp, %0" : : "r"(thread) : "memory"); }

} // namespace linnet::arch
