// System-call numbers of RISC-V 64. `renameat` never existed here (renameat2 replaced it before the port).
#pragma once

#include <abi/linux/generic_syscall_numbers.hpp>

namespace linnet::abi::nr {

enum RiscvSyscallNumber : int {
    renameat = -1,
    newfstatat = 79,
    fstat = 80,
    getrlimit = 163,
    setrlimit = 164,
    riscv_hwprobe = 258,
    riscv_flush_icache = 259,
    memfd_secret = 447,
};

} // namespace linnet::abi::nr
