// What a room below process may remember of a process and of a user: who sent a message, and on whose account
// descriptors are on their way. The objects are process's; the hooks are defined there.
#pragma once

#include <atomic>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>

namespace linnet::vfs {

class File;

/// A process, told from a later one of the same number.
class ProcessIdentity {
public:
    virtual void ref() const = 0;
    virtual void unref() const = 0;
    [[nodiscard]] virtual i32 process_number() const = 0;
    /// A pidfd of it; `flags`: O_NONBLOCK or 0. ESRCH when it has been waited for.
    virtual Result<RefPtr<File>> open_pidfd(u32 flags) = 0;

protected:
    ~ProcessIdentity() = default;
};

/// What is counted for a real user id beside what process counts itself.
class UserCharge {
public:
    virtual void ref() const = 0;
    virtual void unref() const = 0;
    /// Descriptors in messages that nobody has received yet (unix(7), ETOOMANYREFS).
    std::atomic<u64> descriptors_in_flight{0};
    /// Of inotify(7): descriptors, and watches of all of them.
    std::atomic<u64> inotify_instances{0}, inotify_watches{0};

protected:
    ~UserCharge() = default;
};

/// Of the current thread's process, and its user. Null on kernel threads.
NullableRefPtr<ProcessIdentity> current_process_identity();
NullableRefPtr<UserCharge> current_user_charge();
/// The process of that number, for a sender that may name another; null: there is none.
NullableRefPtr<ProcessIdentity> process_identity(i32 number);

} // namespace linnet::vfs
