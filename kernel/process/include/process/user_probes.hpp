// Breakpoints that are neither the program's nor its tracer's (uprobes). The room that has them (probe) lies above this
// one; a thread that never came to one pays for a look at a null pointer where signals are handled.
#pragma once

#include <arch/trap.hpp>
#include <atomic>
#include <lib/result.hpp>

namespace linnet::process {

class Thread;

/// What probes keep of a thread that has come to one.
class ThreadProbes {
public:
    virtual ~ThreadProbes() = default;
};

/// All is called by the thread itself, and may sleep.
class UserProbes {
public:
    enum class Verdict : u8 { NotMine, Handled, SystemCall };
    /// User code has trapped. SystemCall: what it came to was a system-call instruction, which is to be obeyed.
    /// NotMine: a signal is due, as `reason` says, which may have been changed.
    virtual Verdict on_trap(Thread& thread, arch::TrapReason& reason) = 0;
    /// It is about to get a signal for a fault: an instruction that is executed out of line goes back to its
    /// place.
    virtual void on_fault(Thread& thread) = 0;
    /// Whether signals and stops must wait, because an instruction is being executed out of line. The end of that sets
    /// the bits of pending_work again.
    virtual bool puts_off(Thread& thread, u32 work) = 0;
    /// The parent has been to a probe: the child goes on where it was.
    virtual Result<void> on_fork(Thread& parent, Thread& child, bool shares_memory) = 0;
    /// It executes another program from now on, or dies: nothing of what is kept of it may hold on to others.
    virtual void on_exec(Thread& thread) = 0;
    virtual void on_exit(Thread& thread) = 0;

protected:
    ~UserProbes() = default;
};

inline constinit UserProbes* user_probes = nullptr;
/// Whether there ever was one.
inline constinit std::atomic<bool> had_user_probes{false};

} // namespace linnet::process
