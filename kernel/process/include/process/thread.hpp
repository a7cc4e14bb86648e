// process::Thread: a Linux task. Its parts (memory, descriptors, directory context) are reference-counted
// objects that clone(2) shares or copies one by one; what all threads of a process share is in Process.
//
// A thread changes its own parts; others read them through the accessors, which take `parts_lock`, a leaf
// lock. Fields without a word about locking belong to the thread itself.
//
// Life: created by clone, findable by its tid; exit_thread() (run_loop edge, empty kernel stack) gives back
// all parts; the scheduler's final switch drops the reference that the running thread held. The Thread of a
// process's leader stays, Dead, as long as the process is not reaped.
#pragma once

#include <abi/linux/prctl.hpp>
#include <arch/user_context.hpp>
#include <core/thread.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/ref_ptr.hpp>
#include <mm/memory_policy.hpp>
#include <process/observer.hpp>
#include <process/pi_state.hpp>
#include <process/pid.hpp>
#include <process/signal.hpp>
#include <process/trace_state.hpp>

namespace linnet::mm {
class AddressSpace;
}
namespace linnet::vfs {
class FdTable;
class FsContext;
class Credentials;
} // namespace linnet::vfs

namespace linnet::process {

class SemaphoreUndo;
class ThreadProbes;
class UserAccount;

/// How an interrupted call goes on after a stop or a signal without handler (restart class RestartBlock):
/// restart_syscall(2) calls `resume`, which finds in `data` what it saved.
struct RestartBlock {
    Result<long> (*resume)(Thread&) = nullptr;
    u64 data[6] = {};
};

/// The area registered with rseq(2); size 0 when there is none.
struct RseqArea {
    static constexpr u32 nothing = ~u32{0};
    VirtAddr address{};
    u32 size = 0;
    u32 signature = 0;
    u32 stored_cpu = nothing, stored_id = nothing; // what the area says: storing the same again is left out

    [[nodiscard]] bool says(u32 cpu, u32 id) const { return stored_cpu == cpu && stored_id == id; }
};

class Thread final : public core::Thread, public RefCounted<Thread> {
public:
    static constexpr usize name_size = 16; // with the NUL

    /// A thread with a kernel stack and a register context, not yet in a process.
    static Result<RefPtr<Thread>> create(RefPtr<PidRecord> record);
    ~Thread() override;

    [[nodiscard]] Pid tid() const { return record->number(); }
    [[nodiscard]] Process& process() const { return *process_; }
    [[nodiscard]] bool is_leader() const;
    /// Dead threads stay findable until their process is reaped when they led it.
    [[nodiscard]] bool is_dead() const { return exited.load(std::memory_order_acquire); }

    // ---- core::Thread ----
    void on_switched_in(core::Cpu& cpu) override;
    void on_final_switch() override;
    void run() override; // run_loop.cpp
    bool has_fatal_signal() const override { return pending_work.load(std::memory_order_relaxed) & core::work_exit; }
    std::string_view name() const override;

    // ---- parts, as others may read them; null once the thread has exited (mm also for none) ----
    NullableRefPtr<mm::AddressSpace> address_space();
    NullableRefPtr<vfs::FdTable> files();
    NullableRefPtr<vfs::FsContext> fs();
    RefPtr<const vfs::Credentials> credentials();
    [[nodiscard]] bool uses(const vfs::FsContext& directory) const;
    /// set_mempolicy(2).
    [[nodiscard]] mm::MemoryPolicy memory_policy() const;
    void set_memory_policy(const mm::MemoryPolicy& policy);
    /// Copies the name (comm) with its NUL.
    void copy_name(std::span<char, name_size> out);

