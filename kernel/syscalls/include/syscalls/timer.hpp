// Timers: timer_create(2), timerfd_create(2).
#pragma once

#include <abi/linux/time.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using ITimerSpecIn = mm::UserPtr<mm::In, abi::itimerspec>;
using ITimerSpecOut = mm::UserPtr<mm::Out, abi::itimerspec>;

Result<long> sys_timer_create(process::Thread&, int clock, mm::UserPtr<mm::In, abi::sigevent> event,
                              mm::UserPtr<mm::Out, int> id);
Result<long> sys_timer_delete(process::Thread&, int id);
Result<long> sys_timer_getoverrun(process::Thread&, int id);
Result<long> sys_timer_gettime(process::Thread&, int id, ITimerSpecOut setting);
Result<long> sys_timer_settime(process::Thread&, int id, u32 flags, ITimerSpecIn fresh, ITimerSpecOut old);
Result<long> sys_timerfd_create(process::Thread&, int clock, u32 flags);
Result<long> sys_timerfd_gettime(process::Thread&, int fd, ITimerSpecOut setting);
Result<long> sys_timerfd_settime(process::Thread&, int fd, u32 flags, ITimerSpecIn fresh, ITimerSpecOut old);

inline constexpr Entry timer_calls[] = {
    entry<sys_timer_create>("timer_create", nr::timer_create),
    entry<sys_timer_delete>("timer_delete", nr::timer_delete),
    entry<sys_timer_getoverrun>("timer_getoverrun", nr::timer_getoverrun),
    entry<sys_timer_gettime>("timer_gettime", nr::timer_gettime),
    entry<sys_timer_settime>("timer_settime", nr::timer_settime),
    entry<sys_timerfd_create>("timerfd_create", nr::timerfd_create),
    entry<sys_timerfd_gettime>("timerfd_gettime", nr::timerfd_gettime),
    entry<sys_timerfd_settime>("timerfd_settime", nr::timerfd_settime),
};

} // namespace linnet::syscalls
