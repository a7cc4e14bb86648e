// 9P: folders of others, mostly of the host.
#pragma once

#include <lib/result.hpp>

namespace linnet::fs {

/// Makes it known to mount(2). At boot.
Result<void> register_9p();

} // namespace linnet::fs
