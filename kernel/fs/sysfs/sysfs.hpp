// Devices as /sys/class shows them; called by the one observer of the list of devices.
#pragma once

#include <vfs/device_nodes.hpp>

namespace linnet::fs {

Result<void> show_device_in_class(const vfs::DeviceNode& node);
void hide_device_from_class(const vfs::DeviceNode& node);

} // namespace linnet::fs
