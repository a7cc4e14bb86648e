// FsContext: root directory, working directory and umask of a process (shared with CLONE_FS).
#pragma once

#include <core/spinlock.hpp>
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

    ListNode contexts_node; // in the list of all contexts, its lock
    ~FsContext();

private:
    FsContext(const Path& root, const Path& working_directory, u32 umask);
    void replace(const Path& from, const Path& to);
    mutable core::SpinLock lock_;
    Path root_;
    Path working_directory_;
    std::atomic<u32> umask_{022};
};

} // namespace linnet::vfs
