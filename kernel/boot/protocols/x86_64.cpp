// x86_64 is entered by PVH.
#include "../parse.hpp"

namespace linnet::boot {

Result<void> parse_protocol(const Handoff& handoff, BootInfo& info) {
    if (handoff.protocol != Handoff::Protocol::Pvh) return error(Errno::EINVAL);
    return parse_pvh(handoff, info);
}

} // namespace linnet::boot
