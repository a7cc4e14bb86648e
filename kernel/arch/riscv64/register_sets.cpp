// RISC-V: general registers, F and D, and V (struct user_regs_struct, __riscv_d_ext_state, __riscv_v_regset_state).
#include <abi/linux/elf.hpp>
#include <arch/register_sets.hpp>

#include "isa.hpp"
#include "vector_set.hpp"

namespace linnet::arch {
namespace {

usize floating_point_size() { return isa().has_floating_point ? sizeof(FloatingPointState) : 0; }
void read_floating_point(UserContext& of, std::span<u8> to) {
    __builtin_memcpy(to.data(), of.save_extended_state().data(), to.size());
}

usize vector_size() {
    return vector_register_bytes() != 0 ? sizeof(VectorSetHeader) + 32 * vector_register_bytes() : 0;
}
void read_vector(UserContext& of, std::span<u8> to) {
    (void)of.save_extended_state();
    const VectorState& state = *of.vector;
    const VectorSetHeader header{state.vstart, state.vl, state.vtype, state.vcsr, vector_register_bytes()};
    __builtin_memcpy(to.data(), &header, sizeof header);
    __builtin_memcpy(to.data() + sizeof header, state.bytes(), to.size() - sizeof header);
}

bool uses_vector(const UserContext& by) { return by.unit_state(csr::sstatus_vs_shift) != csr::unit_off; }

constexpr RegisterSet sets[] = {
    {"CORE", abi::NT_PRSTATUS, general_set_size, read_general_set},
    {"CORE", abi::NT_PRFPREG, floating_point_size, read_floating_point},
    {"LINUX", abi::NT_RISCV_VECTOR, vector_size, read_vector, uses_vector},
};

} // namespace

std::span<const RegisterSet> register_sets() { return sets; }

} // namespace linnet::arch
