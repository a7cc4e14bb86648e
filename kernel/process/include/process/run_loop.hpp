// The loop of a user thread, and what it calls above itself.
#pragma once

#include <process/thread.hpp>

namespace linnet::syscalls {
/// Runs the system call that `thread` trapped with and stores its result in thread.registers; a restart code
/// is stored too (negative), with core::work_signal set so that the loop settles it. Defined by the syscalls
/// room.
void dispatch(process::Thread& thread);
} // namespace linnet::syscalls

namespace linnet::process {

/// Does what pending_work asks for: reschedule, exit, stop, signals. Interrupts on; the caller looks again
/// afterwards.
void handle_pending_work(Thread& thread);
/// What core::work_notify stands for.
void handle_notifications(Thread& thread);
/// Leaves a restartable sequence and stores the CPU's number in the area of rseq(2), if there is one. Called
/// before a signal frame is built, too.
void update_rseq(Thread& thread);
/// The same, but false where what the area says can't be right: the caller forces SIGSEGV.
bool try_update_rseq(Thread& thread);

} // namespace linnet::process
