// The names of devices: drivers announce them, devtmpfs shows them under /dev. A list that only grows (and shrinks when
// a device goes), independent of whether devtmpfs is mounted yet.
//
// Lock order: the list's lock is a mutex, outermost; the observer is called with it held.
#pragma once

#include <lib/function_ref.hpp>
#include <string_view>
#include <vfs/device.hpp>

namespace linnet::vfs {

struct DeviceNode {
    static constexpr usize max_name = 32;
    char name[max_name] = {}; // path below /dev, e.g. "ttyS0" or "input/event0"
    u32 mode = 0;             // S_IFCHR or S_IFBLK and permissions
    DeviceNumber number;
    const char* class_name = ""; // /sys/class/CLASS/NAME: "tty", "mem", "misc", "virtio-ports" …
    char directory[128] = {};    // its own in /sys, from the root on: "devices/…"; empty: the one in the class
};

/// Says that the device is there; `directory` as in DeviceNode. EINVAL for a name that is empty or too long, EEXIST,
/// ENOMEM. May sleep.
Result<void> announce_device(std::string_view name, u32 mode, DeviceNumber number, const char* class_name,
                             std::string_view directory = {});
/// Says that it is gone.
void withdraw_device(std::string_view name);

/// Called for every device known now and later, and (removed) for those that go. One observer: devtmpfs.
using DeviceObserver = void (*)(const DeviceNode& node, bool removed);
void observe_devices(DeviceObserver observer);
/// All of them, under the list's lock (sysfs).
void for_each_device(FunctionRef<void(const DeviceNode&)> visit);

} // namespace linnet::vfs
