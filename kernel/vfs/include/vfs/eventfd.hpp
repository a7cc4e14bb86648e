// eventfd(2): a counter that can be waited for.
#pragma once

#include <vfs/file.hpp>

namespace linnet::vfs {

enum class EventFdMode : u8 { Counter, Semaphore };
/// `flags`: O_NONBLOCK or 0.
Result<RefPtr<File>> create_eventfd(u32 initial, EventFdMode mode, u32 flags);

} // namespace linnet::vfs
