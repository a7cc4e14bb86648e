// A mounted tree of a server.
#pragma once

#include "inode.hpp"
#include "options.hpp"

#include <lib/intrusive_tree.hpp>
#include <vfs/superblock.hpp>

namespace linnet::fs {

class P9SuperBlock final : public vfs::SuperBlock {
public:
    /// ENOENT: no channel of that name; EBUSY: it is in use; the errors of p9::Client.
    static Result<RefPtr<P9SuperBlock>> create(vfs::FileSystemType& type, const vfs::MountSource& source);
    ~P9SuperBlock() override;

    p9::Client& client() { return *client_; }
    [[nodiscard]] bool maps_writable() const { return maps_writable_; }

    /// The inode that `fid` stands for, which has `attributes`: the one that there is already, with both renewed, or a
    /// new one. EIO for one of no kind.
    Result<RefPtr<P9Inode>> inode(RefPtr<p9::Fid> fid, const p9::Attributes& attributes);
    void forget(P9Inode& inode);

    Result<vfs::FileSystemStatistics> statistics() override;
    Result<void> sync() override;
    Result<void> remount(std::string_view options, bool read_only) override;
    void show_options(TextSink sink) override;

private:
    P9SuperBlock(vfs::FileSystemType& type, OwnPtr<p9::Client> client, const P9Options& options);
    NullableRefPtr<P9Inode> find(const p9::Attributes& attributes);
    NullableRefPtr<P9Inode> first_from(u64 number);

    OwnPtr<p9::Client> client_;
    const bool maps_writable_;
    core::SpinLock inodes_lock_;
    IntrusiveTree<P9Inode, &P9Inode::table_node, P9Inode::NumberOf> inodes_; // keeps none alive
};

} // namespace linnet::fs
