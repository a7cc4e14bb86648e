// core::Thread: what the scheduler runs, and core::Cpu: where. process::Thread derives from Thread; kernel threads are
// Threads themselves.
#pragma once

#include <arch/cpu.hpp>
#include <core/run_clock.hpp>
#include <core/scheduling.hpp>
#include <core/spinlock.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/intrusive_tree.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>

namespace linnet::core {

class RunQueue;
class FairQueue;
struct Cpu;
struct Reservation;

/// Bits of ThreadHeader::pending_work: why a thread must not enter user code at once. One word, tested once.
enum PendingWork : u32 {
    work_reschedule = 1u << 0, // another thread should run
    work_signal = 1u << 1,     // a signal may be deliverable
    work_exit = 1u << 2,       // the thread must die
    work_notify = 1u << 3,     // task work queued by others
    work_single_step = 1u << 4,
    work_stop = 1u << 5,       // group stop or tracer stop requested
    work_cpu_timers = 1u << 6, // a CPU-time clock of the process may have reached a timer
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

/// A point of a fair queue's time, in nanoseconds weighted by nice value; only differences mean something.
struct VirtualTime {
    u64 value = 0;
    constexpr VirtualTime operator+(i64 ns) const { return {value + static_cast<u64>(ns)}; }
    constexpr i64 operator-(VirtualTime other) const { return static_cast<i64>(value - other.value); }
    constexpr bool operator==(const VirtualTime&) const = default;
    constexpr bool operator<(VirtualTime other) const { return *this - other < 0; }
};

/// What the fair class knows of a thread (core/fair_queue.hpp).
struct FairState {
    VirtualTime time;     // had so far; while active
    VirtualTime deadline; // of its slice
    i64 lag = 0;          // virtual time it was owed when it left, negative when it had had too much
    const FairQueue* left = nullptr;
    VirtualTime left_at; // that queue's time then
    u64 slice_ns = 0;    // what it asks for at a time; since it joined
    u32 weight = 0;      // as it counts in the queue
    bool is_due = false; // in which of the queue's trees it waits
};

/// Where the scheduler has a thread; guarded by the lock of its CPU's run queue.
enum class Place : u8 {
    Away,      // asleep, dead or on its way between queues
    Waiting,   // for the CPU
    Running,   // current on its CPU
    Throttled, // used up its reservation: a timer brings it back
};

class Thread : public arch::ThreadHeader {
public:
    constexpr Thread() {}
    virtual ~Thread() {
        if (reservation) discard_reservation();
    }
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

    /// Of a thread that never runs again (core/scheduling.cpp).
    void discard_reservation();

    std::atomic<ThreadState> state{ThreadState::Running};
    std::atomic<bool> interrupt_pending{false}; // owned by process/signal: set by interrupt(), cleared at the loop edge
    CpuMask affinity{~u64{0}};
    SchedulingAttributes scheduling; // changed by set_scheduling() and its like only; others read it as it is
    UserClock user_clock;            // ticks in user code
    RunClock run_clock;              // ticks on a CPU, kept by the scheduler; system = run - user
    u64 voluntary_switches = 0;
    u64 involuntary_switches = 0;
    u64 migrations = 0;                   // from one CPU's queue to another's
    std::atomic<u64> faults_in_copies{0}; // mm: of user memory that the kernel read or wrote for it
    std::atomic<bool> has_overrun{false}; // its reservation, and asked to be told; work_notify is set with it
    bool has_used_privilege = false;      // vfs: a capability made something possible (ASU of acct(5))
    bool allocations_may_fail = false;    // mm: fault injection concerns it; inherited
    bool is_reclaiming = false;           // mm: frees memory, so it waits for nobody else to
    bool stores_for_reclaim = false;      // mm: who frees memory may wait for it, so it waits for nobody who does
    bool asks_for_memory = false;         // mm: its caller asks the out-of-memory killer itself, or it is being asked
    u32 allocation_to_fail = 0;           // mm: counts down to the allocation that fails

