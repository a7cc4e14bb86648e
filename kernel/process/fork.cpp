// clone(2) and its kin. The child is built aside, part by part, shared or copied as the flags say; then it
// joins its process and the tree under the locks, where nothing can fail any more, and is started. It enters
// user code by the same loop as everybody: its registers are a copy of the maker's with result 0.
//
// Locks: none while copying; tree_lock and signal_lock (process.hpp) to join.
#include <abi/linux/ptrace.hpp>
#include <core/sched.hpp>
#include <mm/address_space.hpp>
#include <mm/statistics.hpp>
#include <mm/usercopy.hpp>
#include <process/fork.hpp>
#include <process/pidfd.hpp>
#include <process/ptrace.hpp>
#include <process/realtime_limit.hpp>
#include <process/semaphore_undo.hpp>
#include <process/session.hpp>
#include <process/timers.hpp>
#include <process/tracepoints.hpp>
#include <process/user_probes.hpp>
#include <vfs/credentials.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/fs_context.hpp>
#include <vfs/inode.hpp>

#include "internal.hpp"

namespace linnet::process {
namespace {
using namespace abi;

constexpr u64 known_flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_PIDFD | CLONE_PTRACE |
                            CLONE_VFORK | CLONE_PARENT | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
                            CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_DETACHED | CLONE_UNTRACED |
                            CLONE_CHILD_SETTID | CLONE_IO | CLONE_CLEAR_SIGHAND;

/// clone(2), ERRORS: what makes no sense together. Namespaces aren't there: EINVAL, as on a Linux built
/// without them.
Result<void> check_flags(Thread& maker, const CloneRequest& request) {
    u64 flags = request.flags;
    if (flags & ~known_flags) return error(Errno::EINVAL);
    if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND)) return error(Errno::EINVAL);
    if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM)) return error(Errno::EINVAL);
    if ((flags & CLONE_SIGHAND) && (flags & CLONE_CLEAR_SIGHAND)) return error(Errno::EINVAL);
    if ((flags & CLONE_PIDFD) && (flags & (CLONE_DETACHED | CLONE_THREAD))) return error(Errno::EINVAL);
    if ((flags & CLONE_PARENT) && maker.process().pid() == 1) return error(Errno::EINVAL);
    return {};
}

/// Counts the new task before anything else, so that tasks made on several CPUs at once don't pass the limit together.
Result<void> count_task(Thread& maker) {
    // A task costs a kernel stack and what hangs on it; an eighth of memory may go into that, as on Linux.
    constexpr u64 charged_size = 16384; // as Linux, whose stacks are of that size
    u64 most = mm::total_memory_pages() * arch::page_size / (8 * charged_size);
    if (thread_count() >= most) return error(Errno::EAGAIN);
    const vfs::Credentials& who = maker.own_credentials();
    u64 before = maker.account->tasks.fetch_add(1, std::memory_order_relaxed);
    if (before < maker.process().limits.soft(RLIMIT_NPROC)) return {};
    if (who.uid == 0 || who.has(vfs::Capability::SysResource) || who.has(vfs::Capability::SysAdmin)) return {};
    maker.account->tasks.fetch_sub(1, std::memory_order_relaxed);
    return error(Errno::EAGAIN);
}

Result<void> give_parts(Thread& maker, Thread& child, u64 flags) {
    if (flags & CLONE_VM)
        child.address_space_ = maker.address_space_;
    else
        child.address_space_ = TRY(maker.own_address_space().fork());
    if (flags & CLONE_FILES)
        child.files_ = maker.files_;
    else
        child.files_ = TRY(maker.own_files().clone());
    if (flags & CLONE_FS)
        TRY(child.share_fs(maker));
    else
        child.fs_ = TRY(maker.own_fs().clone());
    child.credentials_ = maker.credentials_;
    if (flags & CLONE_SYSVSEM) child.semaphore_undo_ = NullableRefPtr<SemaphoreUndo>(TRY(maker.own_semaphore_undo()));
    return {};
}

void give_registers(Thread& maker, Thread& child, const CloneRequest& request) {
    child.registers.copy_from(maker.registers);
    child.registers.set_syscall_result(0);
    child.registers.mark_not_syscall();
    if (request.stack.value) child.registers.set_sp(request.stack);
    if (request.flags & CLONE_SETTLS) child.registers.set_tls(request.tls);
    if (request.flags & CLONE_CHILD_SETTID) child.set_child_tid = request.child_tid;
    if (request.flags & CLONE_CHILD_CLEARTID) child.clear_child_tid = request.child_tid;
    if (!((request.flags & (CLONE_VM | CLONE_VFORK)) == CLONE_VM))
        child.rseq = maker.rseq; // the copied memory holds a copy of the area
}

