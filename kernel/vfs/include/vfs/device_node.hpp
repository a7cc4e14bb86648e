// Device nodes as drivers announce them: which names /dev should hold. devtmpfs and sysfs listen; a listener
// hears of all nodes, also of those announced before it came.
#pragma once

#include <lib/intrusive_list.hpp>
#include <string_view>
#include <vfs/device.hpp>

namespace linnet::vfs {

struct DeviceNode {
    std::string_view name; // below /dev, at most 31 bytes, may hold one '/'
    u32 mode = 0;          // type and permissions
    DeviceNumber number{};
    std::string_view subsystem; // the folder of /sys/class that it appears in; a literal
};

class DeviceNodeListener {
public:
    virtual void node_announced(const DeviceNode& node) = 0;
    ListNode list_node;

protected:
    ~DeviceNodeListener() = default;
};

/// Announces a node; it stays for ever. ENAMETOOLONG, ENOMEM.
Result<void> announce_device_node(const DeviceNode& node);
/// `listener` lives for ever.
void add_device_node_listener(DeviceNodeListener& listener);

} // namespace linnet::vfs