    // ---- the scheduler's own; others keep away ----
    InterruptSpinLock scheduling_lock; // orders wake-ups and changes of attributes against one another
    union {                            // not initialised, so that a Thread can be constinit
        char no_node_ = 0;
        TreeNode run_queue_node;
    };
    ListNode realtime_node;
    FairState fair;
    Urgency inherited;                  // from those that wait for what this thread holds
    Urgency urgency;                    // the more urgent of its own and the inherited one
    u64 round_left_ns = 0;              // ROUND ROBIN: of its turn
    u64 realtime_run_ns = 0;            // in the real-time class since it last slept (RLIMIT_RTTIME)
    u64 realtime_alarm_ns = ~u64{0};    // at so much of that, work_notify is set
    Reservation* reservation = nullptr; // DEADLINE only; owned
    u64 waiting_since = 0;              // ticks; while it waits
    std::atomic<u64> waited_ticks{0};   // ready, but not running
    u32 last_cpu = 0;
    std::atomic<bool> must_migrate{false}; // from a switch's decision until it is in its new CPU's queue
    bool goes_last = false;                // ROUND ROBIN, yield: behind its equals
    Place place = Place::Away;
    std::atomic<bool> on_cpu{false}; // its stack is in use; a remote wake waits for this
};

/// What interrupts a CPU besides devices, counted by itself with interrupts off.
struct InterruptCounts {
    u64 timer = 0;
    u64 calls = 0;       // by another CPU, to run a function
    u64 reschedules = 0; // by another CPU, to look at its queue, its timer or its thread
    u64 expiries = 0;    // interrupts in which callbacks of timers ran
    u64 balances = 0;    // and in which it looked for a CPU with less to do
};

/// Per-CPU data. `this_cpu()` is stable only while preemption is off.
struct InterruptWork;

struct Cpu : arch::CpuHeader {
    RunQueue* run_queue = nullptr;
    Thread* idle_thread = nullptr;
    std::atomic<bool> online{false};
    u32 interrupt_depth = 0;
    u64* irq_counts = nullptr; // core/irq: how often each came to this CPU
    InterruptCounts interrupts;
    u64 context_switches = 0;
    u64 arrivals = 0;                // threads that came from other CPUs' queues
    std::atomic<u64> user_faults{0}; // page faults here: of user code, and in the kernel's copies
    std::atomic<u64> copy_faults{0};
    u64 user_ticks_of_others = 0;   // who ran here before, less what who runs had before; guarded by the queue's lock
    u64 idle_ticks = 0;             // system = since the CPU came up - user - idle
    std::atomic<u64> calls_from{0}; // CPUs whose cross-call waits here
    std::atomic<bool> must_reschedule{false};
    std::atomic<InterruptWork*> interrupt_work{nullptr}; // core/interrupt_work: put off until interrupts are taken
    void* page_cache = nullptr;                          // mm: per-CPU page lists
    void* slab_cache = nullptr;                          // mm: per-CPU magazines
    void* address_space = nullptr;                       // mm: the AddressSpace whose tables are loaded
    void* timer_queue = nullptr;                         // core/timer
    std::atomic<u64>* concurrency_ids = nullptr; // process: of the memory in which its thread has taken one, null: none
    u32 concurrency_id = 0;
    std::atomic<void*> mapping_hint{nullptr}; // mm: the mapping of address_space that a fault found last
};

inline Thread& current_thread() { return static_cast<Thread&>(*arch::current_thread()); }
/// Only with preemption off.
inline Cpu& this_cpu() { return static_cast<Cpu&>(*arch::current_thread()->cpu); }
/// The lowest number that no other CPU has which runs threads of the same memory (`used`: those taken); it stays this
/// CPU's until another memory or none is in use on it. Interrupts off, on that CPU.
inline u32 take_concurrency_id(Cpu& cpu, std::atomic<u64>& used);
/// Gives it back, if one has been taken. Interrupts off, on that CPU.
inline void release_concurrency_id(Cpu& cpu) {
    if (!cpu.concurrency_ids) return;
    cpu.concurrency_ids->fetch_and(~(u64{1} << cpu.concurrency_id), std::memory_order_release);
    cpu.concurrency_ids = nullptr;
}
inline u32 take_concurrency_id(Cpu& cpu, std::atomic<u64>& used) {
    if (cpu.concurrency_ids == &used) return cpu.concurrency_id;
    release_concurrency_id(cpu);
    u64 before = used.load(std::memory_order_relaxed);
    // There are as many ids as there can be CPUs.
    while (!used.compare_exchange_weak(before, before | (before + 1), std::memory_order_acquire)) {
    }
    cpu.concurrency_ids = &used;
    return cpu.concurrency_id = static_cast<u32>(std::countr_one(before));
}
/// CPU numbers run from 0 to cpu_count()-1.
Cpu& cpu(u32 number);
u32 cpu_count();
/// Boot only: how many CPUs there are; numbers them.
void set_cpu_count(u32 count);
/// Bits of the CPUs that run threads.
u64 online_cpus();
/// The CPU runs threads from now on.
void set_online(Cpu& cpu);

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
