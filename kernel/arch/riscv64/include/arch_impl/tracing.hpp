// What ptrace(2) offers here (arch/tracing.hpp).
#pragma once

#include <lib/types.hpp>

namespace linnet::arch::detail {

inline constexpr bool can_single_step = false;
inline constexpr u32 audit_architecture = 0xc00000f3;
inline constexpr long emulate_request = 0, emulate_step_request = 0;

} // namespace linnet::arch::detail
