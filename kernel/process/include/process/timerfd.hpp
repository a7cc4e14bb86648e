// timerfd_create(2): a timer that is read.
#pragma once

#include <abi/linux/time.hpp>
#include <vfs/file.hpp>

namespace linnet::process {

/// A timer's setting in nanoseconds; 0 is off.
struct TimerSetting {
    u64 value_ns = 0;
    u64 interval_ns = 0;
};

/// `clock` is CLOCK_REALTIME, CLOCK_MONOTONIC or CLOCK_BOOTTIME (or the alarm form of one); `flags`:
/// O_NONBLOCK or 0.
Result<RefPtr<vfs::File>> create_timerfd(int clock, u32 flags);
/// timerfd_settime(2): `flags` are abi::TFD_TIMER_*; returns the old setting. EINVAL when `file` is no
/// timerfd.
Result<TimerSetting> set_timerfd(vfs::File& file, u32 flags, const TimerSetting& setting);
Result<TimerSetting> get_timerfd(vfs::File& file);
} // namespace linnet::process
