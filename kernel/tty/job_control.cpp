// What a terminal means to sessions and process groups (credentials(7), ioctl_tty(2), POSIX chapter 11.1).
#include <abi/linux/signal.hpp>
#include <process/process.hpp>
#include <process/signal.hpp>
#include <tty/terminal.hpp>
#include <vfs/credentials.hpp>
#include <vfs/current.hpp>

namespace linnet::tty {

using process::ProcessGroup;
using process::Session;

namespace {

process::Process& current_process() { return process::current().process(); }

bool leads_its_session(process::Process& process) {
    NullableRefPtr<Session> session = process.session();
    return session && session->sid() == process.pid();
}

bool ignores(process::Thread& thread, int signo) {
    if (thread.signals.blocked.has(signo)) return true;
    return thread.process().actions->get(signo).handler == abi::SIG_IGN;
}

} // namespace

NullableRefPtr<ProcessGroup> Terminal::foreground() const {
    core::SpinGuard guard(control_lock_);
    return foreground_;
}

void Terminal::signal_foreground(int signo) {
    if (NullableRefPtr<ProcessGroup> group = foreground()) process::send_kernel_signal(*group, signo);
}

process::Pid Terminal::foreground_group() const {
    core::SpinGuard guard(control_lock_);
    return foreground_ ? foreground_->pgid() : 0;
}

bool Terminal::controls_current() const {
    NullableRefPtr<Session> session = current_process().session();
    core::SpinGuard guard(control_lock_);
    return session && session_.get() == session.get();
}

Result<void> Terminal::check_foreground(int signo) {
    if (!controls_current()) return {};
    NullableRefPtr<ProcessGroup> mine = current_process().process_group();
    NullableRefPtr<ProcessGroup> front = foreground();
    if (!front || !mine || front.get() == mine.get()) return {};
    if (ignores(process::current(), signo)) {
        // Reading can't be allowed to somebody who ignores the stop; writing can.
        if (signo == abi::SIGTTIN) return error(Errno::EIO);
        return {};
    }
    if (mine->is_orphaned()) return error(Errno::EIO);
    process::send_kernel_signal(*mine, signo);
    return error(Errno::RestartIfRequested);
}

NullableRefPtr<ProcessGroup> Terminal::detach_session() {
    NullableRefPtr<Session> session;
    NullableRefPtr<ProcessGroup> group;
    {
        core::SpinGuard guard(control_lock_);
        std::swap(session, session_);
        std::swap(group, foreground_);
    }
    if (session) session->set_terminal(nullptr);
    return group;
}

Result<void> Terminal::become_controlling(Taking taking) {
    process::Process& process = current_process();
    NullableRefPtr<Session> session = process.session();
    if (leads_its_session(process) && controls_current()) return {};
    if (!leads_its_session(process) || session->terminal()) return error(Errno::EPERM);
    NullableRefPtr<Session> owner;
    {
        core::SpinGuard guard(control_lock_);
        owner = session_;
    }
    if (owner) {
        if (taking != Taking::Steal || !vfs::current_credentials().has(vfs::Capability::SysAdmin))
            return error(Errno::EPERM);
        detach_session();
    }
    NullableRefPtr<ProcessGroup> group = process.process_group();
    {
        core::SpinGuard guard(control_lock_);
        if (session_) return error(Errno::EPERM);
        session_ = session;
        std::swap(foreground_, group);
    }
    session->set_terminal(NullableRefPtr<process::ControllingTerminal>(this));
    return {};
}

void Terminal::become_controlling_if_free() { (void)become_controlling(Taking::IfFree); }

Result<void> Terminal::release_controlling() {
    if (!controls_current()) return error(Errno::ENOTTY);
    // Linux lets a single process forget its terminal; here it belongs to the session, which only its leader
    // may part from it.
    if (!leads_its_session(current_process())) return error(Errno::EPERM);
    if (NullableRefPtr<ProcessGroup> group = detach_session()) {
        process::send_kernel_signal(*group, abi::SIGHUP);
        process::send_kernel_signal(*group, abi::SIGCONT);
    }
    return {};
}

void Terminal::session_leader_exited(Session& session) {
    {
        core::SpinGuard guard(control_lock_);
        if (session_.get() != &session) return;
    }
    if (!driver_.is_pty()) return hang_up();
    if (NullableRefPtr<ProcessGroup> group = detach_session()) process::send_kernel_signal(*group, abi::SIGHUP);
}

void Terminal::hang_up() {
    process::Pid leader = 0;
    {
        core::SpinGuard guard(control_lock_);
        if (session_) leader = session_->sid();
    }
    generation_.fetch_add(1, std::memory_order_acq_rel);
    flush(Queues::Both);
    {
        core::MutexGuard guard(lock_);
        start_output();
    }
    NullableRefPtr<ProcessGroup> group = detach_session();
    NullableRefPtr<process::Process> leading = leader ? process::find_process(leader) : nullptr;
    if (leading) {
        process::send_kernel_signal(*leading, abi::SIGHUP);
        process::send_kernel_signal(*leading, abi::SIGCONT);
    }
    if (group) {
        process::send_kernel_signal(*group, abi::SIGHUP);
        process::send_kernel_signal(*group, abi::SIGCONT);
    }
    events_.notify(abi::POLLIN | abi::POLLOUT | abi::POLLERR | abi::POLLHUP | abi::POLLRDNORM | abi::POLLWRNORM);
}

Result<void> Terminal::set_foreground_group(process::Pid pgid) {
    Result<void> allowed = check_foreground(abi::SIGTTOU);
    if (!allowed) return error(allowed.error() == Errno::EIO ? Errno::ENOTTY : allowed.error());
    if (!controls_current()) return error(Errno::ENOTTY);
    if (pgid < 0) return error(Errno::EINVAL);
    NullableRefPtr<ProcessGroup> group = process::find_group(pgid);
    if (!group) return error(Errno::ESRCH);
    if (&group->session() != current_process().session().get()) return error(Errno::EPERM);
    core::SpinGuard guard(control_lock_);
    std::swap(foreground_, group); // the old one is let go of behind the lock
    guard.unlock();
    return {};
}

Result<process::Pid> Terminal::session_id() const {
    core::SpinGuard guard(control_lock_);
    if (!session_) return error(Errno::ENOTTY);
    return session_->sid();
}

} // namespace linnet::tty
