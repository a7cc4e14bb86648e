// wait4(2), waitid(2): finding a child that changed state, and reaping it.
//
// Lock: tree_lock while looking through the children; the claim (exit_state from Zombie to Reaped) is made
// under it, so that of several waiters one gets each child.
#include <abi/linux/wait.hpp>
#include <process/session.hpp>
#include <process/tracepoints.hpp>
#include <process/wait.hpp>
#include <vfs/credentials.hpp>

#include "internal.hpp"
#include "ptrace/relation.hpp"

namespace linnet::process {
namespace {
using namespace abi;

bool is_named(const WaitRequest& request, const Process& process, const PidRecord& record) {
    switch (request.id_type) {
    case P_PID:
        return record.number() == request.id;
    case P_PIDFD:
        return &record == request.record.get();
    case P_PGID:
        return process.group && process.group->pgid() == request.id;
    default:
        return true;
    }
}

/// Of its kind, or whatever its kind is because it is a tracee.
bool is_wanted(const WaitRequest& request, Process& child, const Thread& waiter, bool is_own_tracee) {
    if (!is_named(request, child, *child.record)) return false;
    if ((request.options & WNOTHREAD) && child.parent_tid != waiter.tid()) return false;
    if (is_own_tracee || (request.options & WALL)) return true;
    bool is_clone_child = child.exit_signal != SIGCHLD;
    return is_clone_child == ((request.options & WCLONE) != 0);
}

/// Of a process and the children that it has waited for.
ResourceUsage usage_of_all(Process& child) {
    ResourceUsage usage = child.usage();
    usage.add(child.reaped_usage);
    return usage;
}

void fill(const WaitRequest& request, WaitOutcome& outcome, Process& child, int wait_status) {
    WaitStatus status = decode_wait_status(wait_status);
    outcome.pid = child.pid();
    outcome.wait_status = wait_status;
    outcome.code = status.code;
    outcome.status = status.value;
    if (!request.wants_details) return;
    outcome.usage = usage_of_all(child);
    outcome.uid = child.credentials()->uid;
}

/// A stop or continue of a living child that the waiter wants and nobody has reported.
bool take_job_event(const WaitRequest& request, Process& child, WaitOutcome& outcome) {
    core::InterruptSpinGuard guard(child.signal_lock);
    bool keep = request.options & WNOWAIT;
    if ((request.options & WSTOPPED) && child.stop_reportable && child.stop_signal != 0) {
        if (!keep) child.stop_reportable = false;
        int status = (child.stop_signal << 8) | 0x7f;
        guard.unlock();
        fill(request, outcome, child, status);
        return true;
    }
    if ((request.options & WCONTINUED) && child.continue_reportable) {
        if (!keep) child.continue_reportable = false;
        guard.unlock();
        fill(request, outcome, child, 0xffff);
        return true;
    }
    return false;
}

// ---- tracees (ptrace(2)) ----

/// A stop that the tracer has not been told of.
bool take_trace_stop(const WaitRequest& request, Thread& tracee, WaitOutcome& outcome) {
    int code;
    {
        core::InterruptSpinGuard guard(tracee.process().signal_lock);
        if (!tracee.trace.is_reportable) return false;
        code = tracee.trace.code;
        if (!(request.options & WNOWAIT)) tracee.trace.is_reportable = false;
    }
    fill(request, outcome, tracee.process(), code << 8 | 0x7f);
    outcome.pid = tracee.tid();
    outcome.code = CLD_TRAPPED;
    outcome.status = code;
    return true;
}

/// Other threads of a process are waited for before its leader, whose end is the process's.
bool is_last_tracee(Process& tracers, Thread& tracee) {
    for (Thread& other : tracers.tracees)
        if (&other != &tracee && &other.process() == &tracee.process()) return false;
    return true;
}

bool take_trace_exit(const WaitRequest& request, Process& tracers, Thread& tracee, WaitOutcome& outcome) {
    if (!(request.options & WEXITED) || !tracee.is_dead()) return false;
    Process& process = tracee.process();
    const bool is_leader = process.leader_ == &tracee;
    if (is_leader && (process.exit_state.load() != ExitState::Zombie || !is_last_tracee(tracers, tracee))) return false;
    fill(request, outcome, process, is_leader ? process.exit_status : tracee.exit_status);
    outcome.pid = tracee.tid();
    return true;
}

enum class Search : u8 { Found, NotYet, NoChild };

/// Whom a wait is over for: to be given up without locks.
using Found = ptrace_detail::Untraced;

/// tree_lock held. A child that its parent traces is a tracee first, and its end that of a child.
Search look_at_tracees(Thread& waiter, const WaitRequest& request, WaitOutcome& outcome, Found& found) {
    Process& tracers = waiter.process();
    bool any = false;
    for (Thread& tracee : tracers.tracees) {
        if ((request.options & WNOTHREAD) && tracee.trace.tracer != &waiter) continue;
        Process& process = tracee.process();
        if (!is_named(request, process, *tracee.record)) continue;
        any = true;
        if (take_trace_stop(request, tracee, outcome)) return Search::Found;
        if (process.leader_ == &tracee && process.parent == &tracers) continue;
        if (!take_trace_exit(request, tracers, tracee, outcome)) continue;
        if (!(request.options & WNOWAIT)) found = ptrace_detail::untrace_and_tell_parent_locked(tracee);
        return Search::Found;
    }
    return any ? Search::NotYet : Search::NoChild;
}

/// Of the process itself; not yet while its tracer has one of its threads to wait for.
bool can_reap(Process& parent, Process& child) {
    if (is_traced_by_other_locked(child)) return false;
    Thread* leader = child.leader_.get();
    return !leader || !leader->trace.tracer || is_last_tracee(parent, *leader);
}

Search look(Thread& waiter, const WaitRequest& request, WaitOutcome& outcome, Found& found) {
    Process& parent = waiter.process();
    core::InterruptSpinGuard guard(tree_lock);
    bool any = false;
    if (!parent.tracees.is_empty()) {
        const Search tracees = look_at_tracees(waiter, request, outcome, found);
        if (tracees == Search::Found) return tracees;
        any = tracees == Search::NotYet;
    }
    for (Process& child : parent.children) {
        const bool is_own_tracee = child.leader_ && child.leader_->trace.tracer && !is_traced_by_other_locked(child);
        if (!is_wanted(request, child, waiter, is_own_tracee)) continue;
        any = true;
        if (child.exit_state.load() == ExitState::Zombie) {
            if (!(request.options & WEXITED) || !can_reap(parent, child)) continue;
            fill(request, outcome, child, child.exit_status);
            if (!(request.options & WNOWAIT)) {
                // getrusage(2): RUSAGE_CHILDREN are those that were waited for, and theirs.
                parent.reaped_usage.add(request.wants_details ? outcome.usage : usage_of_all(child));
                child.exit_state = ExitState::Reaped;
                unlink_process_locked(child);
                found.reaped = NullableRefPtr<Process>::adopt(&child); // the reference that being a child was
            }
            return Search::Found;
        }
        if (!is_own_tracee && take_job_event(request, child, outcome)) return Search::Found;
    }
    return any ? Search::NotYet : Search::NoChild;
}

} // namespace

WaitStatus decode_wait_status(int status) {
    if (status == 0xffff) return {CLD_CONTINUED, SIGCONT};
    if ((status & 0xff) == 0x7f) return {CLD_STOPPED, (status >> 8) & 0xff};
    if ((status & 0x7f) == 0) return {CLD_EXITED, (status >> 8) & 0xff};
    return {(status & 0x80) ? CLD_DUMPED : CLD_KILLED, status & 0x7f};
}

Result<WaitOutcome> wait_for_child(Thread& waiter, const WaitRequest& request) {
    tracepoints::wait(request.id_type == P_PID ? request.id : 0);
    WaitOutcome outcome;
    Found over;
    Search found = Search::NotYet;
    auto attempt = [&] { return (found = look(waiter, request, outcome, over)) != Search::NotYet; };
    core::WaitResult result = core::WaitResult::Ready;
    if (request.options & WNOHANG)
        attempt();
    else
        result = core::wait_until(waiter.process().child_events, core::Sleep::Interruptible, core::Deadline::never(),
                                  attempt);
    if (over.reaped) release_process(RefPtr<Process>(std::move(over.reaped)));
    if (found == Search::NoChild) return error(Errno::ECHILD);
    if (result == core::WaitResult::Interrupted) return error(Errno::RestartIfRequested);
    return outcome;
}

} // namespace linnet::process
