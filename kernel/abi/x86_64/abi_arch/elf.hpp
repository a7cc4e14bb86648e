// The e_machine of programs that run here.
#pragma once

#include <abi/linux/elf.hpp>

namespace linnet::abi {
inline constexpr u16 elf_machine = EM_X86_64;
} // namespace linnet::abi
