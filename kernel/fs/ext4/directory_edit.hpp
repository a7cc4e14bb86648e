// Changes of directories. Entries of a directory without an index never move; one whose first block is full gets an
// index, if the file system has them.
#pragma once

#include "directory.hpp"
#include "inode_edit.hpp"

namespace linnet::ext4 {

/// What can be done to a directory, whose inode's size, blocks and flags change with it (see InodeEdit). Directories in
/// their inodes (inline data) are not changed: EOPNOTSUPP. All functions: EUCLEAN, EBADMSG, and the writer's errors,
/// with which no name has come or gone.
class DirectoryEditor {
public:
    explicit DirectoryEditor(const InodeEdit& edit) : edit_(edit) {}

    /// The first block of a new directory, with "." and "..". ENOSPC.
    Result<void> start(u32 parent);
    /// A name that is not there yet; its length is 1 to 255. ENOSPC: the disk is full, or the index is.
    Result<void> add(std::string_view name, u32 inode, u8 type);
    /// Takes a name away; the inode it had. ENOENT.
    Result<u32> remove(std::string_view name);
    /// Gives a name that is there to another inode; the inode it had. ENOENT.
    Result<u32> replace(std::string_view name, u32 inode, u8 type);
    /// Changes what ".." is.
    Result<void> set_parent(u32 parent);
    /// Whether there is nothing but "." and "..".
    Result<bool> is_empty() const;

private:
    struct NewBlock {
        u64 index = 0; // in the directory
        MutableBlock block;
    };
    [[nodiscard]] Volume& volume() const { return edit_.volume(); }
    [[nodiscard]] u64 blocks() const { return edit_.inode.size() >> volume().block_shift(); }
    [[nodiscard]] usize end_of_entries() const;
    Result<void> check_kind() const;
    Result<NewBlock> append_block();
    void seal_leaf(std::span<u8> block) const;
    void seal_index(std::span<u8> block, usize begin) const;
    void start_node(std::span<u8> block, usize begin, usize count) const;
    [[nodiscard]] u8 stored_type(u8 type) const;

    struct Slot {
        usize offset, used; // what an entry there keeps of its room
    };
    Result<std::optional<Slot>> find_slot(std::span<const u8> block, usize name_length) const;
    void fill_slot(std::span<u8> block, Slot slot, std::string_view name, u32 inode, u8 type) const;
    Result<bool> add_to_block(const DirectoryBlock& block, std::string_view name, u32 inode, u8 type);
    Result<void> add_to_end(std::string_view name, u32 inode, u8 type);
    struct FoundEntry {
        MutableBlock block;
        usize offset = 0;
        std::optional<usize> before; // the entry before it in the block
    };
    Result<FoundEntry> find_entry(std::string_view name, u64 end);
    Result<void> check_dots(std::span<const u8> block) const;

    Result<void> make_index();
    Result<void> add_to_index(std::string_view name, u32 inode, u8 type);
    Result<void> make_room(IndexPath& path);
    Result<void> deepen(IndexPath& path);
    Result<void> split_node(IndexPath& path, usize level);
    Result<void> split_leaf(IndexPath& path, const DirectoryBlock& leaf);
    void insert_child(std::span<u8> block, const IndexNode& node, IndexNode::Entry child) const;

    InodeEdit edit_;
};

/// The most links that are counted.
inline constexpr u16 most_links = 65'000;
/// One more link to a file, or for a directory one more child that is a directory. A directory with an index may have
/// more children than can be counted, if the file system has the feature dir_nlink: it has the count 1 from then on.
/// EMLINK.
Result<void> add_link(const Volume& volume, DiskInode& inode);
/// One link less.
void remove_link(DiskInode& inode);

} // namespace linnet::ext4
