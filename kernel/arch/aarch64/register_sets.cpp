// AArch64: general registers, FPSIMD, the thread pointer, debug registers, the system call, and SVE (arm64's NT_ARM_*).
#include "debug_registers.hpp"
#include "sve_set.hpp"

#include <abi/linux/elf.hpp>
#include <arch/register_sets.hpp>

namespace linnet::arch {
namespace {

usize fpsimd_size() { return sizeof(abi::user_fpsimd_state); }
void read_fpsimd(UserContext& of, std::span<u8> to) {
    __builtin_memcpy(to.data(), of.save_extended_state().data(), to.size());
}

/// The second is TPIDR2, which comes with SME: as on Linux it is there, and 0, without.
usize tls_size() { return 2 * sizeof(u64); }
void read_tls(UserContext& of, std::span<u8> to) {
    const u64 pointers[] = {of.tls().value, 0};
    __builtin_memcpy(to.data(), pointers, sizeof pointers);
}

void read_breakpoints(UserContext& of, std::span<u8> to) { read_debug_set(of, DebugKind::Break, to); }
void read_watchpoints(UserContext& of, std::span<u8> to) { read_debug_set(of, DebugKind::Watch, to); }

usize system_call_size() { return sizeof(i32); }
void read_system_call(UserContext& of, std::span<u8> to) {
    const auto number = static_cast<i32>(of.syscall_number());
    __builtin_memcpy(to.data(), &number, sizeof number);
}

bool always_used(const UserContext&) { return true; }

constexpr RegisterSet sets[] = {
    {"CORE", abi::NT_PRSTATUS, general_set_size, read_general_set},
    {"CORE", abi::NT_PRFPREG, fpsimd_size, read_fpsimd},
    {"LINUX", abi::NT_ARM_TLS, tls_size, read_tls},
    {"LINUX", abi::NT_ARM_HW_BREAK, debug_set_size, read_breakpoints},
    {"LINUX", abi::NT_ARM_HW_WATCH, debug_set_size, read_watchpoints},
    {"LINUX", abi::NT_ARM_SYSTEM_CALL, system_call_size, read_system_call},
    {"LINUX", abi::NT_ARM_SVE, sve_set_size, read_sve_set, always_used, used_sve_size},
};

} // namespace

std::span<const RegisterSet> register_sets() { return sets; }

} // namespace linnet::arch
