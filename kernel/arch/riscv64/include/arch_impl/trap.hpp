// RISC-V: entering user code. The assembly (trap.S) saves few registers: a caller that is told so keeps what it needs
// for less.
#pragma once

#include <array>
#include <bit>

namespace linnet::arch {

inline TrapReason enter_user(UserContext& context) {
    register u64 first asm("a0") = reinterpret_cast<u64>(&context);
    register u64 second asm("a1");
    asm volatile("call arch_enter_user"
                 : "+r"(first), "=r"(second)
                 :
                 : "memory", "ra", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a2", "a3", "a4", "a5", "a6", "a7", "s1",
                   "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11");
    return std::bit_cast<TrapReason>(std::array<u64, 2>{first, second});
}

} // namespace linnet::arch
