// The open flags whose values depend on the architecture; the rest is in <abi/linux/fcntl.hpp>.
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u32 O_DIRECT = 040000, O_LARGEFILE = 0100000, O_DIRECTORY = 0200000, O_NOFOLLOW = 0400000;

} // namespace linnet::abi
