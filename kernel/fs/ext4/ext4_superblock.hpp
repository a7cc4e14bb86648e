// A mounted ext4 file system.
#pragma once

#include "error_notes.hpp"
#include "ext4_writing.hpp"
#include "inode.hpp"
#include "volume.hpp"

#include <block/disk.hpp>
#include <optional>
#include <vfs/superblock.hpp>

namespace linnet::fs {

/// What mount(2) was told (ext4(5)).
struct Ext4Options {
    bool replays_journal = true;                // noload, norecovery
    std::optional<ext4::ErrorBehaviour> errors; // what the superblock says if it is not said
    /// EINVAL for an unknown word or a bad value.
    Result<void> parse(std::string_view text);
};

class Ext4SuperBlock final : public vfs::SuperBlock {
public:
    /// The file system on a device, which is open and claimed, and from now on the superblock's, whatever the outcome.
    static Result<RefPtr<Ext4SuperBlock>> create(vfs::FileSystemType& type, RefPtr<block::Device> device,
                                                 const Ext4Options& options);
    ~Ext4SuperBlock() override;

    ext4::Volume& volume() { return *volume_; }
    /// Null as long as it has been mounted read-only.
    Ext4Writing* writing() { return writing_.load(std::memory_order_acquire); }
    /// EROFS where it is not to be written.
    Result<Ext4Writing*> to_write();
    block::Device& device() { return *device_; }
    /// The inode of a number, one for all who ask. May sleep.
    Result<RefPtr<Ext4Inode>> inode(u32 number);
    /// The same for a number that no name leads to, and which anything may be: EUCLEAN, EBADMSG and ESTALE for one that
    /// isn't in use, of which nothing is noted.
    Result<RefPtr<Ext4Inode>> inode_if_used(u32 number);
    /// A new inode, found by its number from now on. EUCLEAN when there is one.
    Result<void> add(Ext4Inode& fresh);
    /// An inode goes.
    void forget(Ext4Inode& inode);

    /// Something is damaged, or could not be written: it is noted in the superblock before long, and what is asked for
    /// by errors= follows. Of other errors nothing is noted. `inode` 0: it concerns no file. Doesn't sleep.
    void note_error(Errno code, u32 inode, const char* function = __builtin_FUNCTION(), u32 line = __builtin_LINE());
    /// The same for an outcome, which is handed back.
    template <typename T>
    Result<T> heed(Result<T> result, u32 inode, const char* function = __builtin_FUNCTION(),
                   u32 line = __builtin_LINE()) {
        if (!result && ext4::tells_of_damage(result.error())) note_error(result.error(), inode, function, line);
        return result;
    }
    [[nodiscard]] ext4::ErrorBehaviour on_error() const { return on_error_.load(); }
    /// As errors=panic wants it.
    [[noreturn]] void panic_after_error();
    /// What is to be stored of all that was noted.
    ext4::ErrorNotes take_errors();

    Result<vfs::FileSystemStatistics> statistics() override;
    Result<void> sync() override;
    /// From now on it can be changed. EROFS, EIO, ENOMEM.
    Result<void> start_writing();
    Result<void> remount(std::string_view options, bool read_only) override;
    void show_options(TextSink sink) override;
    Result<vfs::FileHandle> handle_of(vfs::Inode& inode) override;
    Result<RefPtr<vfs::Inode>> inode_of(const vfs::FileHandle& handle) override;

    ListNode mounted_node; // of all that are mounted

private:
    Ext4SuperBlock(vfs::FileSystemType& type, RefPtr<block::Device> device);
    NullableRefPtr<Ext4Inode> find(u32 number);
    Result<void> start(const Ext4Options& options);

    RefPtr<block::Device> device_;
    OwnPtr<ext4::Volume> volume_;
    Ext4Options options_;
    core::SpinLock errors_lock_;
    ext4::ErrorNotes errors_; // errors_lock_
    std::atomic<ext4::ErrorBehaviour> on_error_{ext4::ErrorBehaviour::Continue};
    std::atomic<u32> logged_errors_{0};
    OwnPtr<Ext4Writing> owned_writing_;
    std::atomic<Ext4Writing*> writing_{nullptr};
    core::SpinLock inodes_lock_;
    IntrusiveTree<Ext4Inode, &Ext4Inode::table_node, Ext4Inode::NumberOf> inodes_; // keeps none alive
};

} // namespace linnet::fs
