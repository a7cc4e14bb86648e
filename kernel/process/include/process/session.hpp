// Process groups and sessions (credentials(7), setpgid(2), setsid(2)). All relations are guarded by
// tree_lock.
#pragma once

#include <process/process.hpp>

namespace linnet::process {

/// What a session needs of its controlling terminal; implemented by tty, which sits above.
class ControllingTerminal {
public:
    /// Reference counting of the terminal behind the interface.
    virtual void ref() const = 0;
    virtual void unref() const = 0;
    /// The session's leader is gone: hang up (SIGHUP and SIGCONT to the foreground group) and let go of the
    /// session. Called without locks held; may sleep.
    virtual void session_leader_exited(Session& session) = 0;
    /// The line is gone: every open file of the terminal is dead, the session loses it (vhangup(2)). May sleep.
    virtual void hang_up() = 0;
    /// Device number, for the tty_nr field of /proc/PID/stat.
    virtual u64 device_number() const = 0;
    /// Foreground process group, 0 if none (tpgid of /proc/PID/stat).
    virtual Pid foreground_group() const = 0;

protected:
    ~ControllingTerminal() = default;
};

class Session : public RefCounted<Session> {
public:
    /// Nobody finds it by its number before publish().
    static Result<RefPtr<Session>> create(RefPtr<PidRecord> record);
    ~Session();
    /// Makes it the session of its number; tree_lock held, so that two can't be made of one number.
    void publish() { record_->set_session(this); }
    [[nodiscard]] Pid sid() const { return record_->number(); }
    [[nodiscard]] bool is_leader(const Process& process) const { return process.pid() == sid(); }

    /// The controlling terminal, null when there is none.
    NullableRefPtr<ControllingTerminal> terminal();
    /// Gives the session a terminal, or takes it away with null.
    void set_terminal(NullableRefPtr<ControllingTerminal> terminal);

private:
    explicit Session(RefPtr<PidRecord> record) : record_(std::move(record)) {}
    RefPtr<PidRecord> record_;
    NullableRefPtr<ControllingTerminal> terminal_;
};

class ProcessGroup : public RefCounted<ProcessGroup> {
public:
    /// Nobody finds it by its number before publish().
    static Result<RefPtr<ProcessGroup>> create(RefPtr<PidRecord> record, RefPtr<Session> session);
    ~ProcessGroup();
    /// Makes it the group of its number; tree_lock held, as for sessions.
    void publish() { record_->set_group(this); }
    [[nodiscard]] Pid pgid() const { return record_->number(); }
    [[nodiscard]] Session& session() const { return *session_; }

    /// Calls `visit` for each member, under tree_lock: it may send signals but must not sleep.
    void for_each_member(FunctionRef<void(Process&)> visit);
    /// Whether no member has a parent in another group of the session (setpgid(2)): the terminal's stop
    /// signals are then ignored. `_locked`: tree_lock held; `ignored` counts as gone already.
    [[nodiscard]] bool is_orphaned();
    [[nodiscard]] bool is_orphaned_locked(const Process* ignored = nullptr);

    // ---- under tree_lock ----
    IntrusiveList<Process, &Process::group_node> members;

private:
    ProcessGroup(RefPtr<PidRecord> record, RefPtr<Session> session)
        : record_(std::move(record)), session_(std::move(session)) {}
    RefPtr<PidRecord> record_;
    RefPtr<Session> session_;
};

/// setsid(2) and setpgid(2) for `process`.
Result<Pid> create_session(Process& process);
Result<void> set_process_group(Process& process, Pid pgid);

} // namespace linnet::process
