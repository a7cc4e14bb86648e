// Contract: registers of programs in samples (perf_event_open(2), PERF_SAMPLE_REGS_USER), by the numbers of
// <asm/perf_regs.h>.
//
// <arch_impl/sampled_registers.hpp> defines:
//   - sampled_registers: the numbers that there are, as bits;
//   - sampled_register(): one of them.
#pragma once

#include <arch/user_context.hpp>

#include <arch_impl/sampled_registers.hpp>
