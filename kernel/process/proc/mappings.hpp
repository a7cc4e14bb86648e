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

/// Calls visit(info, usage) for up to `most` mappings that end behind `from`. The lock is given up between them, so
/// that a large process isn't stopped. Returns the end of the last, or 0 when there are no more.
template <typename Visit>
u64 visit_some_usage(mm::AddressSpace& space, u64 from, usize most, Visit visit) {
    VirtAddr next{from};
    do next = space.visit_usage(next, visit);
    while (next.value != 0 && --most > 0);
    return next.value;
}

template <typename Visit>
void for_each_usage(mm::AddressSpace& space, Visit visit) {
    for (u64 from = 0; (from = visit_some_usage(space, from, ~usize{0}, visit)) != 0;) {
    }
}

} // namespace linnet::process::proc
