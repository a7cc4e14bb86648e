// System-call numbers of AArch64.
#pragma once

#include <abi/linux/generic_syscall_numbers.hpp>

namespace linnet::abi::nr {

enum Aarch64SyscallNumber : int {
    renameat = 38,
    newfstatat = 79,
    fstat = 80,
    getrlimit = 163,
    setrlimit = 164,
    memfd_secret = 447,
    riscv_hwprobe = -1,
    riscv_flush_icache = -1,
};

} // namespace linnet::abi::nr
