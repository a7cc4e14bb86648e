// The initramfs: cpio archives that the boot loader put into memory, unpacked into the root file system.
#pragma once

#include <lib/result.hpp>
#include <span>

namespace linnet::fs {

/// Unpacks one or several archives, each cpio or gzip'd cpio, into the current root. What is malformed ends
/// it with EINVAL; what was unpacked before stays. Runs in a kernel thread at boot.
Result<void> unpack_initramfs(std::span<const u8> archive);

} // namespace linnet::fs
