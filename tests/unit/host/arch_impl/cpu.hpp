// The host tests have no interrupts.
#pragma once

#include <lib/types.hpp>
#include <sched.h>

namespace linnet::arch {

using InterruptState = u64;
inline bool interrupts_enabled() { return true; }
inline InterruptState save_and_disable_interrupts() { return 0; }
inline void restore_interrupts(InterruptState) {}
inline void enable_interrupts() {}
inline void disable_interrupts() {}
inline void relax() { sched_yield(); }
inline void synchronise_instruction_stream() {}

} // namespace linnet::arch
