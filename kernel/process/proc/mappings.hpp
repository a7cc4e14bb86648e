// What the files that list mappings share: maps, smaps, numa_maps.
#pragma once

#include "task.hpp"
#include <mm/address_space.hpp>

namespace linnet::process::proc {

/// Where a line's name begins; it is padded with blanks up to there.
inline constexpr usize name_column = 73;

/// A mapping's line of /proc/PID/maps.
void show_mapping(const mm::MappingInfo& info, TextSink sink);
/// The name of a mapping's file, with what would break a line as \ooo.
void show_label(const mm::MappingLabel& label, std::string_view escaped, TextSink sink);

/// Calls visit(info, usage) for each mapping. The lock is given up between them, so that a large process isn't stopped.
template <typename Visit>
void for_each_usage(mm::AddressSpace& space, Visit visit) {
    VirtAddr from{};
    do from = space.visit_usage(from, visit);
    while (from.value != 0);
}

} // namespace linnet::process::proc
