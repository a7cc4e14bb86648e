// Lists of block numbers: twelve numbers in the inode, then a list, a list of lists, and a list of those.
#include "block_lists.hpp"

#include <algorithm>
#include <cstring>

namespace linnet::ext4 {

namespace {

constexpr usize direct = 12, most_levels = 3;

u32 number_in(std::span<const u8> list, usize place) {
    u32 number;
    std::memcpy(&number, list.data() + place * sizeof(number), sizeof(number));
    return number;
}

void store_numbers(std::span<u8> list, usize place, u64 first, usize count, u64 step) {
    for (usize i = 0; i < count; ++i) {
        const u32 number = static_cast<u32>(first + i * step);
        std::memcpy(list.data() + (place + i) * sizeof(number), &number, sizeof(number));
    }
}

/// The way from the inode to the number of a block.
struct Way {
    struct Level {
        u64 number = 0; // of the list's block; 0: in the inode
        Block block;
        usize place = 0;
        u64 covered = 1; // blocks of the file behind each number
    };
    Level levels[most_levels + 1];
    usize depth = 0; // of the last level, the one with numbers of the file's own blocks
    usize there = 0; // the last level that exists
    u64 rest = 0;    // of the index, behind the first that is found through the same number in the inode
};

class Lists {
public:
    explicit Lists(const InodeEdit& edit) : edit_(edit), shift_(edit.volume().block_shift() - 2) {}

    /// EFBIG behind what lists can tell of.
    Result<Way> find(u64 index) const {
        Way way;
        Way::Level& root = way.levels[0];
        root.place = index;
        if (index >= direct) {
            u64 rest = index - direct;
            while (rest >= u64{1} << shift_ * (way.depth + 1)) {
                rest -= u64{1} << shift_ * (way.depth + 1);
                if (++way.depth == most_levels) return error(Errno::EFBIG);
            }
            root.place = direct + way.depth++;
            root.covered = u64{1} << shift_ * way.depth;
            way.rest = rest;
            for (usize level = 1; level <= way.depth; ++level) {
                way.levels[level].covered = u64{1} << shift_ * (way.depth - level);
                way.levels[level].place = rest / way.levels[level].covered;
                rest %= way.levels[level].covered;
            }
        }
        while (way.there < way.depth) {
            const u32 number = number_in(list(way, way.there), way.levels[way.there].place);
            if (number == 0) break;
            TRY(edit_.volume().check_blocks(number, 1));
            Way::Level& next = way.levels[++way.there];
            next.number = number;
            next.block = TRY(edit_.volume().read_block(number));
        }
        return way;
    }
    [[nodiscard]] std::span<const u8> list(const Way& way, usize level) const {
        return level == 0 ? std::span<const u8>(edit_.inode.raw.block) : way.levels[level].block.bytes();
    }
    /// How many numbers of a level there are for this purpose: the lists behind the inode's numbers are another.
    [[nodiscard]] usize end_of(const Way& way, usize level) const {
        if (level > 0) return usize{1} << shift_;
        return way.depth == 0 ? direct : way.levels[0].place + 1;
    }

    /// A level's numbers, to be changed.
    struct Changed {
        MutableBlock block;
        std::span<u8> bytes;
    };
    Result<Changed> change(const Way& way, usize level) const {
        if (level == 0) return Changed{{}, edit_.inode.raw.block};
        Changed changed{TRY(edit_.writer.change(way.levels[level].number)), {}};
        changed.bytes = changed.block.bytes();
        return changed;
    }

    /// Blocks with numbers that lists can hold, counted as the inode's.
    Result<Run> allocate(u64 goal, u64 most) const {
        const Run run = TRY(edit_.allocator.allocate_blocks(edit_.writer, goal, most, edit_.privilege));
        Result<void> counted = error(Errno::ENOSPC);
        if (run.first + run.count <= u64{1} << 32)
            counted = add_to_block_count(edit_.volume(), edit_.inode, static_cast<i64>(run.count));
        if (counted) return run;
        (void)edit_.allocator.undo_blocks(edit_.writer, run);
        return error(counted.error());
    }
    /// An empty list where there is none.
    Result<void> add_list(const Way& way) const {
        Changed above = TRY(change(way, way.there));
        const Run run = TRY(allocate(goal(way), 1));
        if (auto fresh = edit_.writer.fresh(run.first); !fresh) {
            (void)edit_.allocator.undo_blocks(edit_.writer, run);
            (void)add_to_block_count(edit_.volume(), edit_.inode, -1);
            return error(fresh.error());
        }
        store_numbers(above.bytes, way.levels[way.there].place, run.first, 1, 0);
        return {};
    }
    /// Behind what lies before it in its list.
    [[nodiscard]] u64 goal(const Way& way) const {
        const Way::Level& last = way.levels[way.there];
        const auto numbers = list(way, way.there);
        for (usize place = last.place; place-- > 0;)
            if (const u32 number = number_in(numbers, place)) return number + u64{last.place - place};
        return last.number ? last.number + 1 : edit_.home();
    }

