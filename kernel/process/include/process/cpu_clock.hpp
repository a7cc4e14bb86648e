// CPU-time clocks (clock_getcpuclockid(3), pthread_getcpuclockid(3)) and sleeps on them.
#pragma once

#include <core/wait_queue.hpp>
#include <process/process.hpp>

namespace linnet::process {

/// Which times of a thread, or of all threads of a process, a clock sums.
struct CpuClock {
    enum class Which : u8 { Profiling, Virtual, Scheduler };
    RefPtr<Process> process;       // of the thread
    NullableRefPtr<Thread> thread; // null: all of them
    Which which;

    /// The clock of that id, asked for by `caller`. EINVAL: no such clock, no such process, a thread of another
    /// process.
    static Result<CpuClock> open(Thread& caller, int id);
    [[nodiscard]] u64 now_ns() const;
    [[nodiscard]] bool is_of(const Thread& one) const { return thread.get() == &one; }
};
constexpr bool is_cpu_clock(int id) { return id < 0 || id == 2 || id == 3; }

/// Sleeps until the clock shows `expiry_ns`: Ready, or Interrupted. ENOMEM.
Result<core::WaitResult> sleep_on_cpu_clock(const CpuClock& clock, u64 expiry_ns);

/// core::work_cpu_timers: the current thread looks which CPU timers of its process have expired.
void check_cpu_timers(Thread& thread);

} // namespace linnet::process
