// LoongArch is entered as by Linux's EFI stub: an EFI system table that leads to a device tree.
#include "../parse.hpp"

namespace linnet::boot {

Result<void> parse_protocol(const Handoff& handoff, BootInfo& info) {
    if (handoff.protocol != Handoff::Protocol::EfiLoongArch) return error(Errno::EINVAL);
    return parse_efi(handoff, info);
}

} // namespace linnet::boot
