// The list behind announce_device().
#include <core/mutex.hpp>
#include <cstring>
#include <lib/array_list.hpp>
#include <vfs/device_nodes.hpp>

namespace linnet::vfs {
namespace {

constinit core::Mutex list_lock;
constinit DeviceObserver device_observer = nullptr;

/// Made at the first announcement; lives for ever.
ArrayList<DeviceNode>* nodes = nullptr;

Result<ArrayList<DeviceNode>*> list() {
    if (!nodes) nodes = new (std::nothrow) ArrayList<DeviceNode>;
    if (!nodes) return error(Errno::ENOMEM);
    return nodes;
}

} // namespace

Result<void> announce_device(std::string_view name, u32 mode, DeviceNumber number, const char* class_name,
                             std::string_view directory) {
    DeviceNode node;
    if (name.empty() || name.size() >= DeviceNode::max_name) return error(Errno::EINVAL);
    if (directory.size() >= sizeof node.directory) return error(Errno::EINVAL);
    memcpy(node.directory, directory.data(), directory.size());
    memcpy(node.name, name.data(), name.size());
    node.mode = mode;
    node.number = number;
    node.class_name = class_name;
    core::MutexGuard guard(list_lock);
    ArrayList<DeviceNode>& all = *TRY(list());
    for (const DeviceNode& each : all)
        if (name == each.name) return error(Errno::EEXIST);
    TRY(all.try_push(node));
    if (device_observer) device_observer(node, false);
    return {};
}

void withdraw_device(std::string_view name) {
    core::MutexGuard guard(list_lock);
    if (!nodes) return;
    for (usize i = 0; i < nodes->size(); ++i) {
        if (name != (*nodes)[i].name) continue;
        DeviceNode gone = (*nodes)[i];
        nodes->remove_at(i);
        if (device_observer) device_observer(gone, true);
        return;
    }
}

void observe_devices(DeviceObserver observer) {
    core::MutexGuard guard(list_lock);
    device_observer = observer;
    if (!nodes) return;
    for (const DeviceNode& node : *nodes) observer(node, false);
}

void for_each_device(FunctionRef<void(const DeviceNode&)> visit) {
    core::MutexGuard guard(list_lock);
    if (!nodes) return;
    for (const DeviceNode& node : *nodes) visit(node);
}

} // namespace linnet::vfs
