// An instance of tmpfs and its options.
#pragma once

#include "accounting.hpp"
#include "tmpfs_inode.hpp"

namespace linnet::fs {

/// tmpfs(5): size=, nr_blocks=, nr_inodes=, mode=, uid=, gid=.
struct TmpfsOptions {
    u64 pages = 0; // 0: no limit
    u64 inodes = 0;
    u32 mode = 01777;
    u32 uid = 0;
    u32 gid = 0;
    bool size_given = false;
    bool inodes_given = false;
    /// EINVAL for an unknown word or a bad value.
    Result<void> parse(std::string_view text);
};

/// Whether limits show in statfs: not for the root file system, which has none to see.
enum class Limits : u8 { Shown, Hidden };

class TmpfsSuperBlock final : public vfs::SuperBlock {
public:
    static Result<RefPtr<TmpfsSuperBlock>> create(vfs::FileSystemType& type, const TmpfsOptions& options,
                                                  Limits limits);

    u64 next_inode_number() { return last_inode_.fetch_add(1, std::memory_order_relaxed) + 1; }
    RefPtr<TmpfsAccounting> accounting() const { return accounting_; }
    MemoryObject::Home home() const { return home_; }
    /// It will never be mounted. Before it has files.
    void keep_in_kernel() { home_ = MemoryObject::Home::Kernel; }

    Result<vfs::FileSystemStatistics> statistics() override;
    Result<void> remount(std::string_view options, bool read_only) override;
    void show_options(TextSink sink) override;
    Result<vfs::FileHandle> handle_of(vfs::Inode& inode) override;
    Result<RefPtr<vfs::Inode>> inode_of(const vfs::FileHandle& handle) override;
    /// An inode goes that has a handle.
    void forget_handle(TmpfsInode& inode);

    core::SpinLock parents_lock; // over what is the directory above of each

    /// Makes an inode of any kind. ENOSPC when there are no inodes left.
    Result<RefPtr<TmpfsInode>> make_inode(const vfs::CreateRequest& request);

private:
    TmpfsSuperBlock(vfs::FileSystemType& type, RefPtr<TmpfsAccounting> accounting, const TmpfsOptions& options,
                    Limits limits);
    RefPtr<TmpfsAccounting> accounting_;
    TmpfsOptions options_;
    Limits limits_;
    MemoryObject::Home home_ = MemoryObject::Home::Mount;
    std::atomic<u64> last_inode_{0};
    core::SpinLock handles_lock_;
    IntrusiveTree<TmpfsInode, &TmpfsInode::handle_node, TmpfsInode::NumberOf> handles_; // keeps none alive
};

} // namespace linnet::fs
