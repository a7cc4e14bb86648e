// wait4(2), waitid(2): finding a child that changed state, and reaping it.
//
// Lock: tree_lock while looking through the children; the claim (exit_state from Zombie to Reaped) is made
// under it, so that of several waiters one gets each child.
#include <abi/linux/wait.hpp>
#include <process/session.hpp>
#include <process/wait.hpp>
#include <vfs/credentials.hpp>

#include "internal.hpp"

namespace linnet::process {
namespace {
using namespace abi;

bool is_wanted(const WaitRequest& request, Process& child, const Thread& waiter) {
    switch (request.id_type) {
    case P_PID:
        if (child.pid() != request.id) return false;
        break;
    case P_PIDFD:
        if (child.record.get() != request.record.get()) return false;
        break;
    case P_PGID:
        if (!child.group || child.group->pgid() != request.id) return false;
        break;
    default:
        break;
    }
    if ((request.options & WNOTHREAD) && child.parent_tid != waiter.tid()) return false;
    if (request.options & WALL) return true;
    bool is_clone_child = child.exit_signal != SIGCHLD;
    return is_clone_child == ((request.options & WCLONE) != 0);
}

void fill(WaitOutcome& outcome, Process& child, int wait_status) {
    WaitStatus status = decode_wait_status(wait_status);
    outcome.pid = child.pid();
    outcome.wait_status = wait_status;
    outcome.code = status.code;
    outcome.status = status.value;
    outcome.usage = child.usage();
    outcome.usage.add(child.reaped_usage);
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
        fill(outcome, child, status);
        return true;
    }
    if ((request.options & WCONTINUED) && child.continue_reportable) {
        if (!keep) child.continue_reportable = false;
        guard.unlock();
        fill(outcome, child, 0xffff);
        return true;
    }
    return false;
}

enum class Search : u8 { Found, NotYet, NoChild };

Search look(Thread& waiter, const WaitRequest& request, WaitOutcome& outcome, NullableRefPtr<Process>& reaped) {
    Process& parent = waiter.process();
    bool any = false;
    core::InterruptSpinGuard guard(tree_lock);
    for (Process& child : parent.children) {
        if (!is_wanted(request, child, waiter)) continue;
        any = true;
        if (child.exit_state.load() == ExitState::Zombie) {
            if (!(request.options & WEXITED)) continue;
            fill(outcome, child, child.exit_status);
            if (!(request.options & WNOWAIT)) {
                // getrusage(2): RUSAGE_CHILDREN are those that were waited for, and theirs.
                parent.reaped_usage.add(outcome.usage);
                child.exit_state = ExitState::Reaped;
                unlink_process_locked(child);
                reaped = NullableRefPtr<Process>::adopt(&child); // the reference that being a child was
            }
            return Search::Found;
        }
        if (take_job_event(request, child, outcome)) return Search::Found;
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
    WaitOutcome outcome;
    NullableRefPtr<Process> reaped;
    Search found = Search::NotYet;
    auto attempt = [&] { return (found = look(waiter, request, outcome, reaped)) != Search::NotYet; };
    core::WaitResult result = core::WaitResult::Ready;
    if (request.options & WNOHANG)
        attempt();
    else
        result = core::wait_until(waiter.process().child_events, core::Sleep::Interruptible, core::Deadline::never(),
                                  attempt);
    if (reaped) release_process(RefPtr<Process>(std::move(reaped)));
    if (found == Search::NoChild) return error(Errno::ECHILD);
    if (result == core::WaitResult::Interrupted) return error(Errno::RestartIfRequested);
    return outcome;
}

} // namespace linnet::process
