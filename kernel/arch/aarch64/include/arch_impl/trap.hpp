// Frame of an exception that was taken from kernel code, as vectors.S pushes it.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

struct TrapFrame {
    u64 x[31];
    u64 sp;
    u64 pc;
    u64 pstate;
    u64 record[2]; // a frame record (previous x29, pc), so that backtraces continue through the exception
};

} // namespace linnet::arch
