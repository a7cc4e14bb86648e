// loongarch64: page faults as events (arch/fault_watch.hpp).
#pragma once

namespace linnet::arch {

inline constexpr bool tells_of_page_faults = false;

} // namespace linnet::arch
