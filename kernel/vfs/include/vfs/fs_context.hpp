// FsContext: root directory, working directory and umask of a process (shared with CLONE_FS).
#pragma once

#include <core/spinlock.hpp>
#include <lib/function_ref.hpp>
#include <vfs/path.hpp>

namespace linnet::vfs {

class FsContext : public RefCounted<FsContext> {
public:
    /// Root and working directory at the given place.
    static Result<RefPtr<FsContext>> create(const Path& root);
    /// fork: a copy.
    Result<RefPtr<FsContext>> clone() const;

    Path root() const;
    Path working_directory() const;
    void set_root(Path path);
    void set_working_directory(Path path);
    u32 umask() const { return umask_.load(std::memory_order_relaxed); }
    /// Returns the old one.
    u32 set_umask(u32 mask) { return umask_.exchange(mask & 0777, std::memory_order_relaxed); }
    /// pivot_root: whoever has `from` as root or working directory gets `to`, in every context.
    static void replace_everywhere(const Path& from, const Path& to);

    // Tasks that use this context are counted apart from references: /proc looks at contexts too.
    /// One more task uses it; whoever makes a context is its first user. EAGAIN: one of them executes a program.
    Result<void> add_user();
    /// A task uses it no longer; `leave` makes that so, in the same moment for whoever counts.
    void remove_user(FunctionRef<void()> leave);
    /// From now until end_exec() nobody begins to share it.
    void begin_exec();
    void end_exec();
    /// Whether other tasks use it than those that `count` tells. Its lock is held.
    bool is_used_outside(FunctionRef<u32(const FsContext&)> count) const;

    ListNode contexts_node; // in the list of all contexts, its lock
    ~FsContext();

private:
    FsContext(const Path& root, const Path& working_directory, u32 umask);
    void replace(const Path& from, const Path& to);
    mutable core::SpinLock lock_;
    Path root_;
    Path working_directory_;
    std::atomic<u32> umask_{022};
    mutable core::InterruptSpinLock users_lock_; // within Process::signal_lock, outside Thread::parts_lock
    u32 users_ = 1;
    u32 executing_ = 0;
};

} // namespace linnet::vfs
