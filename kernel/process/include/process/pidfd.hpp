// pidfds: descriptors that stand for a process (pidfd_open(2)).
#pragma once

#include <process/process.hpp>
#include <vfs/file.hpp>

namespace linnet::process {

/// An open pidfd; readable once the process is a zombie. `flags`: O_NONBLOCK or 0.
Result<RefPtr<vfs::File>> create_pidfd(RefPtr<PidRecord> record, u32 flags);
/// The process number that a pidfd stands for; EBADF when `file` is no pidfd.
Result<RefPtr<PidRecord>> pidfd_record(vfs::File& file);

/// What pidfd_send_signal(2) takes for a process: a pidfd, or a folder /proc/PID (pidfd_open(2), NOTES). EBADF:
/// neither; ESRCH: it is gone.
Result<RefPtr<Process>> process_of_descriptor(vfs::File& file);

} // namespace linnet::process
