// Entries in a block of a directory, as those who change them see them.
#pragma once

#include "directory_index.hpp"

namespace linnet::ext4 {

inline constexpr usize least_entry = 12;
/// What an entry takes at least.
constexpr usize entry_size(usize name_length) { return (sizeof(RawEntry) + name_length + 3) / 4 * 4; }

struct EntryInBlock {
    usize offset = 0, length = 0;
    RawEntry raw{};
    std::string_view name;
};
/// The entry at `offset` of the entries of a block. EUCLEAN.
Result<EntryInBlock> entry_at(std::span<const u8> entries, usize offset, usize block_size);
void store_entry(std::span<u8> block, usize offset, usize length, u32 inode, std::string_view name, u8 type);

} // namespace linnet::ext4