/// sched(7), "Resetting scheduling policy for child processes".
core::SchedulingAttributes inherited_scheduling(const core::SchedulingAttributes& maker) {
    core::SchedulingAttributes child = maker;
    if (maker.reset_on_fork && class_of(maker.policy) != core::SchedulingClass::Fair) return {};
    if (maker.reset_on_fork && maker.nice < 0) child.nice = 0;
    child.reset_on_fork = false;
    return child;
}

/// fork(2): what a child inherits besides its parts. Not: pending signals, timers, locks, robust list, usage.
void give_attributes(Thread& maker, Thread& child, u64 flags) {
    child.set_name(maker.name());
    child.affinity = maker.affinity;
    child.scheduling = inherited_scheduling(maker.scheduling);
    if (is_realtime_limited(maker.process()))
        child.pending_work.fetch_or(core::work_notify,
                                    std::memory_order_relaxed); // the limit is watched from the start
    child.io_priority = maker.io_priority;
    child.memory_policy_ = maker.memory_policy_;
    child.broken_memory_policy = maker.broken_memory_policy;
    child.is_io_flusher = maker.is_io_flusher;
    child.personality = maker.personality;
    child.login_user = maker.login_user.load();
    child.login_session = maker.login_session.load();
    child.no_new_privileges = maker.no_new_privileges.load();
    child.timer_slack_ns = child.default_timer_slack_ns = maker.timer_slack_ns;
    inherit_signal_state(child.signals, maker.signals);
    if ((flags & CLONE_VM) && !(flags & CLONE_VFORK))
        child.signals.alternate_stack = {.ss_sp = 0, .ss_flags = SS_DISABLE, .padding = 0, .ss_size = 0};
}

Result<RefPtr<SignalActions>> choose_actions(Process& process, u64 flags) {
    if (flags & CLONE_SIGHAND) return RefPtr<SignalActions>(process.actions);
    RefPtr<SignalActions> copy = TRY(process.actions->copy());
    if (flags & CLONE_CLEAR_SIGHAND) copy->reset_handlers();
    return copy;
}

/// The process that a child without CLONE_THREAD is the first thread of; not yet in the tree.
Result<RefPtr<Process>> make_process(Thread& maker, Thread& child, const CloneRequest& request) {
    Process& from = maker.process();
    RefPtr<Process> process = TRY(Process::create(child.record, TRY(choose_actions(from, request.flags))));
    process->limits.copy_from(from.limits);
    process->oom_score_adj = from.oom_score_adj.load();
    process->oom_score_adj_floor = from.oom_score_adj_floor.load();
    process->exit_signal = (request.flags & CLONE_PARENT) ? from.exit_signal : request.exit_signal;
    TRY(apply_cpu_limit(*process));
    NullableRefPtr<vfs::File> executable = from.executable();
    if (executable) TRY(executable->inode().deny_write_access());
    process->exchange_executable(std::move(executable));
    return process;
}

/// A signal sent to the maker's group must reach either the maker before, or the child after the fork: with
/// one pending, or the process dying, the call starts anew once it is handled.
Result<void> check_no_interruption(Thread& maker) {
    if (maker.pending_work.load() & (core::work_signal | core::work_exit)) return error(Errno::RestartAlways);
    return {};
}

/// tree_lock held where the child is traced.
Result<void> join_process(Thread& maker, Thread& child, RefPtr<UserAccount> account, bool is_traced) {
    Process& process = maker.process();
    core::InterruptSpinGuard guard(process.signal_lock);
    if (process.group_exiting || process.exec_thread) return error(Errno::RestartAlways);
    TRY(check_no_interruption(maker));
    if (is_traced) inherit_tracer_locked(maker, child);
    adopt_thread(process, child, std::move(account));
    return {};
}

Result<void> join_tree(Thread& maker, Thread& child, Process& process, RefPtr<UserAccount> account, u64 flags,
                       bool is_traced) {
    Process& from = maker.process();
    core::InterruptSpinGuard guard(tree_lock);
    TRY(check_no_interruption(maker));
    Process* parent = (flags & CLONE_PARENT) ? from.parent : &from;
    if (!parent) return error(Errno::EINVAL);
    process.set_parent_locked(parent);
    process.parent_tid = (flags & CLONE_PARENT) ? from.parent_tid : maker.tid();
    process.group = from.group;
    process.leader_ = NullableRefPtr<Thread>(&child);
    if (is_traced) inherit_tracer_locked(maker, child);
    adopt_thread(process, child, std::move(account));
    from.group->members.push_back(process);
    process.ref(); // being a child is a reference
    parent->children.push_back(process);
    return {};
}

