// Setting a tracee's registers (arch/tracing.hpp): NT_PRSTATUS and the D extension's.
#include <arch/tracing.hpp>

#include <abi/linux/elf.hpp>
#include <cstring>

namespace linnet::arch {

usize register_set_unit(u32) { return sizeof(u64); }

Result<void> write_register_set(UserContext& context, u32 type, std::span<const u8> from, usize) {
    if (type == abi::NT_PRSTATUS) {
        abi::linux_user_regs regs;
        std::memcpy(&regs, from.data(), sizeof regs);
        return context.from_user_regs(regs);
    }
    if (type != abi::NT_PRFPREG) return error(Errno::EINVAL);
    std::memcpy(context.save_extended_state().data(), from.data(), from.size());
    context.extended_state_changed();
    return {};
}

RegisterRequest register_request(long) { return {}; }
Result<u64> read_user_area(UserContext&, u64) { return error(Errno::EIO); }
Result<void> write_user_area(UserContext&, u64, u64) { return error(Errno::EIO); }

} // namespace linnet::arch
