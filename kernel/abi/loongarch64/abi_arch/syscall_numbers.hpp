// System-call numbers of LoongArch. `renameat`, `getrlimit` and `setrlimit` never existed here (renameat2 and
// prlimit64 replaced them before the port).
#pragma once

#include <abi/linux/generic_syscall_numbers.hpp>

namespace linnet::abi::nr {

enum LoongArchSyscallNumber : int {
    renameat = -1,
    newfstatat = 79,
    fstat = 80,
    getrlimit = -1,
    setrlimit = -1,
    memfd_secret = 447,
    riscv_hwprobe = -1,
    riscv_flush_icache = -1,
};

} // namespace linnet::abi::nr
