// Flags of mmap(2) that not every architecture has.
#pragma once

#include <abi/linux/mman.hpp>

namespace linnet::abi {

/// MAP_32BIT where the architecture defines it, else no bit at all.
inline constexpr u32 map_32bit = 0;

} // namespace linnet::abi
