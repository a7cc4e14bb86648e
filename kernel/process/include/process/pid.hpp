// Pids: one number space for threads, processes, process groups and sessions (credentials(7), "Process ID").
//
// A PidRecord is one number in use. The number is free again once no object bears it any more (a group may outlive
// its leader); the record lives on while somebody like a pidfd remembers it, and never means a later bearer. Which
// objects bear the number is guarded by the table's lock, a leaf lock that masks interrupts:
//
//     tree_lock                     relations between processes (process.hpp)
//       Process::signal_lock        threads of one process, pending signals
//         pid table lock            number -> PidRecord -> objects
#pragma once

#include <lib/function_ref.hpp>
#include <lib/intrusive_tree.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>
#include <vfs/event_source.hpp>
#include <vfs/identity.hpp>

namespace linnet::process {

class Thread;
class Process;
class ProcessGroup;
class Session;

using Pid = i32;
/// Numbers run from 1 to pid_limit() - 1; after a wrap they start again at reserved_pids.
inline constexpr Pid highest_pid_limit = 4194304;
inline constexpr Pid reserved_pids = 300;

class PidRecord final : public RefCounted<PidRecord>, public vfs::ProcessIdentity {
public:
    // As what rooms below remember of a process.
    void ref() const override { RefCounted<PidRecord>::ref(); }
    void unref() const override { RefCounted<PidRecord>::unref(); }
    i32 process_number() const override { return number_; }
    Result<RefPtr<vfs::File>> open_pidfd(u32 flags) override;

    /// Takes the next free number. EAGAIN: none left; ENOMEM.
    static Result<RefPtr<PidRecord>> allocate();
    /// Takes exactly `pid` (clone3's set_tid; 0 is the group and session of PID 1). EEXIST.
    static Result<RefPtr<PidRecord>> allocate_exactly(Pid pid);

    [[nodiscard]] Pid number() const { return number_; }
    NullableRefPtr<Thread> thread();
    NullableRefPtr<Process> process();
    NullableRefPtr<ProcessGroup> group();
    NullableRefPtr<Session> session();

    /// Makes (or, with null, unmakes) the object findable under this number.
    void set_thread(Thread* thread);
    void set_process(Process* process);
    void set_group(ProcessGroup* group);
    void set_session(Session* session);
    /// Makes them unfindable, unless another of that number has taken their place meanwhile.
    void forget_group(const ProcessGroup& group);
    void forget_session(const Session& session);

    void last_reference_dropped();

    /// Notified when the process of this number becomes a zombie; what a pidfd polls on.
    vfs::EventSource exit_events;

    TreeNode tree_node;
    struct NumberOf {
        using type = Pid;
        const Pid& operator()(const PidRecord& record) const { return record.number_; }
    };

private:
    explicit PidRecord(Pid number) : number_(number) {}
    friend class PidTable;
    friend NullableRefPtr<Thread> find_thread(Pid);
    friend NullableRefPtr<Process> find_process(Pid);
    friend NullableRefPtr<ProcessGroup> find_group(Pid);
    friend NullableRefPtr<Session> find_session(Pid);
    friend NullableRefPtr<Process> next_process(Pid);
    void free_unless_borne_locked();
    Pid number_;
    bool is_listed_ = false;   // in the table
    Thread* thread_ = nullptr; // no references: each object withdraws itself before it dies
    Process* process_ = nullptr;
    ProcessGroup* group_ = nullptr;
    Session* session_ = nullptr;
};

/// Look-ups; null when there is none. A zombie is still found until it is reaped.
NullableRefPtr<PidRecord> find_pid(Pid number);
NullableRefPtr<Thread> find_thread(Pid tid);
NullableRefPtr<Process> find_process(Pid pid);
NullableRefPtr<ProcessGroup> find_group(Pid pgid);
NullableRefPtr<Session> find_session(Pid sid);

/// The process with the smallest pid that is at least `from`; for walking over all of them without holding a
/// lock.
NullableRefPtr<Process> next_process(Pid from);

/// Creates the empty table; called by process::initialise().
void initialise_pids();
/// /proc/sys/kernel/pid_max: 32768 until somebody sets it (ps(1) sizes its columns by it). EINVAL outside 301
/// … 4194304.
Pid pid_limit();
Result<void> set_pid_limit(Pid limit);
/// How many numbers have been given since boot (/proc/stat's "processes").
u64 pids_given();
/// The number that was given last (/proc/loadavg's fifth field).
Pid last_pid();

} // namespace linnet::process
