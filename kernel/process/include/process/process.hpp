// Process: a thread group, the unit of wait, kill and limits; and the tree that processes form.
//
// Locks, outermost first:
//
//     tree_lock                    parent, children, group, session, exit state, wait; masks interrupts
//       Process::signal_lock       list of threads, pending signals, stop and exit requests; masks interrupts
//         SignalActions' lock, pid table lock, Thread::parts_lock, wait queues, run queues
//
// Neither is held while sleeping, copying from or to user memory, or dropping the last reference to anything.
#pragma once

#include <core/time.hpp>
#include <core/wait_queue.hpp>
#include <lib/function_ref.hpp>
#include <lib/own_ptr.hpp>
#include <process/rlimit.hpp>
#include <process/thread.hpp>

namespace linnet::vfs {
class File;
}

namespace linnet::process {

class ProcessGroup;
class Session;
class ProcessTimers;

extern core::InterruptSpinLock tree_lock;

/// What getrusage(2) sums, for threads and children that are gone.
struct ResourceUsage {
    core::CpuTimes times{};
    u64 minor_faults = 0;
    u64 major_faults = 0;
    u64 voluntary_switches = 0;
    u64 involuntary_switches = 0;
    u64 max_resident_pages = 0; // a maximum, not a sum
    void add(const ResourceUsage& other);
};

enum class ExitState : u8 { Alive, Zombie, Reaped };

class Process final : public RefCounted<Process> {
public:
    static Result<RefPtr<Process>> create(RefPtr<PidRecord> record, RefPtr<SignalActions> actions);
    ~Process();

    [[nodiscard]] Pid pid() const { return record->number(); }
    /// The leader; it stays (perhaps Dead) until the process is reaped, then null.
    NullableRefPtr<Thread> leader();
    /// The leader's credentials, also once the process has been reaped.
    RefPtr<const vfs::Credentials> credentials();
    /// Parent's pid, 0 for PID 1. Takes no lock.
    [[nodiscard]] Pid parent_pid() const { return parent_pid_.load(std::memory_order_relaxed); }
    /// Makes `now` (null: nobody) the parent; lists of children are the caller's. Under tree_lock.
    void set_parent_locked(Process* now) {
        parent = now;
        parent_pid_.store(now ? now->pid() : 0, std::memory_order_relaxed);
    }
    /// Null for PID 1 and for a process that has been reaped.
    NullableRefPtr<Process> parent_process();
    /// Null once reaped.
    NullableRefPtr<ProcessGroup> process_group();
    NullableRefPtr<Session> session();
    /// A living thread whose parts stand for the process (/proc/PID/maps when the leader is dead); null for a
    /// zombie.
    NullableRefPtr<Thread> any_living_thread();

    /// Calls `visit` for each thread, dead leader included, under signal_lock: no sleeping.
    void for_each_thread(FunctionRef<void(Thread&)> visit);
    /// The thread with the smallest tid that is at least `from`; to walk over them without holding a lock.
    NullableRefPtr<Thread> next_thread(Pid from);
    [[nodiscard]] u32 thread_count() const { return living_threads.load(std::memory_order_relaxed); }

    /// Of the process alone: threads alive and dead; and of its reaped children.
    ResourceUsage usage();
    ResourceUsage children_usage();

    /// The program's file (/proc/PID/exe), against whose writing it is protected (ETXTBSY); null for a
    /// zombie.
    NullableRefPtr<vfs::File> executable();
    /// Exchanges it; the caller settles the write protection of both.
    NullableRefPtr<vfs::File> exchange_executable(NullableRefPtr<vfs::File> fresh);
    /// Remembers the largest resident size an address space of this process had, before it goes.
    void note_peak(mm::AddressSpace& space);

    const RefPtr<PidRecord> record;
    ResourceLimits limits;

    // ---- tree_lock ----
    Pid parent_tid = 0;        // the thread that made it (PR_SET_PDEATHSIG, __WNOTHREAD)
    Process* parent = nullptr; // null only for PID 1 and once reaped; set_parent_locked() changes it
    std::atomic<Pid> parent_pid_{0};
    ListNode sibling_node;
    IntrusiveList<Process, &Process::sibling_node> children;
    IntrusiveList<Thread, &Thread::trace_node> tracees; // of all its threads (ptrace(2))
    NullableRefPtr<ProcessGroup> group;
    ListNode group_node;
    std::atomic<ExitState> exit_state{ExitState::Alive};
    int exit_status = 0; // as wait4(2) gives it
    int exit_signal = 0; // sent to the parent, 0 for none; SIGCHLD for a plain child
    bool is_child_subreaper = false;
    std::atomic<bool> has_used_privilege{false}; // one of its threads, as far as they have ended
    bool has_executed = false;                   // since fork: setpgid(2) by the parent is EACCES
    ResourceUsage reaped_usage;                  // of children waited for
    core::WaitQueue child_events;                // a child changed state; waited on by wait4

