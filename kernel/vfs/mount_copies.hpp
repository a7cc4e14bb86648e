// MountCopies: mounts that one operation makes before any of them shows, so that all of them come into the tree, or
// none.
//
// It lives within one hold of mount_lock. What wasn't committed is undone by the destructor.
#pragma once

#include "mount_tree.hpp"
#include "propagation.hpp"

namespace linnet::vfs {

class MountCopies {
public:
    MountCopies() = default;
    MountCopies(const MountCopies&) = delete;
    MountCopies& operator=(const MountCopies&) = delete;
    ~MountCopies();

    /// Counts a mount that is in no tree yet among those made. ENOSPC.
    Result<void> adopt(Mount& mount);
    /// Copies what shows `root` and below of `top`: it alone, or with all that is mounted there and may be bound.
    Result<Mount*> copy(Mount& top, Dentry& root, MountTable::Extent extent);
    /// Makes a copy of the tree of `source` for every mount that hears of what is mounted at `place`, if that is in a
    /// shared mount; all of `source` is shared then.
    Result<void> propagate(Mount& source, const Path& place);
    /// Brings all that was made into the tree: `source`, if it was made here, at `place`, copies where they are to be.
    void commit(Mount& source, const Path& place);

private:
    enum class As : u8 { Peer, Slave, SharedSlave }; // of what is copied

    Result<Mount*> copy_one(Mount& original, Dentry& root, As as);
    Result<Mount*> copy_tree(Mount& top, Dentry& root, As as);
    Result<void> copy_for(Mount& receiver, Dentry& place);
    Result<void> share(Mount& source);
    static Result<void> join(Mount& copy, Mount& original, As as);
    static void place_within(Mount& mount, Mount& parent, Dentry& mountpoint);
    static void show(Mount& mount, const Path& place);

    WorkList made_;
    u32 count_ = 0;
    Mount* shared_ = nullptr; // the tree to be moved that propagate() has made shared
};

} // namespace linnet::vfs
