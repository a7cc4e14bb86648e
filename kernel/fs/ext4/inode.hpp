// Inodes of ext4 as vfs sees them: one class a kind.
#pragma once

#include "volume.hpp"

#include <lib/intrusive_tree.hpp>
#include <vfs/inode.hpp>

namespace linnet::fs {

class Ext4SuperBlock;

/// Also serves as the inode of device nodes, FIFOs and sockets.
class Ext4Inode : public vfs::Inode {
public:
    Ext4Inode(Ext4SuperBlock& superblock, ext4::DiskInode disk);
    ~Ext4Inode() override;
    /// Of the kind that the mode says. EUCLEAN for a mode of no kind, or blocks that can't be found.
    static Result<RefPtr<Ext4Inode>> create(Ext4SuperBlock& superblock, ext4::DiskInode disk);

    Ext4SuperBlock& ext4() const;
    [[nodiscard]] const ext4::DiskInode& disk() const { return disk_; }

    Result<vfs::Attributes> attributes() override;
    Result<void> set_attributes(const vfs::AttributeChange&) override { return error(Errno::EROFS); }
    Result<usize> get_extended_attribute(std::string_view name, std::span<u8> value) override;
    Result<usize> list_extended_attributes(std::span<char> names) override;

    struct NumberOf {
        using type = u64;
        u64 operator()(const Ext4Inode& inode) const { return inode.number(); }
    };
    TreeNode table_node; // Ext4SuperBlock's table of inodes, its lock
    bool is_in_table = false;

private:
    const ext4::DiskInode disk_;
};

class Ext4File final : public Ext4Inode, private mm::PageSource {
public:
    Ext4File(Ext4SuperBlock& superblock, ext4::DiskInode disk) : Ext4Inode(superblock, std::move(disk)) {}
    ~Ext4File() override;
    Result<void> start();

    mm::VmObject* pages() override { return pages_.get(); }
    Result<u64> seek_data(u64 offset) override;
    Result<u64> seek_hole(u64 offset) override;

private:
    enum class Wanted : u8 { Data, Hole };
    Result<u64> seek(u64 offset, Wanted wanted);
    Result<void> read_page(u64 index, mm::Page& page) override;
    Result<void> write_page(u64, mm::Page&) override { return error(Errno::EROFS); }
    Result<void> read_pages(u64 index, std::span<mm::Page* const> pages) override;
    Result<void> read_inline(u64 index, std::span<mm::Page* const> pages);

    NullableRefPtr<mm::FileObject> pages_;
};

class Ext4Symlink final : public Ext4Inode {
public:
    using Ext4Inode::Ext4Inode;
    Result<vfs::LinkTarget> read_link() override;
};

class Ext4Directory final : public Ext4Inode {
public:
    using Ext4Inode::Ext4Inode;
    Result<RefPtr<vfs::Inode>> lookup(std::string_view name) override;
    Result<void> read_directory(u64 position, vfs::DirectorySink sink) override;
};

} // namespace linnet::fs
