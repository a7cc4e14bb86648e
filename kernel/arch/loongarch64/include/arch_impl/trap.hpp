// LoongArch: entering user code. The assembly (trap.S) saves few registers: a caller that is told so keeps what it
// needs for less.
#pragma once

#include <array>
#include <bit>

namespace linnet::arch {

inline TrapReason enter_user(UserContext& context) {
    register u64 first asm("a0") = reinterpret_cast<u64>(&context);
    register u64 second asm("a1");
    asm volatile("bl arch_enter_user"
                 : "+r"(first), "=r"(second)
                 :
                 : "memory", "$r1", "$r6", "$r7", "$r8", "$r9", "$r10", "$r11", "$r12", "$r13", "$r14", "$r15", "$r16",
                   "$r17", "$r18", "$r19", "$r20", "$r23", "$r24", "$r25", "$r26", "$r27", "$r28", "$r29", "$r30",
                   "$r31");
    return std::bit_cast<TrapReason>(std::array<u64, 2>{first, second});
}

} // namespace linnet::arch
