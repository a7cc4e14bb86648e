// Access to system registers by name, and the few fields that more than one file needs.
#pragma once

#include <lib/types.hpp>

#define READ_SYSTEM_REGISTER(name)                                                                                     \
    ({                                                                                                                 \
        ::linnet::u64 value_;                                                                                          \
        asm volatile("mrs %0, " #name : "=r"(value_) : : "memory");                                                    \
        value_;                                                                                                        \
    })
#define WRITE_SYSTEM_REGISTER(name, value)                                                                             \
    asm volatile("msr " #name ", %0" : : "r"(static_cast<::linnet::u64>(value)) : "memory")

namespace linnet::arch {

/// The four-bit field at `shift` of an ID register.
constexpr unsigned id_field(u64 value, unsigned shift) { return static_cast<unsigned>(value >> shift) & 15; }

/// Affinity fields of MPIDR_EL1, as the device tree's `reg` of a CPU has them.
inline constexpr u64 mpidr_affinity_mask = 0xff'00ff'ffff;

} // namespace linnet::arch
