// core::Thread: what the scheduler runs, and core::Cpu: where. process::Thread derives from Thread; kernel threads are
// Threads themselves.
#pragma once

#include <arch/cpu.hpp>
#include <core/run_clock.hpp>
#include <core/spinlock.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/intrusive_tree.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>

namespace linnet::core {

class RunQueue;
struct Cpu;

/// Bits of ThreadHeader::pending_work: why a thread must not enter user code at once. One word, tested once.
enum PendingWork : u32 {
    work_reschedule = 1u << 0, // another thread should run
    work_signal = 1u << 1,     // a signal may be deliverable
    work_exit = 1u << 2,       // the thread must die
    work_notify = 1u << 3,     // task work queued by others
    work_single_step = 1u << 4,
    work_stop = 1u << 5, // group stop or tracer stop requested
};

/// A set of CPU numbers.
struct CpuMask {
    static constexpr usize max_cpus = 64;
    std::atomic<u64> bits{0};
    constexpr CpuMask(u64 initial = 0) : bits(initial) {}
    CpuMask(const CpuMask& other) : bits(other.value()) {}
    CpuMask& operator=(const CpuMask& other) { return bits.store(other.value()), *this; }
    u64 value() const { return bits.load(std::memory_order_relaxed); }
    bool has(u32 cpu) const { return (bits.load(std::memory_order_acquire) >> cpu) & 1; }
    void add(u32 cpu) { bits.fetch_or(u64{1} << cpu); }
    void remove(u32 cpu) { bits.fetch_and(~(u64{1} << cpu)); }
};

enum class ThreadState : u8 {
    Running,          // on a CPU or in a run queue
    Sleeping,         // interruptible: a wake or interrupt() ends it
    SleepingKillable, // only a wake or a fatal signal ends it
    SleepingDeep,     // only a wake ends it ("D")
    Stopped,
    Traced,
    Dead,
};

/// Times in counter ticks, split exactly at entry to and exit from user code.
struct CpuTimes {
    u64 user = 0;
    u64 system = 0;
};

class Thread : public arch::ThreadHeader {
public:
    constexpr Thread() {}
    virtual ~Thread() {}
    Thread(const Thread&) = delete;
    Thread& operator=(const Thread&) = delete;

    /// Called with interrupts off when a CPU begins to run this thread, after the stack switch's decision and before
    /// it: installs the address space. Kernel threads keep whatever user tables are there (lazy TLB).
    virtual void on_switched_in(Cpu&) {}
    /// Called on the next thread's stack when this thread, Dead, has left its own stack for good: frees what it can't
    /// free itself. Interrupts off; must not sleep.
    virtual void on_final_switch() {}
    /// First code of the thread, interrupts on; must not return.
    virtual void run() {}
    /// Whether a sleep that a fatal signal may end must end now.
    virtual bool has_fatal_signal() const { return false; }
    virtual std::string_view name() const { return "kernel"; }

    /// Makes a sleeping thread (state Sleeping) return Interrupted from its wait; a running one will notice at its next
    /// interruptible wait. Sets `interrupt_pending`. Any context.
    void interrupt();
    /// The same for state SleepingKillable too.
    void interrupt_fatal();

    std::atomic<ThreadState> state{ThreadState::Running};
    std::atomic<bool> interrupt_pending{false}; // owned by process/signal: set by interrupt(), cleared at the loop edge
    CpuMask affinity{~u64{0}};
    i8 nice = 0;
    u64 user_ticks = 0; // counter ticks in user code, charged at each return from it
    RunClock run_clock; // ticks on a CPU, kept by the scheduler; system = run - user
    u64 voluntary_switches = 0;
    u64 involuntary_switches = 0;
    bool allocations_may_fail = false; // mm: fault injection concerns it; inherited
    bool is_reclaiming = false;        // mm: frees memory, so it waits for nobody else to
    bool asks_for_memory = false;      // mm: its caller asks the out-of-memory killer itself, or it is being asked
    u32 allocation_to_fail = 0;        // mm: counts down to the allocation that fails

    // ---- the scheduler's own; others keep away ----
    InterruptSpinLock scheduling_lock; // orders wake-ups against one another
    union {                            // not initialised, so that a Thread can be constinit
        char no_node_ = 0;
        TreeNode run_queue_node;
    };
    u64 virtual_runtime = 0; // fair-class time, weighted nanoseconds
    u32 last_cpu = 0;
    bool must_migrate = false;       // set and cleared across one switch
    bool is_active = false;          // current on a CPU or in its tree; guarded by that run queue's lock
    std::atomic<bool> on_cpu{false}; // its stack is in use; a remote wake waits for this
};

/// Per-CPU data. `this_cpu()` is stable only while preemption is off.
struct Cpu : arch::CpuHeader {
    RunQueue* run_queue = nullptr;
    Thread* idle_thread = nullptr;
    std::atomic<bool> online{false};
    u32 interrupt_depth = 0;
    u64 interrupts = 0;
    u64 context_switches = 0;
    u64 user_ticks = 0;
    u64 idle_ticks = 0;             // system = since the CPU came up - user - idle
    std::atomic<u64> calls_from{0}; // CPUs whose cross-call waits here
    std::atomic<bool> must_reschedule{false};
    void* page_cache = nullptr;               // mm: per-CPU page lists
    void* slab_cache = nullptr;               // mm: per-CPU magazines
    void* address_space = nullptr;            // mm: the AddressSpace whose tables are loaded
    void* timer_queue = nullptr;              // core/timer
    std::atomic<void*> mapping_hint{nullptr}; // mm: the mapping of address_space that a fault found last
};

inline Thread& current_thread() { return static_cast<Thread&>(*arch::current_thread()); }
/// Only with preemption off.
inline Cpu& this_cpu() { return static_cast<Cpu&>(*arch::current_thread()->cpu); }
/// CPU numbers run from 0 to cpu_count()-1.
Cpu& cpu(u32 number);
u32 cpu_count();
/// Boot only: how many CPUs there are; numbers them.
void set_cpu_count(u32 count);
/// Bits of the CPUs that run threads.
u64 online_cpus();

inline void disable_preemption() {
    ++arch::current_thread()->preempt_count;
    std::atomic_signal_fence(std::memory_order_seq_cst);
}
/// May switch threads when a reschedule came meanwhile.
void enable_preemption();
/// Without the switch: for paths that are about to switch or enter user code themselves.
inline void enable_preemption_no_switch() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    --arch::current_thread()->preempt_count;
}

class PreemptionGuard {
public:
    PreemptionGuard() { disable_preemption(); }
    ~PreemptionGuard() { enable_preemption(); }
    PreemptionGuard(const PreemptionGuard&) = delete;
};

/// True where sleeping is allowed: interrupts on, preemption on, not in an interrupt.
bool may_sleep();
#ifdef LINNET_DEBUG
void assert_may_sleep(const char* file, int line);
#define MIGHT_SLEEP() ::linnet::core::assert_may_sleep(__FILE__, __LINE__)
#else
#define MIGHT_SLEEP() ((void)0)
#endif

} // namespace linnet::core
