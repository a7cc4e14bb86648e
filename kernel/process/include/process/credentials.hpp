// Changing the credentials of the current thread.
#pragma once

#include <process/thread.hpp>
#include <vfs/credentials.hpp>

namespace linnet::process {

/// Publishes edited credentials: applies the rules on capabilities when user ids changed (capabilities(7),
/// "Effect of user ID changes on capabilities"), moves the task to its new real user's account, and clears
/// the dumpable flag where prctl(2) says so.
Result<void> commit_credentials(Thread& thread, RefPtr<vfs::Credentials> fresh);

/// Whether a change of credentials ends what the old ones allowed others: the dumpable flag and the signal at the
/// parent's death go (PR_SET_DUMPABLE(2const), PR_SET_PDEATHSIG(2const)).
bool are_rights_changed(const vfs::Credentials& fresh, const vfs::Credentials& old);

} // namespace linnet::process
