// The root file system on a disk, for a boot that no initramfs decides.
#pragma once

#include "command_line.hpp"

namespace linnet::init {

/// Waits for the device that root= names as the command line says, mounts it, devtmpfs on its /dev, and makes it the
/// root of everybody who is started from now on. Panics, as Linux does, when there is nothing to mount. May sleep.
void mount_root(const RootOptions& options);

} // namespace linnet::init
