// What ptrace(2) offers here (arch/tracing.hpp).
#pragma once

#include <lib/types.hpp>

namespace linnet::arch::detail {

inline constexpr bool can_single_step = true;
inline constexpr u32 audit_architecture = 0xc000003e;
inline constexpr long emulate_request = 31, emulate_step_request = 32;

} // namespace linnet::arch::detail
