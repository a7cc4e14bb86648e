// Calls that core makes upwards; defined by mm.
#pragma once

#include <arch/hooks.hpp>

namespace linnet::hooks {

/// Takes back what allocate_kernel_stack() gave. Any context that may spin; nobody runs on it any more.
void free_kernel_stack(uintptr_t top);

} // namespace linnet::hooks
