// What shmat(2) wants of addresses.
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

/// SHMLBA where it is more than a page and holds for every address given; 0 elsewhere.
inline constexpr u64 shared_memory_alignment = 0;

} // namespace linnet::abi
