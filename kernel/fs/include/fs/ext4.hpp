// ext4, read-only so far.
#pragma once

#include <lib/result.hpp>

namespace linnet::fs {

/// Makes it known to mount(2). At boot.
Result<void> register_ext4();

} // namespace linnet::fs
