// Flags of mmap(2) that not every architecture has.
#pragma once

#include <abi/linux/mman.hpp>

namespace linnet::abi {

/// MAP_32BIT where the architecture defines it, else no bit at all.
inline constexpr u32 map_32bit = 0;

/// Address randomisation as Linux has it here, in bits of pages: of mappings and programs (vm.mmap_rnd_bits: the
/// default is also the least) and of the stack.
inline constexpr unsigned mmap_random_bits = 12, mmap_random_bits_max = 18, stack_random_bits = 9;
/// Where mappings begin in the legacy layout, which grows upwards; and whether a process without a stack limit gets it.
inline constexpr u64 legacy_mmap_base = (u64{1} << 47) / 3;
inline constexpr bool unlimited_stack_is_legacy = true;

} // namespace linnet::abi
