// signalfd(2): pending signals as a file.
#pragma once

#include <process/signal.hpp>
#include <vfs/file.hpp>

namespace linnet::process {

/// A file for the current process. `flags`: O_NONBLOCK or 0.
Result<RefPtr<vfs::File>> create_signalfd(SigSet mask, u32 flags);
/// Changes the mask of one. EINVAL for another kind of file.
Result<void> set_signalfd_mask(vfs::File& file, SigSet mask);

} // namespace linnet::process
