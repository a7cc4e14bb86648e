// Death of threads and processes (_exit(2), exit_group(2), "zombies" in wait(2)).
//
// A dying thread gives back its parts first, while it may still sleep; then it leaves its process under
// signal_lock. The last one to leave finishes the process: hangs up the terminal, hands the children over,
// becomes a zombie and tells the parent, under tree_lock. The kernel stack goes back in core's final switch.
#include <abi/linux/poll.hpp>
#include <bit>
#include <core/panic.hpp>
#include <core/sched.hpp>
#include <mm/address_space.hpp>
#include <process/exec.hpp>
#include <process/futex.hpp>
#include <process/session.hpp>
#include <process/tracepoints.hpp>
#include <process/wait.hpp>
#include <vfs/credentials.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/file.hpp>
#include <vfs/fs_context.hpp>
#include <vfs/inode.hpp>

#include "core_dump.hpp"
#include "internal.hpp"
#include "process_timers.hpp"
#include "ptrace/relation.hpp"

namespace linnet::process {

extern std::atomic<u32> live_processes;
extern std::atomic<u32> live_threads;

namespace {

constinit Process* the_init_process = nullptr;

/// Processes that became reapable under tree_lock and are released behind it. Linked by sibling_node, which
/// is free by then.
using ProcessList = IntrusiveList<Process, &Process::sibling_node>;

void release_all(ProcessList& list) {
    while (Process* process = list.pop_front()) release_process(RefPtr<Process>::adopt(*process));
}

} // namespace

void set_init_process(Process& process) { the_init_process = &process; }
Process& init_process() { return *the_init_process; }

void adopt_thread(Process& process, Thread& thread, RefPtr<UserAccount> account) {
    if (process.threads.is_empty()) {
        live_processes.fetch_add(1, std::memory_order_relaxed);
        process.record->set_process(&process);
    }
    live_threads.fetch_add(1, std::memory_order_relaxed);
    thread.account = std::move(account);
    thread.process_ = NullableRefPtr<Process>(&process);
    process.threads.push_back(thread);
    process.living_threads.fetch_add(1, std::memory_order_relaxed);
    thread.record->set_thread(&thread);
}

void forget_thread() { live_threads.fetch_sub(1, std::memory_order_relaxed); }

void start_user_thread(Thread& thread) {
    thread.ref(); // dropped in on_final_switch()
    core::start_thread(thread);
}

void order_exit(Thread& thread) {
    thread.pending_work.fetch_or(core::work_exit, std::memory_order_seq_cst);
    end_trace_stop_locked(thread);
    thread.interrupt_fatal();
}

bool begin_group_exit_locked(Process& process, int status) {
    if (process.group_exiting) {
        if (status == abi::SIGKILL) end_core_dump_locked(process);
        return false;
    }
    process.group_exiting = true;
    process.group_exit_status = status;
    for (Thread& thread : process.threads)
        if (!thread.is_dead()) order_exit(thread);
    return true;
}

bool begin_group_exit(Process& process, int status) {
    core::InterruptSpinGuard guard(process.signal_lock);
    return begin_group_exit_locked(process, status);
}

void release_vfork_parent(Thread& thread) {
    core::InterruptSpinGuard guard(tree_lock);
    if (core::WaitQueue* queue = thread.vfork_done.exchange(nullptr)) queue->wake_all();
}

abi::siginfo_t child_info(Process& process, Pid pid, int code, int status) {
    abi::siginfo_t info{};
    info.si_signo = abi::SIGCHLD;
    info.si_code = code;
    info.child.pid = pid;
    info.child.status = status;
    ResourceUsage usage = process.usage();
    info.child.utime = static_cast<i64>(core::ticks_to_ns(usage.times.user) / (core::ns_per_second / abi::user_hz));
    info.child.stime = static_cast<i64>(core::ticks_to_ns(usage.times.system) / (core::ns_per_second / abi::user_hz));
    info.child.uid = process.credentials()->uid;
    return info;
}

SignalAction child_action(Process& parent) {
    core::InterruptSpinGuard guard(parent.signal_lock);
    return parent.actions->get(abi::SIGCHLD);
}

namespace {

/// The tracer hears of a death first; the parent once it has.
void notify_tracer_locked(Process& process, Process& tracer) {
    const WaitStatus status = decode_wait_status(process.exit_status);
    if (child_action(tracer).handler != abi::SIG_IGN)
        send_signal(tracer, child_info(process, process.pid(), status.code, status.value));
    tracer.child_events.wake_all();
}

/// Tells the parent of a zombie. True when nobody will wait for it, so that it must be released at once.
/// tree_lock held.
bool notify_exit_locked(Process& process) {
    process.record->exit_events.notify(abi::POLLIN);
    Process* parent = process.parent;
    if (!parent) return true; // a helper of the kernel
    if (is_traced_by_other_locked(process))
        return notify_tracer_locked(process, process.leader_->trace.tracer->process()), false;
    bool unwanted = false;
    if (process.exit_signal == abi::SIGCHLD) {
        SignalAction action = child_action(*parent);
        bool ignored = action.handler == abi::SIG_IGN;
        unwanted = ignored || (action.flags & abi::SA_NOCLDWAIT);
        WaitStatus status = decode_wait_status(process.exit_status);
        if (!ignored) send_signal(*parent, child_info(process, process.pid(), status.code, status.value));
    } else if (process.exit_signal != 0 && process.exit_signal <= abi::signal_count) { // clone(2) takes others too
        WaitStatus status = decode_wait_status(process.exit_status);
        abi::siginfo_t info = child_info(process, process.pid(), status.code, status.value);
        info.si_signo = process.exit_signal;
        send_signal(*parent, info);
    }
    parent->child_events.wake_all();
    return unwanted;
}

/// A group that has just lost its last tie to job control and holds stopped members gets SIGHUP and SIGCONT
/// (setpgid(2)).
void hang_up_if_orphaned_locked(Process& process, const Process& parent, const Process* dying) {
    ProcessGroup* group = process.group.get();
    if (!group || !parent.group || parent.group.get() == group) return;
    if (&parent.group->session() != &group->session()) return;
    if (!group->is_orphaned_locked(dying)) return;
    bool any_stopped = false;
    for (Process& member : group->members) any_stopped |= member.stop_signal != 0;
    if (!any_stopped) return;
    for (Process& member : group->members) {
        send_kernel_signal(member, abi::SIGHUP);
        send_kernel_signal(member, abi::SIGCONT);
    }
}

/// To the child as a whole, for each of its threads that asked (PR_SET_PDEATHSIG).
void send_parent_death_signal_locked(Process& child, Process& parent) {
    u64 wanted = 0; // bit n: signal n + 1
    {
        core::InterruptSpinGuard guard(child.signal_lock);
        for (Thread& thread : child.threads)
            if (thread.parent_death_signal != 0 && !thread.is_dead())
                wanted |= u64{1} << (thread.parent_death_signal - 1);
    }
    for (; wanted != 0; wanted &= wanted - 1) {
        abi::siginfo_t info{};
        info.si_signo = std::countr_zero(wanted) + 1;
        info.si_code = abi::SI_USER;
        info.kill.pid = parent.pid();
        info.kill.uid = current().own_credentials().uid;
        send_signal(child, info);
    }
}

/// A thread of `process` that children can be the children of: one that has not given its own away. The process's
/// number when there is none.
Pid tid_of_heir_locked(Process& process) {
    core::InterruptSpinGuard guard(process.signal_lock);
    for (Thread& thread : process.threads)
        if (!thread.gave_children_away) return thread.tid();
    return process.pid();
}

Process& choose_reaper_locked(Process& dying) {
    for (Process* ancestor = dying.parent; ancestor; ancestor = ancestor->parent)
        if (ancestor->is_child_subreaper && ancestor->exit_state.load() == ExitState::Alive &&
            ancestor->living_threads.load() > 0)
            return *ancestor;
    return *the_init_process;
}

void give_children_away_locked(Process& dying, ProcessList& unwanted) {
    if (dying.children.is_empty()) return;
    Process& reaper = choose_reaper_locked(dying);
    const Pid heir = tid_of_heir_locked(reaper);
    while (Process* child = dying.children.first()) {
        dying.children.remove(*child);
        reaper.children.push_back(*child);
        child->set_parent_locked(&reaper);
        child->parent_tid = heir;
        send_parent_death_signal_locked(*child, dying);
        child->exit_signal = abi::SIGCHLD;
        if (child->exit_state.load() == ExitState::Zombie && notify_exit_locked(*child)) {
            child->exit_state = ExitState::Reaped;
            unlink_process_locked(*child);
            unwanted.push_back(*child);
        }
        hang_up_if_orphaned_locked(*child, dying, &dying);
    }
}

/// The last thread has left: what belongs to the process as a whole goes. Where nothing ended them all together, the
/// status of the last one is the process's, as on Linux since 5.18.
void finish_process(Process& process, int last_status) {
    drop_all_timers(process);
    if (NullableRefPtr<vfs::File> executable = process.exchange_executable({}))
        executable->inode().allow_write_access();
    NullableRefPtr<Session> session = process.session();
    if (session && session->is_leader(process))
        if (NullableRefPtr<ControllingTerminal> terminal = session->terminal())
            terminal->session_leader_exited(*session);

    ProcessList unwanted;
    core::InterruptSpinGuard guard(tree_lock);
    {
        core::InterruptSpinGuard signal_guard(process.signal_lock);
        process.exit_status = process.group_exiting ? process.group_exit_status : last_status;
        process.stop_signal = 0;
        process.stop_reportable = process.continue_reportable = false;
    }
    give_children_away_locked(process, unwanted);
    if (process.parent) hang_up_if_orphaned_locked(process, *process.parent, &process);
    process.exit_state = ExitState::Zombie;
    if (notify_exit_locked(process)) {
        process.exit_state = ExitState::Reaped;
        unlink_process_locked(process);
        unwanted.push_back(process);
    }
    guard.unlock();
    release_all(unwanted);
}

/// Children of this very thread become another's, and those that asked for it are told.
void give_children_of_thread_away(Thread& self, Process& process) {
    core::InterruptSpinGuard guard(tree_lock);
    self.gave_children_away = true;
    Pid heir = 0;
    for (Process& child : process.children) {
        if (child.parent_tid != self.tid()) continue;
        if (heir == 0) heir = tid_of_heir_locked(process);
        child.parent_tid = heir;
        send_parent_death_signal_locked(child, process);
    }
}

void release_parts(Thread& self, Process& process) {
    if (self.address_space_) {
        release_futexes(self);
        process.note_peak(self.own_address_space());
        self.exchange_address_space({});
    }
    release_vfork_parent(self);
    self.drop_semaphore_undo();
    self.exchange_files({});
    self.exchange_fs({});
}

/// Leaves the list of threads; true for the last one.
bool leave_process(Thread& self, Process& process, int status) {
    core::InterruptSpinGuard guard(process.signal_lock);
    self.exit_status = status;
    self.exited.store(true, std::memory_order_release);
    if (process.leader_ != &self) {
        process.dead_threads_usage.add(usage_of(self));
        process.threads.remove(self);
        self.record->set_thread(nullptr);
        self.account->tasks.fetch_sub(1, std::memory_order_relaxed);
        forget_thread();
        if (self.trace.tracer) {
            self.trace.is_awaited = true;
            process.awaited_threads.fetch_add(1);
        }
    }
    forget_thread_locked(process, self);
    flush_pending(self.signals.pending);
    if (self.has_used_privilege) process.has_used_privilege = true;
    bool is_last = process.living_threads.fetch_sub(1) == 1;
    process.thread_exit.wake_all();
    return is_last;
}

} // namespace

void exit_thread(int status) {
    Thread& self = current();
    Process& process = self.process();
    if (&process == the_init_process && process.living_threads == 1)
        core::panic("Attempted to kill init! exitcode={#08x}",
                    static_cast<u32>(process.group_exiting ? process.group_exit_status : status));
    wait_for_core_dump(self);
    stop_for_event(self, abi::PTRACE_EVENT_EXIT, static_cast<u64>(status));
    const u64 memory = memory_to_account(self);
    release_parts(self, process);
    give_children_of_thread_away(self, process);
    tracepoints::exit(self);
    tracepoints::ended(self);
    if (ThreadObserver* observer = self.observer.load(std::memory_order_acquire)) observer->on_exit();
    release_tracees(self);
    const bool is_last = leave_process(self, process, status);
    tell_tracer_of_exit(self);
    if (is_last) {
        account_process(process, self, memory);
        finish_process(process, status);
    }
    core::exit_current();
}

void notify_parent_locked(Process& process, int code, int status) {
    Process* parent = process.parent;
    if (!parent) return;
    SignalAction action = child_action(*parent);
    bool stop_unwanted = (code == abi::CLD_STOPPED || code == abi::CLD_CONTINUED) && (action.flags & abi::SA_NOCLDSTOP);
    if (action.handler != abi::SIG_IGN && !stop_unwanted)
        send_signal(*parent, child_info(process, process.pid(), code, status));
    parent->child_events.wake_all();
}

ptrace_detail::Untraced ptrace_detail::untrace_and_tell_parent_locked(Thread& tracee) {
    Untraced ended;
    Process& process = tracee.process();
    const bool is_hidden = tracee.is_leader() && is_traced_by_other_locked(process);
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        ended.tracee = untrace_locked(tracee);
    }
    if (is_hidden && process.exit_state.load() == ExitState::Zombie && notify_exit_locked(process)) {
        process.exit_state = ExitState::Reaped;
        unlink_process_locked(process);
        ended.reaped = NullableRefPtr<Process>::adopt(&process); // the reference that being a child was
    }
    return ended;
}

void unlink_process_locked(Process& process) {
    if (process.leader_) {
        core::InterruptSpinGuard guard(process.signal_lock);
        (void)untrace_locked(*process.leader_); // the process still refers to it
    }
    process.sibling_node.unlink();
    process.group_node.unlink();
    process.set_parent_locked(nullptr);
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): it takes over the reference that being a child was
void release_process(RefPtr<Process> process) {
    NullableRefPtr<Thread> leader;
    NullableRefPtr<ProcessGroup> group;
    {
        core::InterruptSpinGuard guard(tree_lock);
        std::swap(process->group, group);
        core::InterruptSpinGuard signal_guard(process->signal_lock);
        process->last_credentials_ = process->leader_->credentials();
        std::swap(process->leader_, leader);
        process->threads.remove(*leader);
    }
    process->record->set_process(nullptr);
    leader->record->set_thread(nullptr);
    forget_proc_names(*process);
    leader->account->tasks.fetch_sub(1, std::memory_order_relaxed);
    live_processes.fetch_sub(1, std::memory_order_relaxed);
    forget_thread();
    // The reference that being a child was, and the leader's, go here.
}

} // namespace linnet::process
