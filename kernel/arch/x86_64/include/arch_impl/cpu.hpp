// x86_64: the interrupt flag and a few instructions.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

/// RFLAGS as it was.
using InterruptState = u64;
inline constexpr u64 rflags_interrupt = 1u << 9;

inline u64 read_flags() {
    u64 flags;
    asm volatile("pushfq\n\tpopq %0" : "=r"(flags)::"memory");
    return flags;
}
inline bool interrupts_enabled() { return (read_flags() & rflags_interrupt) != 0; }
inline void enable_interrupts() { asm volatile("sti" ::: "memory"); }
inline void disable_interrupts() { asm volatile("cli" ::: "memory"); }
inline InterruptState save_and_disable_interrupts() {
    u64 flags = read_flags();
    disable_interrupts();
    return flags;
}
inline void restore_interrupts(InterruptState state) {
    if (state & rflags_interrupt) enable_interrupts();
}
inline void relax() { asm volatile("pause"); }
/// x86_64 keeps instruction fetches coherent with stores; only a serialising instruction is due after
/// cross-modification.
inline void synchronise_instruction_stream() {
    u32 eax = 0, ebx, ecx = 0, edx;
    asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx)::"memory");
}

} // namespace linnet::arch
