// The list of announced device nodes. node_lock is held while listeners are told, so that each hears every
// node once.
#include <abi/linux/stat.hpp>
#include <algorithm>
#include <core/mutex.hpp>
#include <lib/own_ptr.hpp>
#include <vfs/device_node.hpp>

namespace linnet::vfs {

namespace {

struct StoredNode {
    ListNode list_node;
    char name[32];
    usize length;
    DeviceNode node;
};

constinit core::Mutex node_lock;
constinit IntrusiveList<StoredNode, &StoredNode::list_node> nodes;
constinit IntrusiveList<DeviceNodeListener, &DeviceNodeListener::list_node> listeners;

} // namespace

Result<void> announce_device_node(const DeviceNode& node) {
    if (node.name.empty() || node.name.size() >= sizeof(StoredNode::name)) return error(Errno::ENAMETOOLONG);
    OwnPtr<StoredNode> stored = TRY(try_make<StoredNode>());
    std::copy(node.name.begin(), node.name.end(), stored->name);
    stored->length = node.name.size();
    stored->node = node;
    stored->node.name = {stored->name, stored->length};
    core::MutexGuard guard(node_lock);
    StoredNode& kept = *stored.release();
    nodes.push_back(kept);
    for (DeviceNodeListener& listener : listeners) listener.node_announced(kept.node);
    return {};
}

void add_device_node_listener(DeviceNodeListener& listener) {
    core::MutexGuard guard(node_lock);
    listeners.push_back(listener);
    for (StoredNode& stored : nodes) listener.node_announced(stored.node);
}

} // namespace linnet::vfs
