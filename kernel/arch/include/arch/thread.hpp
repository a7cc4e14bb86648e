// Contract: the part of a thread and of a CPU that assembly knows, and the context switch.
//
// core::Thread derives from ThreadHeader and core::Cpu from CpuHeader, so that both begin with these fields. The
// register that the architecture reserves (x86_64 gs base: CpuHeader; AArch64 sp_el0 or tpidr_el1, RISC-V tp, LoongArch
// r21 or tp: ThreadHeader) makes current_thread() one instruction, correct at any preemption.
//
// <arch_impl/thread.hpp> defines struct KernelContext (at least the saved stack pointer), struct CpuState (what the
// architecture keeps per CPU: scratch words, TSS, …) and the inline functions current_thread(), set_current_thread().
#pragma once

#include <atomic>
#include <lib/types.hpp>

namespace linnet::arch {
struct ThreadHeader;
struct CpuHeader;
class UserContext;
} // namespace linnet::arch

#include <arch_impl/thread.hpp>

namespace linnet::arch {

struct ThreadHeader {
    CpuHeader* cpu = nullptr;            // the CPU it runs on; stable only while preemption is off
    u32 preempt_count = 0;               // > 0: the thread may be interrupted but not switched away
    std::atomic<u32> pending_work{0};    // core::PendingWork bits, looked at before every entry to user code
    uintptr_t kernel_stack_top = 0;      // exclusive; 16-byte aligned
    UserContext* user_context = nullptr; // null for kernel threads
    KernelContext context{};
};

struct CpuHeader {
    ThreadHeader* current = nullptr;
    u32 number = 0;      // 0 … cpu_count-1, in the order of discovery; 0 booted
    u64 hardware_id = 0; // APIC id, MPIDR, hart id, CPUNUM
    CpuState state{};
    /// Kernel code that the interrupt being handled came to; pc 0: it came to user code.
    struct {
        uintptr_t pc = 0;
        uintptr_t frame_pointer = 0;
    } interrupted;
};

/// Says where an interrupt of kernel code came to, as long as it is being handled.
class InterruptedCode {
public:
    InterruptedCode(uintptr_t pc, uintptr_t frame_pointer) : cpu_(*current_thread()->cpu) {
        cpu_.interrupted = {pc, frame_pointer};
    }
    ~InterruptedCode() { cpu_.interrupted.pc = 0; }
    InterruptedCode(const InterruptedCode&) = delete;

private:
    CpuHeader& cpu_;
};

/// Switches kernel stacks: saves `from`'s callee-saved registers (and, when `from.user_context` has live FP/vector
/// registers on this CPU, those too), makes `to` current and continues it. Returns in `to`'s past call, with the thread
/// that was switched away from. Interrupts are disabled. The address space is the caller's business.
extern "C" ThreadHeader* arch_switch_context(ThreadHeader* from, ThreadHeader* to);

/// Makes the first switch to `thread` call hooks::thread_entry(previous) on an empty kernel stack, interrupts disabled.
/// `thread.kernel_stack_top` is set.
void prepare_context(ThreadHeader& thread);

} // namespace linnet::arch
