// What vfs asks about the current thread. Hooks: declared here, defined by process. Each works on a kernel thread too:
// kernel_credentials(), the initial FsContext, an empty FdTable, no limits.
#pragma once

#include <lib/types.hpp>

namespace linnet::vfs {

class Credentials;
class FdTable;
class FsContext;
class Mount;

/// Borrowed: stable until the thread itself replaces its credentials.
const Credentials& current_credentials();
FsContext& current_fs();
FdTable& current_files();
/// RLIMIT_NOFILE and RLIMIT_FSIZE of the current process (soft).
u64 current_open_file_limit();
u64 current_file_size_limit();
/// A write beyond RLIMIT_FSIZE was refused: sends SIGXFSZ to the current thread.
void file_size_limit_exceeded();
/// A pipe or socket was written that nobody can read any more: sends SIGPIPE to the current thread.
void broken_pipe();
/// A mount has left the tree: what only made use of it gives it up. No lock is held.
void unmounted(const Mount& mount);
/// The process (thread group) id, as the owner of POSIX record locks.
i32 current_process_id();

} // namespace linnet::vfs
