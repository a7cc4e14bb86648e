// Timer calls; the timers are in process/.
#include <abi/linux/fcntl.hpp>
#include <process/posix_timers.hpp>
#include <syscalls/timer.hpp>
#include <vfs/credentials.hpp>
#include <vfs/fd_table.hpp>

#include "clock_values.hpp"
#include "usage.hpp"

namespace linnet::syscalls {

using process::Thread;
using process::TimerSetting;

namespace {

Result<TimerSetting> read_setting(ITimerSpecIn pointer) {
    abi::itimerspec value = TRY(pointer.copy_in());
    return TimerSetting{.value_ns = TRY(to_ns(value.it_value)), .interval_ns = TRY(to_ns(value.it_interval))};
}

abi::itimerspec to_itimerspec(const TimerSetting& setting) {
    return {.it_interval = to_timespec(setting.interval_ns), .it_value = to_timespec(setting.value_ns)};
}

} // namespace

Result<long> sys_timer_create(Thread& thread, int clock, mm::UserPtr<mm::In, abi::sigevent> event,
                              mm::UserPtr<mm::Out, int> id) {
    abi::sigevent wanted{};
    if (event) wanted = TRY(event.copy_in());
    int number = TRY(process::create_timer(thread, clock, event ? &wanted : nullptr));
    if (Result<void> told = id.copy_out(number); !told) {
        (void)process::delete_timer(thread.process(), number);
        return error(told.error());
    }
    return 0;
}

Result<long> sys_timer_settime(Thread& thread, int id, u32 flags, ITimerSpecIn fresh, ITimerSpecOut old) {
    if (fresh.is_null()) return error(Errno::EINVAL);
    TimerSetting setting = TRY(read_setting(fresh));
    process::TimerMode mode =
        (flags & abi::TIMER_ABSTIME) ? process::TimerMode::Absolute : process::TimerMode::Relative;
    TimerSetting previous = TRY(process::set_timer(thread.process(), id, mode, setting));
    if (old) TRY(old.copy_out(to_itimerspec(previous)));
    return 0;
}

Result<long> sys_timer_gettime(Thread& thread, int id, ITimerSpecOut setting) {
    TRY(setting.copy_out(to_itimerspec(TRY(process::get_timer(thread.process(), id)))));
    return 0;
}

Result<long> sys_timer_getoverrun(Thread& thread, int id) { return TRY(process::timer_overrun(thread.process(), id)); }

Result<long> sys_timer_delete(Thread& thread, int id) {
    TRY(process::delete_timer(thread.process(), id));
    return 0;
}

Result<long> sys_timerfd_create(Thread& thread, int clock, u32 flags) {
    if (flags & ~(abi::O_CLOEXEC | abi::O_NONBLOCK)) return error(Errno::EINVAL);
    bool is_alarm = clock == abi::CLOCK_REALTIME_ALARM || clock == abi::CLOCK_BOOTTIME_ALARM;
    if (clock != abi::CLOCK_REALTIME && clock != abi::CLOCK_MONOTONIC && clock != abi::CLOCK_BOOTTIME && !is_alarm)
        return error(Errno::EINVAL);
    if (is_alarm && !thread.own_credentials().has(vfs::Capability::WakeAlarm)) return error(Errno::EPERM);
    RefPtr<vfs::File> file = TRY(process::create_timerfd(clock, flags & abi::O_NONBLOCK));
    return TRY(thread.own_files().add(std::move(file), vfs::close_on_exec(flags)));
}

Result<long> sys_timerfd_settime(Thread& thread, int fd, u32 flags, ITimerSpecIn fresh, ITimerSpecOut old) {
    if (flags & ~u32{abi::TFD_TIMER_ABSTIME | abi::TFD_TIMER_CANCEL_ON_SET}) return error(Errno::EINVAL);
    TimerSetting setting = TRY(read_setting(fresh));
    vfs::FileRef file = TRY(thread.own_files().use(fd));
    TimerSetting previous = TRY(process::set_timerfd(*file, flags, setting));
    if (old) TRY(old.copy_out(to_itimerspec(previous)));
    return 0;
}

Result<long> sys_timerfd_gettime(Thread& thread, int fd, ITimerSpecOut setting) {
    vfs::FileRef file = TRY(thread.own_files().use(fd));
    TRY(setting.copy_out(to_itimerspec(TRY(process::get_timerfd(*file)))));
    return 0;
}

} // namespace linnet::syscalls
