// Setting a tracee's registers (arch/tracing.hpp): NT_PRSTATUS, the FPSIMD registers, the thread pointer, the number
// of the system call, breakpoints and watchpoints, and SVE's registers.
#include <arch/tracing.hpp>

#include "debug_registers.hpp"
#include "sve_set.hpp"

#include <abi/linux/elf.hpp>
#include <cstring>

namespace linnet::arch {

usize register_set_unit(u32 type) {
    switch (type) {
    case abi::NT_PRFPREG:
    case abi::NT_ARM_SYSTEM_CALL:
    case abi::NT_ARM_HW_BREAK:
    case abi::NT_ARM_HW_WATCH:
        return sizeof(u32);
    default:
        return sizeof(u64);
    }
}

Result<void> write_register_set(UserContext& context, u32 type, std::span<const u8> from, usize given) {
    if (type == abi::NT_PRSTATUS) {
        abi::linux_user_regs regs;
        std::memcpy(&regs, from.data(), sizeof regs);
        return context.from_user_regs(regs);
    }
    if (type == abi::NT_PRFPREG) {
        context.save_extended_state();
        std::memcpy(&context.fpsimd(), from.data(), from.size());
        context.turn_off_sve();
        context.extended_state_changed();
    } else if (type == abi::NT_ARM_TLS) {
        u64 tls;
        std::memcpy(&tls, from.data(), sizeof tls);
        context.set_tls({tls});
    } else if (type == abi::NT_ARM_SYSTEM_CALL) {
        i32 number;
        std::memcpy(&number, from.data(), sizeof number);
        context.set_syscall_number(number);
    } else if (type == abi::NT_ARM_HW_BREAK || type == abi::NT_ARM_HW_WATCH) {
        const DebugKind kind = type == abi::NT_ARM_HW_BREAK ? DebugKind::Break : DebugKind::Watch;
        return write_debug_set(context, kind, from.first(given));
    } else if (type == abi::NT_ARM_SVE) {
        return write_sve_set(context, from.first(given));
    } else {
        return error(Errno::EINVAL);
    }
    return {};
}

RegisterRequest register_request(long) { return {}; }
Result<WordRequest> word_request(long, u64) { return error(Errno::EIO); }
Result<u64> read_user_area(UserContext&, u64) { return error(Errno::EIO); }
Result<void> write_user_area(UserContext&, u64, u64) { return error(Errno::EIO); }

} // namespace linnet::arch