    // ---- the current thread on itself ----
    mm::AddressSpace& own_address_space() { return *address_space_; }
    vfs::FdTable& own_files() { return *files_; }
    vfs::FsContext& own_fs() { return *fs_; }
    const vfs::Credentials& own_credentials() const { return *credentials_; }
    void set_credentials(RefPtr<const vfs::Credentials> credentials);
    void set_name(std::string_view name);
    /// Exchanges a part, giving back the old one so that it is released without the lock.
    NullableRefPtr<mm::AddressSpace> exchange_address_space(NullableRefPtr<mm::AddressSpace> fresh);
    NullableRefPtr<vfs::FdTable> exchange_files(NullableRefPtr<vfs::FdTable> fresh);
    NullableRefPtr<vfs::FsContext> exchange_fs(NullableRefPtr<vfs::FsContext> fresh);
    /// Before it runs: uses the maker's directory context. EAGAIN: a task that uses it executes a program.
    Result<void> share_fs(Thread& maker);
    /// What semop(2) takes back at the end; made at the first use. ENOMEM.
    Result<SemaphoreUndo*> own_semaphore_undo();
    /// Gives it up: whoever shares it last makes it happen.
    void drop_semaphore_undo();
    /// Which one it is, for comparing (kcmp(2)); null before the first use.
    [[nodiscard]] const void* semaphore_undo_identity() const;

    /// Times in counter ticks, exact up to now, also for a running thread.
    [[nodiscard]] core::CpuTimes cpu_times() const;

    arch::UserContext registers;
    RefPtr<PidRecord> record; // changed only when another thread of the process takes over the leader's id
    ListNode process_node;    // in Process::threads; guarded by signal_lock
    SignalState signals;      // pending: signal_lock
    RestartBlock restart;
    TraceState trace;
    ListNode trace_node; // in the tracees of the tracer's process, which is a reference; tree_lock

    std::atomic<bool> exited{false};
    int exit_status = 0;             // wait status, once the thread dies by itself
    int parent_death_signal = 0;     // PR_SET_PDEATHSIG; tree_lock
    bool gave_children_away = false; // it dies: no child becomes its; tree_lock
    /// What a core dump has to know of a dying thread. signal_lock.
    enum class DumpState : u8 { Running, Waiting, Past } dump_state = DumpState::Running;

    VirtAddr set_child_tid{};   // where a new thread stores its tid first of all (CLONE_CHILD_SETTID)
    VirtAddr clear_child_tid{}; // set_tid_address(2)
    VirtAddr robust_list{};     // get_robust_list(2)
    PiState pi;
    RseqArea rseq;
    ThreadProbes* probes = nullptr;                 // of a thread that came to one; owned
    bool in_call = false;                           // it came into the kernel by a system call, and has not left again
    std::atomic<ThreadObserver*> observer{nullptr}; // set at most once; owned
    std::atomic<core::WaitQueue*> vfork_done{nullptr}; // while a parent waits for exec or exit; set under tree_lock

    u32 personality = 0;
    static constexpr u32 no_login = ~0u;
    std::atomic<u32> login_user{no_login}, login_session{no_login}; // /proc/PID/loginuid, sessionid
    std::atomic<bool> no_new_privileges{false};
    u16 io_priority = 0;
    u8 broken_memory_policy = abi::PR_MCE_KILL_DEFAULT; // PR_MCE_KILL; kept, for no memory is reported as broken
    bool is_io_flusher = false;                         // PR_SET_IO_FLUSHER; no allocation of anybody's waits for I/O
    u64 timer_slack_ns = 50'000;
    u64 default_timer_slack_ns = 50'000;
    u64 start_time_ns = 0;            // monotonic
    std::atomic<u64> minor_faults{0}; // of user code
    std::atomic<u64> major_faults{0};
    std::atomic<u64> read_bytes{0}; // /proc/PID/io
    std::atomic<u64> written_bytes{0};

    // ---- process room only ----
    explicit Thread(RefPtr<PidRecord> pid_record);
    NullableRefPtr<Process> process_;
    mutable core::InterruptSpinLock parts_lock; // taken under locks that interrupt handlers take
    NullableRefPtr<mm::AddressSpace> address_space_;
    NullableRefPtr<vfs::FdTable> files_;
    NullableRefPtr<vfs::FsContext> fs_;
    mm::MemoryPolicy memory_policy_;
    NullableRefPtr<const vfs::Credentials> credentials_;
    NullableRefPtr<SemaphoreUndo> semaphore_undo_; // no reference but those of the threads that share it
    NullableRefPtr<UserAccount> account;           // of the real user id
    char name_[name_size] = {};
};

/// The thread that runs; only where a user thread does (system calls, faults of user code).
inline Thread& current() { return static_cast<Thread&>(core::current_thread()); }
/// The same, or null in a kernel thread.
inline Thread* current_or_null() { return arch::current_thread()->user_context ? &current() : nullptr; }

} // namespace linnet::process
