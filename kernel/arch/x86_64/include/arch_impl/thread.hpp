// x86_64: what assembly keeps per CPU and per thread. The GS base points at this CPU's CpuHeader while the kernel runs,
// so the current thread is one load from gs:0. Offsets used by assembly are in offsets.h and checked in layout.cpp.
#pragma once

#include <atomic>
#include <lib/types.hpp>

namespace linnet::arch {

/// A thread that doesn't run: everything else is on its stack.
struct KernelContext {
    u64 stack_pointer = 0;
};

/// 64-bit task state segment (Intel SDM vol. 3, 8.7).
struct [[gnu::packed]] TaskState {
    u32 reserved0 = 0;
    u64 rsp[3] = {};
    u64 reserved1 = 0;
    u64 ist[7] = {};
    u64 reserved2 = 0;
    u16 reserved3 = 0;
    u16 io_map_base = 0;
};
static_assert(sizeof(TaskState) == 104);

inline constexpr usize gdt_entries = 16;

/// What the architecture keeps per CPU.
struct CpuState {
    u64 user_stack_pointer = 0;     // rsp of user code for the first instructions of the syscall entry
    u64 kernel_stack_pointer = 0;   // where enter_user() left the kernel stack
    UserContext* entered = nullptr; // whose user code runs or ran last
    /// Whose FP/vector registers and FS/GS bases are in this CPU. Another CPU that takes the state over clears it.
    std::atomic<UserContext*> live_context{nullptr};
    u64 timer_deadline = ~u64{0};
    u64 gdt[gdt_entries] = {};
    u32 padding = 0; // aligns the 64-bit words of the packed task state
    TaskState tss{};
    bool counter_is_denied = false; // what CR4 says
    bool has_breakpoints = false;   // of live_context, in DR7
};

inline ThreadHeader* current_thread() {
    // Not volatile: the answer is the same as long as this thread runs.
    ThreadHeader* thread;
    asm("movq %%gs:0, %0" : "=r"(thread));
    return thread;
}
inline void set_current_thread(ThreadHeader* thread) { asm volatile("movq %0, %%gs:0" ::"r"(thread) : "memory"); }

} // namespace linnet::arch
