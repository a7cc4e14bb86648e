// How often pages show by last-level tables that several address spaces share.
#pragma once

#include <lib/types.hpp>
#include <span>

namespace linnet::mm {

/// For each frame from `first_frame` on: in how many address spaces it shows beyond those that own an entry for it.
/// `counts` is zero before. Looks at every shared table, one mmap lock after another.
void count_table_sharers(u64 first_frame, std::span<u64> counts);

} // namespace linnet::mm
