// What the parts of process share among themselves.
#pragma once

#include <process/process.hpp>
#include <process/user_account.hpp>

namespace linnet::process {

/// Puts a new thread into `process` (or makes it its first): findable, counted. signal_lock held unless
/// nobody else can know the process yet.
/// The task has been counted in `account` already.
void adopt_thread(Process& process, Thread& thread, RefPtr<UserAccount> account);
/// A thread that is no longer in any process is not counted any more.
void forget_thread();
/// Hands a complete thread to the scheduler, with the reference that running is.
void start_user_thread(Thread& thread);
void set_init_process(Process& process);

/// Makes a thread die at its loop's edge, waking it from killable sleeps and stops. signal_lock held.
void order_exit(Thread& thread);
/// What SIGCHLD says of `pid`, a thread of `process`.
abi::siginfo_t child_info(Process& process, Pid pid, int code, int status);
/// SIGCHLD's action in a process. tree_lock held.
SignalAction child_action(Process& parent);
/// A parent in vfork(2) goes on.
void release_vfork_parent(Thread& thread);
/// Takes a zombie out of the tree and out of all tables; the caller holds no lock and has set exit_state to
/// Reaped.
void release_process(RefPtr<Process> process);
/// Process accounting: what the thread's memory is at its end, 0 when nobody wants to know; and the record of a process
/// whose last thread this is. May sleep.
u64 memory_to_account(Thread& self);
void account_process(Process& process, Thread& self, u64 memory_bytes);
/// Takes what the names of /proc/PID cache away, once nobody finds the process any more (proc/directory.cpp).
void forget_proc_names(Process& process);
/// The process whose folder /proc/PID was opened as `file`. EBADF: it is nothing like that; ESRCH: the process is gone.
Result<RefPtr<Process>> process_of_folder(vfs::File& file);
/// Unlinks a zombie that has just been claimed and charges its usage to the parent. tree_lock held.
void unlink_process_locked(Process& process);

} // namespace linnet::process