Result<void> join(Thread& maker, Thread& child, const CloneRequest& request, bool is_traced) {
    RefPtr<UserAccount> account(maker.account);
    if (request.flags & CLONE_THREAD) {
        if (!is_traced) return join_process(maker, child, std::move(account), is_traced);
        core::InterruptSpinGuard tree(tree_lock);
        return join_process(maker, child, std::move(account), is_traced);
    }
    RefPtr<Process> process = TRY(make_process(maker, child, request));
    Result<void> joined = join_tree(maker, child, process, std::move(account), request.flags, is_traced);
    if (!joined)
        if (NullableRefPtr<vfs::File> executable = process->exchange_executable({}))
            executable->inode().allow_write_access();
    return joined;
}

/// vfork(2): the maker sleeps until the child has its own memory or is gone; only death ends the sleep
/// earlier.
void wait_for_vfork(Thread& child, core::WaitQueue& done) {
    (void)core::wait_until(done, core::Sleep::Killable, core::Deadline::never(),
                           [&] { return child.vfork_done.load() == nullptr; });
    core::InterruptSpinGuard guard(tree_lock);
    child.vfork_done = nullptr;
}

} // namespace

Result<Pid> clone(Thread& maker, const CloneRequest& request) {
    TRY(check_flags(maker, request));
    // A reservation is for one thread.
    if (maker.scheduling.policy == core::Policy::Deadline && !maker.scheduling.reset_on_fork)
        return error(Errno::EAGAIN);
    TRY(count_task(maker));
    ScopeGuard uncount_task([&] { maker.account->tasks.fetch_sub(1, std::memory_order_relaxed); });
    RefPtr<PidRecord> record =
        TRY(request.wanted_tid ? PidRecord::allocate_exactly(request.wanted_tid) : PidRecord::allocate());
    Pid tid = record->number();
    RefPtr<Thread> child = TRY(Thread::create(record));
    TRY(give_parts(maker, *child, request.flags));
    give_registers(maker, *child, request);
    give_attributes(maker, *child, request.flags);

    NullableRefPtr<vfs::File> pidfd;
    int pidfd_number = -1;
    if (request.flags & CLONE_PIDFD) {
        pidfd = TRY(create_pidfd(record, 0));
        pidfd_number = TRY(maker.own_files().reserve());
    }
    ScopeGuard cancel_pidfd([&] {
        if (pidfd_number >= 0) maker.own_files().cancel(pidfd_number);
    });
    mm::UserPtr<mm::Out, int> pidfd_place(request.pidfd);
    if (pidfd) TRY(pidfd_place.copy_out(pidfd_number));
    ScopeGuard take_copies_back([&] {
        if (ThreadObserver* of_child = child->observer.load(std::memory_order_relaxed)) of_child->on_exit();
    });
    if (maker.probes) TRY(user_probes->on_fork(maker, *child, (request.flags & (CLONE_VM | CLONE_VFORK)) == CLONE_VM));
    ThreadObserver* observer = maker.observer.load(std::memory_order_relaxed);
    if (observer) TRY(observer->on_fork(*child, request.flags & CLONE_THREAD));
    core::WaitQueue vfork_done;
    if (request.flags & CLONE_VFORK) child->vfork_done = &vfork_done;
    const int event = event_of_clone(maker, request.flags, request.exit_signal);
    TRY(join(maker, *child, request, event != 0 || (request.flags & CLONE_PTRACE)));

    // From here on the child exists.
    uncount_task.dismiss();
    take_copies_back.dismiss();
    cancel_pidfd.dismiss();
    if (pidfd) maker.own_files().install(pidfd_number, RefPtr<vfs::File>(std::move(pidfd)), vfs::CloseOnExec::Yes);
    if (request.flags & CLONE_PARENT_SETTID) (void)mm::UserPtr<mm::Out, Pid>(request.parent_tid).copy_out(tid);
    tracepoints::new_task(*child, request.flags);
    tracepoints::fork(maker, *child);
    start_user_thread(*child);
    if (event) stop_for_event(maker, event, static_cast<u64>(tid));
    if (request.flags & CLONE_VFORK) {
        wait_for_vfork(*child, vfork_done);
        stop_for_event(maker, PTRACE_EVENT_VFORK_DONE, static_cast<u64>(tid));
    }
    return tid;
}

} // namespace linnet::process
