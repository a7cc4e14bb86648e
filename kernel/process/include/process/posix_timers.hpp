// timer_create(2): timers of a process that send signals.
#pragma once

#include <abi/linux/time.hpp>
#include <process/process.hpp>
#include <process/timerfd.hpp>

namespace linnet::process {

/// The new timer's id; `event` null: SIGALRM with the id as its value. EINVAL for a bad event or clock,
/// EOPNOTSUPP for CPU-time clocks, EAGAIN when there are too many.
Result<int> create_timer(Process& process, int clock, const abi::sigevent* event);
enum class TimerMode : u8 { Relative, Absolute };
/// Returns the old setting. EINVAL: no such timer.
Result<TimerSetting> set_timer(Process& process, int id, TimerMode mode, const TimerSetting& setting);
Result<TimerSetting> get_timer(Process& process, int id);
/// Expirations beyond the one that the last signal told of.
Result<int> timer_overrun(Process& process, int id);
Result<void> delete_timer(Process& process, int id);

} // namespace linnet::process
