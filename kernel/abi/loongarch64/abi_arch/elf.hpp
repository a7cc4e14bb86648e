// The e_machine of programs that run here.
#pragma once

#include <abi/linux/elf.hpp>

namespace linnet::abi {
inline constexpr u16 elf_machine = EM_LOONGARCH;
} // namespace linnet::abi
