// Changes of a tree of extents. Nodes are filled from the left, and given up when they are empty; a tree that has grown
// keeps its depth until it is empty.
#pragma once

#include "extent_node.hpp"
#include "inode_edit.hpp"

namespace linnet::ext4 {

class ExtentTree {
public:
    /// The most blocks that one extent holds.
    static constexpr u64 most_written = most_written_length, most_unwritten = most_written_length - 1;
    /// One more than the greatest index that a block of a file can have.
    static constexpr u64 end_of_file = ~u32{0};

    explicit ExtentTree(const InodeEdit& edit) : edit_(edit) {}

    /// Where blocks for `index` would best lie: behind those before it.
    Result<u64> goal(u64 index);
    /// Puts a run, with a kind and not longer than an extent, where the file has a hole. ENOSPC, when there is no block
    /// for a node; EUCLEAN.
    Result<void> insert(u64 index, const Run& run);
    /// What is unwritten from `index` on counts as written. Works in steps. ENOSPC, EUCLEAN.
    Result<void> mark_written(u64 index, u64 count);
    /// Frees the last blocks before `end`, not further back than `first`, as far as one step goes: at most as many as a
    /// group has, in one extent. Where it came to: from there to `end` is a hole. ENOSPC, when blocks in the midst of
    /// an extent are to go and there is no block for a node; EUCLEAN.
    Result<u64> remove_last(u64 first, u64 end);
    /// Moves the extents of one leaf, of those that begin at `from` or behind it the first, `distance` towards the
    /// file's beginning, into a hole. Where the next ones begin; end_of_file when there are none. EUCLEAN.
    Result<u64> move_down(u64 from, u64 distance);
    /// Moves the extents of one leaf, of those between `from` and `until` the last, `distance` towards the file's end,
    /// into a hole. Up to where those before them reach; `from` when there are none. EFBIG, EUCLEAN.
    Result<u64> move_up(u64 from, u64 until, u64 distance);
    /// An extent that `index` lies within becomes two. ENOSPC, EUCLEAN.
    Result<void> part_at(u64 index);

private:
    /// A node on the way to an index.
    struct Level {
        u64 number = 0; // of its block; 0 for the root
        Block block;
        MutableBlock changed; // once it may be changed
        bool is_changeable = false;
        ExtentNode node;
        usize place = 0; // of the entry that leads on; in a leaf the number of extents that begin up to the index
    };
    struct Path {
        Level levels[most_extent_depth + 1];
        usize depth = 0;
        Level& leaf() { return levels[depth]; }
    };
    /// Extents that come in the place of `count` others.
    struct Plan {
        static constexpr usize most = 5;
        usize at = 0, count = 0, size = 0;
        Extent with[most];
        void add(const Extent& extent);
    };

    Result<void> find(u64 index, Path& path);
    Result<void> change(Level& level);
    [[nodiscard]] std::span<u8> bytes(Level& level);
    void seal(Level& level);
    Plan with_neighbours(Path& path, const Plan& plan) const;
    Result<bool> has_room(Path& path, const Plan& plan, Privilege privilege);
    Result<void> prepare(Path& path, const Plan& plan);
    void apply(Path& path, const Plan& plan);
    Result<void> prepare_keys(Path& path, usize level);
    void store_keys(Path& path, usize level);
    Result<void> make_room(Path& path, Privilege privilege);
    Result<void> grow(Path& path, Privilege privilege);
    Result<void> split(Path& path, usize level, Privilege privilege);
    Result<void> fill_new_node(u64 number, const Level& from, usize first, usize count);
    Result<u64> allocate_node(u64 goal, Privilege privilege);
    void undo_node(u64 number);
    Result<void> remove_leaf(Path& path, BlockFreeing& freeing);
    [[nodiscard]] static u64 first_behind(const Path& path);
    Result<void> move_entries(Path& path, usize begin, usize end, i64 distance);

    InodeEdit edit_;
};

} // namespace linnet::ext4
