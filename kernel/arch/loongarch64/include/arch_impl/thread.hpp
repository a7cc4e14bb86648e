// LoongArch: $r21, which no compiler allocates, holds the running thread's ThreadHeader while the kernel
// runs. While user code runs, CSR SAVE0 holds it.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

struct KernelContext {
    u64 stack_pointer = 0;    // of a thread that doesn't run: its callee-saved registers lie there
    u64 user_entry_stack = 0; // sp inside enter_user(), taken up again by the next trap from user code
};

struct CpuState {
    const UserContext* extended_owner = nullptr; // whose FP and vector registers were loaded last
};

/// No clobber and no volatile: the answer of a given thread never changes, so the compiler may keep it.
inline ThreadHeader* current_thread() {
    ThreadHeader* thread;
    asm("move %0, $r21" : "=r"(thread));
    return thread;
}
inline void set_current_thread(ThreadHeader* thread) { asm volatile("move $r21, %0" : : "r"(thread) : "memory"); }

} // namespace linnet::arch
