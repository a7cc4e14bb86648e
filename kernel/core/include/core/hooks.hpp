// Calls that core makes upwards; defined by mm.
#pragma once

#include <lib/result.hpp>
#include <lib/types.hpp>

namespace linnet::hooks {

/// A kernel stack of arch::kernel_stack_size bytes with a guard page below; returns its top (exclusive).
Result<uintptr_t> allocate_kernel_stack();
/// Takes it back. Any context that may spin; nobody runs on it any more.
void free_kernel_stack(uintptr_t top);

} // namespace linnet::hooks
