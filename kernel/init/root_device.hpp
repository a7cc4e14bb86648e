// Which device root= means.
#pragma once

#include <optional>
#include <string_view>
#include <vfs/device.hpp>

namespace linnet::init {

/// What a value of root= means, of the disks that there are now: /dev/NAME, PARTUUID=ID[/PARTNROFF=N], PARTLABEL=NAME,
/// MAJOR:MINOR or a device number in hexadecimal digits (Linux, Documentation/admin-guide/kernel-parameters). A number
/// is one whether or not there is such a device. UUID= is nothing that the kernel knows, as on Linux.
std::optional<vfs::DeviceNumber> find_root_device(std::string_view name);
/// Whether there is a device of this number.
bool has_device(vfs::DeviceNumber number);

} // namespace linnet::init
