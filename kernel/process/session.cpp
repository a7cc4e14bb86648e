// Process groups and sessions: membership, orphaned groups, setsid and setpgid.
//
// Everything here is under tree_lock; a group lives as long as it has members, a session as long as it has
// groups.
#include <process/session.hpp>

namespace linnet::process {

Result<RefPtr<Session>> Session::create(RefPtr<PidRecord> record) {
    auto* made = new (std::nothrow) Session(std::move(record));
    if (!made) return error(Errno::ENOMEM);
    return adopt_ref(*made);
}

Session::~Session() { record_->forget_session(*this); }

NullableRefPtr<ControllingTerminal> Session::terminal() {
    core::InterruptSpinGuard guard(tree_lock);
    return terminal_;
}

void Session::set_terminal(NullableRefPtr<ControllingTerminal> fresh) {
    core::InterruptSpinGuard guard(tree_lock);
    std::swap(terminal_, fresh);
    guard.unlock(); // the old one is released without the lock
}

Result<RefPtr<ProcessGroup>> ProcessGroup::create(RefPtr<PidRecord> record, RefPtr<Session> session) {
    auto* made = new (std::nothrow) ProcessGroup(std::move(record), std::move(session));
    if (!made) return error(Errno::ENOMEM);
    return adopt_ref(*made);
}

ProcessGroup::~ProcessGroup() { record_->forget_group(*this); }

void ProcessGroup::for_each_member(FunctionRef<void(Process&)> visit) {
    core::InterruptSpinGuard guard(tree_lock);
    for (Process& process : members) visit(process);
}

bool ProcessGroup::is_orphaned() {
    core::InterruptSpinGuard guard(tree_lock);
    return is_orphaned_locked();
}

bool ProcessGroup::is_orphaned_locked(const Process* ignored) {
    for (Process& process : members) {
        if (&process == ignored || process.exit_state.load() != ExitState::Alive) continue;
        Process* parent = process.parent;
        if (!parent || parent->parent == nullptr || !parent->group) continue; // PID 1 does no job control for others
        if (parent->group.get() != this && &parent->group->session() == session_.get()) return false;
    }
    return true;
}

Result<Pid> create_session(Process& process) {
    // What must be allocated is made first; both stay unknown until the process is in them.
    RefPtr<PidRecord> record = process.record;
    RefPtr<Session> session = TRY(Session::create(record));
    RefPtr<ProcessGroup> group = TRY(ProcessGroup::create(record, session));
    NullableRefPtr<ProcessGroup> old(group);
    NullableRefPtr<ProcessGroup> of_same_number;
    core::InterruptSpinGuard guard(tree_lock);
    of_same_number = record->group();
    if (of_same_number) return error(Errno::EPERM);
    session->publish();
    group->publish();
    process.group_node.unlink();
    std::swap(process.group, old);
    group->members.push_back(process);
    guard.unlock();
    return process.pid();
}

namespace {

/// setpgid(2)'s conditions on who may move whom. tree_lock held.
Result<void> may_set_group_locked(Process& caller, Process& process) {
    if (process.exit_state.load() != ExitState::Alive) return error(Errno::ESRCH);
    if (&process != &caller) {
        if (process.parent != &caller) return error(Errno::ESRCH);
        if (!process.group || &process.group->session() != &caller.group->session()) return error(Errno::EPERM);
        if (process.has_executed) return error(Errno::EACCES);
    }
    if (process.group->session().is_leader(process)) return error(Errno::EPERM);
    return {};
}

} // namespace

Result<void> set_process_group(Process& process, Pid pgid) {
    Process& caller = current().process();
    if (pgid < 0) return error(Errno::EINVAL);
    NullableRefPtr<Session> session;
    {
        core::InterruptSpinGuard guard(tree_lock);
        TRY(may_set_group_locked(caller, process));
        session = NullableRefPtr<Session>(&process.group->session());
    }
    // A group of the process's own is made in advance; whether there is one already is known under the lock, where
    // parent and child, who both call this after a fork, come one after the other.
    const bool wants_own = pgid == 0 || pgid == process.pid();
    NullableRefPtr<ProcessGroup> fresh, target, old;
    if (wants_own) fresh = TRY(ProcessGroup::create(process.record, RefPtr<Session>(session)));
    core::InterruptSpinGuard guard(tree_lock);
    TRY(may_set_group_locked(caller, process));
    target = wants_own ? process.record->group() : find_group(pgid);
    const bool is_new = wants_own && !target;
    if (is_new) target = fresh;
    if (!target || &target->session() != &process.group->session()) return error(Errno::EPERM);
    if (is_new)
        target->publish();
    else if (target->members.is_empty())
        return error(Errno::EPERM);
    process.group_node.unlink();
    old = target;
    std::swap(process.group, old);
    target->members.push_back(process);
    guard.unlock();
    return {};
}

} // namespace linnet::process
