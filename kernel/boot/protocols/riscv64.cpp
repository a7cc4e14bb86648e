// RISC-V is entered by Linux's Image protocol, with a device tree.
#include "../parse.hpp"

namespace linnet::boot {

Result<void> parse_protocol(const Handoff& handoff, BootInfo& info) {
    if (handoff.protocol != Handoff::Protocol::DeviceTree) return error(Errno::EINVAL);
    return parse_device_tree(handoff.data, handoff, info);
}

} // namespace linnet::boot
