// What a partition is called in its table, besides its number.
#pragma once

#include <lib/types.hpp>

namespace linnet::block {

struct PartitionName {
    static constexpr usize uuid_length = 36; // hexadecimal digits and four hyphens
    static constexpr usize label_units = 36; // of UTF-16 in a GPT

    /// As root=PARTUUID= has it, in lower case: of a GPT the partition's own, of an MBR the disk's signature and the
    /// partition's number ("0012abcd-01"). Empty: none.
    char uuid[uuid_length + 1] = {};
    /// What is not printable ASCII is an exclamation mark, as on Linux. Empty: none, as always in an MBR.
    char label[label_units + 1] = {};
};

} // namespace linnet::block
