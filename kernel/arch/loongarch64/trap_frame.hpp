// What the trap entry pushes when kernel code is interrupted or faults.
#pragma once

#include <arch/platform.hpp>

namespace linnet::arch {

struct TrapFrame {
    u64 regs[32];      // [0] is ERA, [n] is $rn
    u64 previous_mode; // PRMD
    u64 status;        // ESTAT
    u64 address;       // BADV
    u64 unused;
    StackFrame record; // the interrupted code's frame pointer and pc, so that backtraces pass through
};

} // namespace linnet::arch
