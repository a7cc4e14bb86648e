// Overlays: several folders shown as one, of which only the upper one changes (mount -t overlay).
#pragma once

#include <lib/result.hpp>

namespace linnet::fs {

/// Makes it known to mount(2). At boot.
Result<void> register_overlay();

} // namespace linnet::fs
