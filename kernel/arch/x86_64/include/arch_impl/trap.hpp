// x86_64: entering user code. The assembly (entry.S) saves few registers: a caller that is told so keeps what it needs
// for less.
#pragma once

#include <array>
#include <bit>

namespace linnet::arch {

inline TrapReason enter_user(UserContext& context) {
    u64 first, second;
    UserContext* in_rdi = &context;
    asm volatile("call arch_enter_user"
                 : "=a"(first), "=d"(second), "+D"(in_rdi)
                 :
                 : "memory", "cc", "rbx", "rcx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15");
    return std::bit_cast<TrapReason>(std::array<u64, 2>{first, second});
}

} // namespace linnet::arch
