// The hashes of names by which a directory's index is sorted ("ext4 Data Structures and Algorithms", hash tree
// directories).
#pragma once

#include <lib/types.hpp>
#include <optional>
#include <span>
#include <string_view>

namespace linnet::ext4 {

/// By the number in the root of an index. The unsigned ones take the characters of names as unsigned.
enum class HashVersion : u8 { Legacy, HalfMd4, Tea, LegacyUnsigned, HalfMd4Unsigned, TeaUnsigned };

/// What the index is sorted by, with its lowest bit clear: that bit says of an entry of the index that the hash goes on
/// from the entry before; and what tells most names of one hash apart.
struct NameHash {
    u32 major, minor;
};

/// `seed` is the superblock's; all zeros: the customary one. Absent for an unknown version.
std::optional<NameHash> hash_name(std::string_view name, HashVersion version, std::span<const u32, 4> seed);

} // namespace linnet::ext4