    /// Whether a level has no numbers outside of [begin, end).
    [[nodiscard]] bool is_empty_without(const Way& way, usize level, usize begin, usize end) const {
        const auto numbers = list(way, level);
        for (usize place = 0; place < end_of(way, level); ++place)
            if ((place < begin || place >= end) && number_in(numbers, place) != 0) return false;
        return true;
    }
    /// Frees blocks whose numbers are [begin, end) of the last level, and lists that have no others.
    Result<void> remove(const Way& way, usize begin, usize end) const {
        BlockFreeing freeing(edit_.allocator, edit_.writer);
        if (begin < end) TRY(freeing.add(number_in(list(way, way.there), begin), end - begin, edit_.contents()));
        usize level = way.there;
        while (level > 0 && is_empty_without(way, level, begin, end)) {
            TRY(freeing.add(way.levels[level].number, 1, BlockContents::Metadata));
            --level;
            begin = way.levels[level].place;
            end = begin + 1;
        }
        Changed changed = TRY(change(way, level));
        TRY(freeing.finish());
        store_numbers(changed.bytes, begin, 0, end - begin, 0);
        return add_to_block_count(edit_.volume(), edit_.inode, -static_cast<i64>(freeing.count()));
    }

private:
    const InodeEdit& edit_;
    u32 shift_; // of the numbers in a block
};

} // namespace

Result<Run> allocate_in_lists(const InodeEdit& edit, u64 index, u64 most) {
    const Lists lists(edit);
    Way way = TRY(lists.find(index));
    while (way.there < way.depth) {
        TRY(lists.add_list(way));
        way = TRY(lists.find(index));
    }
    const usize place = way.levels[way.depth].place;
    most = std::min<u64>(most, lists.end_of(way, way.depth) - place);
    Lists::Changed changed = TRY(lists.change(way, way.depth));
    const Run run = TRY(lists.allocate(lists.goal(way), most));
    store_numbers(changed.bytes, place, run.first, run.count, 1);
    return run;
}

Result<u64> remove_last_in_lists(const InodeEdit& edit, u64 first, u64 end) {
    const Lists lists(edit);
    u64 reach = direct; // of lists: one more than the greatest index
    for (usize level = 1; level <= most_levels; ++level) reach += u64{1} << (edit.volume().block_shift() - 2) * level;
    end = std::min(end, reach);
    if (first >= end) return first;
    const u64 last = end - 1;
    const Way way = TRY(lists.find(last));
    const Way::Level& level = way.levels[way.there];
    // Where the number at `place` begins to speak of the file.
    const u64 begin = last - way.rest % level.covered;
    if (way.there < way.depth) {
        // Nothing is here; but a list that has nothing at all goes too.
        if (way.there > 0 && lists.is_empty_without(way, way.there, 0, 0)) TRY(lists.remove(way, 0, 0));
        return std::max(first, begin);
    }
    const auto numbers = lists.list(way, way.there);
    const usize least = level.place - std::min<u64>(level.place, last - first);
    usize stop = level.place + 1;
    while (stop > least && number_in(numbers, stop - 1) == 0) --stop;
    usize start = stop;
    if (stop > least) --start;
    while (start > least && start < stop && number_in(numbers, start - 1) + 1 == number_in(numbers, start) &&
           number_in(numbers, start - 1) != 0)
        --start;
    const bool is_something = start < stop;
    if (is_something || (way.there > 0 && lists.is_empty_without(way, way.there, 0, 0)))
        TRY(lists.remove(way, start, stop));
    return last - (level.place - start);
}

} // namespace linnet::ext4
