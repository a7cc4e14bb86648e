// Who may look into another task: ptrace(2), "Ptrace access mode checking".
#pragma once

#include <process/thread.hpp>

namespace linnet::process {

/// Whose ids and capabilities of the caller count: the real ones and what it may have, or those for files and what is
/// in force (PTRACE_MODE_REALCREDS and PTRACE_MODE_FSCREDS).
enum class AccessBy : u8 { RealIds, FileIds };

/// Whether `caller` may read what `target` keeps private, its memory among it: a thread of the same process; or the
/// same user and group in all ids, with no capability that the caller lacks, and a dumpable program; or CAP_SYS_PTRACE.
/// Takes the target's parts lock.
[[nodiscard]] bool may_access(Thread& caller, Thread& target, AccessBy by);

} // namespace linnet::process
