// Flags of mmap(2) that not every architecture has.
#pragma once

#include <abi/linux/mman.hpp>

namespace linnet::abi {

/// MAP_32BIT where the architecture defines it, else no bit at all.
inline constexpr u32 map_32bit = MAP_32BIT;

/// Address randomisation as Linux has it here, in bits of pages: of mappings and programs (vm.mmap_rnd_bits: the
/// default is also the least) and of the stack.
inline constexpr unsigned mmap_random_bits = 28, mmap_random_bits_max = 32, stack_random_bits = 22;
/// Where mappings begin in the legacy layout, which grows upwards; and whether a process without a stack limit gets it.
inline constexpr u64 legacy_mmap_base = u64{0x7fff'ffff'f000} / 3;
inline constexpr bool unlimited_stack_is_legacy = false;

} // namespace linnet::abi
