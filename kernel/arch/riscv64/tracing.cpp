// Setting a tracee's registers (arch/tracing.hpp): NT_PRSTATUS, and the registers of the D and V
// extensions.
#include <arch/tracing.hpp>

#include <abi/linux/elf.hpp>
#include <cstring>

#include "isa.hpp"
#include "vector_set.hpp"

namespace linnet::arch {
namespace {

/// Whatever vtype, vl and vstart are: the CPU makes of them what it makes of the same from user code.
Result<void> write_vector(UserContext& context, std::span<const u8> from, usize given) {
    VectorSetHeader header;
    std::memcpy(&header, from.data(), sizeof header);
    if (given < sizeof header || header.vlenb != vector_register_bytes()) return error(Errno::EINVAL);
    (void)context.save_extended_state();
    VectorState& state = *context.vector;
    state.vstart = header.vstart;
    state.vl = header.vl;
    state.vtype = header.vtype;
    state.vcsr = header.vcsr;
    std::memcpy(state.bytes(), from.data() + sizeof header, from.size() - sizeof header);
    context.extended_state_changed();
    return {};
}

} // namespace

usize register_set_unit(u32) { return sizeof(u64); }

Result<void> write_register_set(UserContext& context, u32 type, std::span<const u8> from, usize given) {
    if (type == abi::NT_PRSTATUS) {
        abi::linux_user_regs regs;
        std::memcpy(&regs, from.data(), sizeof regs);
        return context.from_user_regs(regs);
    }
    if (type == abi::NT_RISCV_VECTOR) return write_vector(context, from, given);
    if (type != abi::NT_PRFPREG) return error(Errno::EINVAL);
    std::memcpy(context.save_extended_state().data(), from.data(), from.size());
    context.extended_state_changed();
    return {};
}

RegisterRequest register_request(long) { return {}; }
Result<WordRequest> word_request(long, u64) { return error(Errno::EIO); }
Result<u64> read_user_area(UserContext&, u64) { return error(Errno::EIO); }
Result<void> write_user_area(UserContext&, u64, u64) { return error(Errno::EIO); }

} // namespace linnet::arch