    // ---- signal_lock ----
    core::InterruptSpinLock signal_lock;
    IntrusiveList<Thread, &Thread::process_node> threads;
    NullableRefPtr<Thread> leader_;
    NullableRefPtr<SignalActions> actions; // changed only by execve
    SharedSignals signals;
    ResourceUsage dead_threads_usage;
    bool group_exiting = false; // every thread has work_exit or will have
    int group_exit_status = 0;
    Thread* exec_thread = nullptr; // execve in progress: it waits for the others to die
    core::WaitQueue thread_exit;   // a thread died or was waited for; waited on by execve
    u32 executing = 0;             // threads in execve: who would trace one waits
    core::WaitQueue executed;

    // A core dump (core_dump.cpp).
    std::atomic<Thread*> core_dumper{nullptr}; // the thread that writes one; written under signal_lock
    u32 core_dump_waits_for = 0;               // threads that have not come to their end yet
    core::WaitQueue core_dump_events;          // that has become 0; the dump is over

    // Job control, as wait4's WUNTRACED and WCONTINUED report it; signal_lock, written by process/signal.
    int stop_signal = 0;          // while stopped
    bool stop_reportable = false; // a stop nobody has waited for
    bool continue_reportable = false;

    NullableRefPtr<vfs::File> executable_;
    NullableRefPtr<const vfs::Credentials> last_credentials_; // of the leader, when it is gone
    std::atomic<u64> peak_resident_pages{0};                  // of address spaces that are gone

    std::atomic<i32> oom_score_adj{0};       // -1000 (never chosen) to 1000 (proc_pid_oom_score_adj(5))
    std::atomic<i32> oom_score_adj_floor{0}; // the least value it takes without CAP_SYS_RESOURCE
    std::atomic<u32> living_threads{0};
    /// Threads beside the leader that are dead, but not for their tracers, which have not waited for them yet; changes
    /// under signal_lock.
    std::atomic<u32> awaited_threads{0};
    u64 start_time_ns = 0;
    std::atomic<u32> executions{0};           // of execve: what was asked for by the program before is not this one's
    std::atomic<bool> awaits_cpu_time{false}; // CPU timers are set and none of its threads ran: look when one does
    std::atomic<bool> has_proc_names{false};  // somebody looked into /proc/PID: names are cached
    std::atomic<ProcessTimers*> timers{nullptr}; // setitimer(2), timer_create(2); made on first use, owned

    explicit Process(RefPtr<PidRecord> pid_record, RefPtr<SignalActions> signal_actions);
};

/// Starts the death of all threads with this wait status (exit_group(2), fatal signals). The first caller's
/// status counts; false when it had begun already. `_locked`: signal_lock held. Any context.
bool begin_group_exit(Process& process, int status);
bool begin_group_exit_locked(Process& process, int status);

/// The current thread dies now: run_loop edge, nothing on the kernel stack that must be unwound.
[[noreturn]] void exit_thread(int status);

/// Tells the parent about a stop or continue of `process` (SIGCHLD unless SA_NOCLDSTOP, wakes wait4):
/// CLD_STOPPED, CLD_CONTINUED, CLD_TRAPPED. tree_lock held.
void notify_parent_locked(Process& process, int code, int status);

/// Of one thread, up to now.
ResourceUsage usage_of(const Thread& thread);

/// The table of pids and the out-of-memory handler; boot, once, after the heap works.
void initialise();

/// PID 1 once it exists.
Process& init_process();
/// Processes and threads not yet reaped.
u32 process_count();
u32 thread_count();

/// Makes PID 1 run `path`; arguments and environment as given. Called by a kernel thread with the root file
/// system mounted.
Result<RefPtr<Process>> create_init(std::string_view path, std::span<const std::string_view> arguments,
                                    std::span<const std::string_view> environment);

} // namespace linnet::process
