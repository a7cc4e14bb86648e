// set_mempolicy(2), mbind(2), get_mempolicy(2), move_pages(2).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u32 MPOL_DEFAULT = 0, MPOL_PREFERRED = 1, MPOL_BIND = 2, MPOL_INTERLEAVE = 3, MPOL_LOCAL = 4,
                     MPOL_PREFERRED_MANY = 5;
/// Flags in the mode.
inline constexpr u32 MPOL_F_RELATIVE_NODES = 1u << 14, MPOL_F_STATIC_NODES = 1u << 15;
/// Of get_mempolicy.
inline constexpr u64 MPOL_F_NODE = 1, MPOL_F_ADDR = 2, MPOL_F_MEMS_ALLOWED = 4;
/// Of mbind and move_pages.
inline constexpr u64 MPOL_MF_STRICT = 1, MPOL_MF_MOVE = 2, MPOL_MF_MOVE_ALL = 4;

} // namespace linnet::abi
