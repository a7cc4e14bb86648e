// The parts of /sys: devices by class, called by the one observer of the list of devices, and memory.
#pragma once

#include <vfs/device_nodes.hpp>

namespace linnet::fs {

/// kernel/mm.
Result<void> register_huge_page_knobs();

Result<void> show_device_in_class(const vfs::DeviceNode& node);
void hide_device_from_class(const vfs::DeviceNode& node);

} // namespace linnet::fs
