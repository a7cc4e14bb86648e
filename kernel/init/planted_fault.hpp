// Faults planted on request, to prove that a sanitizer build finds them.
#pragma once

#include <string_view>

namespace linnet::init {

/// The boot parameter linnet.fault=: heap-overflow, heap-underflow, use-after-free, double-free, memset-overflow or
/// shift. Nothing in other builds.
void plant_fault(std::string_view name);

} // namespace linnet::init
