// The host tests have no interrupts, but run_on_cpus() waits for those who have turned them off (core.cpp).
#pragma once

#include <lib/types.hpp>
#include <sched.h>

namespace linnet::arch {

using InterruptState = u64;
inline bool interrupts_enabled() { return true; }
InterruptState save_and_disable_interrupts();
void restore_interrupts(InterruptState state);
inline void enable_interrupts() {}
inline void disable_interrupts() {}
inline void relax() { sched_yield(); }
inline void synchronise_instruction_stream() {}

} // namespace linnet::arch
