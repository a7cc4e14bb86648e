// CPUs with a timer each, and a clock that stands still until it is moved.
#pragma once

#include <atomic>
#include <lib/types.hpp>

namespace linnet::test {

inline constexpr u32 timer_cpus = 4;

extern std::atomic<u64> clock_now;
/// What each CPU's hardware timer was set to last.
extern u64 programmed[timer_cpus];

/// Makes the queues; the first call counts.
void prepare_timers();
/// From now on the calling host thread is that CPU.
void run_as_cpu(u32 number);

} // namespace linnet::test
