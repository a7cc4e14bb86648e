// Changing the credentials of the current thread.
#pragma once

#include <process/thread.hpp>
#include <vfs/credentials.hpp>

namespace linnet::process {

/// Publishes edited credentials: applies the rules on capabilities when user ids changed (capabilities(7),
/// "Effect of user ID changes on capabilities"), moves the task to its new real user's account, and clears
/// the dumpable flag where prctl(2) says so.
Result<void> commit_credentials(Thread& thread, RefPtr<vfs::Credentials> fresh);

} // namespace linnet::process
