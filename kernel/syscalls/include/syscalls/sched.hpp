// Scheduling: sched_setaffinity(2), sched_setscheduler(2), getpriority(2), ioprio_set(2), getcpu(2) …
#pragma once

#include <abi/linux/sched.hpp>
#include <abi/linux/time.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using process::Pid;
using SchedParamIn = mm::UserPtr<mm::In, abi::sched_param>;

Result<long> sys_getcpu(process::Thread&, mm::UserPtr<mm::Out, u32> cpu, mm::UserPtr<mm::Out, u32> node);
Result<long> sys_getpriority(process::Thread&, int which, u32 who);
Result<long> sys_ioprio_get(process::Thread&, int which, Pid who);
Result<long> sys_ioprio_set(process::Thread&, int which, Pid who, int priority);
Result<long> sys_sched_get_priority_max(process::Thread&, int policy);
Result<long> sys_sched_get_priority_min(process::Thread&, int policy);
Result<long> sys_sched_getaffinity(process::Thread&, Pid pid, u32 size, VirtAddr mask);
Result<long> sys_sched_getattr(process::Thread&, Pid pid, VirtAddr attributes, u32 size, u32 flags);
Result<long> sys_sched_getparam(process::Thread&, Pid pid, mm::UserPtr<mm::Out, abi::sched_param> param);
Result<long> sys_sched_getscheduler(process::Thread&, Pid pid);
Result<long> sys_sched_rr_get_interval(process::Thread&, Pid pid, mm::UserPtr<mm::Out, abi::timespec> interval);
Result<long> sys_sched_setaffinity(process::Thread&, Pid pid, u32 size, VirtAddr mask);
Result<long> sys_sched_setattr(process::Thread&, Pid pid, VirtAddr attributes, u32 flags);
Result<long> sys_sched_setparam(process::Thread&, Pid pid, SchedParamIn param);
Result<long> sys_sched_setscheduler(process::Thread&, Pid pid, int policy, SchedParamIn param);
Result<long> sys_sched_yield(process::Thread&);
Result<long> sys_setpriority(process::Thread&, int which, u32 who, int nice);

inline constexpr Entry sched_calls[] = {
    entry<sys_getcpu>("getcpu", nr::getcpu),
    entry<sys_getpriority>("getpriority", nr::getpriority),
    entry<sys_ioprio_get>("ioprio_get", nr::ioprio_get),
    entry<sys_ioprio_set>("ioprio_set", nr::ioprio_set),
    entry<sys_sched_get_priority_max>("sched_get_priority_max", nr::sched_get_priority_max),
    entry<sys_sched_get_priority_min>("sched_get_priority_min", nr::sched_get_priority_min),
    entry<sys_sched_getaffinity>("sched_getaffinity", nr::sched_getaffinity),
    entry<sys_sched_getattr>("sched_getattr", nr::sched_getattr),
    entry<sys_sched_getparam>("sched_getparam", nr::sched_getparam),
    entry<sys_sched_getscheduler>("sched_getscheduler", nr::sched_getscheduler),
    entry<sys_sched_rr_get_interval>("sched_rr_get_interval", nr::sched_rr_get_interval),
    entry<sys_sched_setaffinity>("sched_setaffinity", nr::sched_setaffinity),
    entry<sys_sched_setattr>("sched_setattr", nr::sched_setattr),
    entry<sys_sched_setparam>("sched_setparam", nr::sched_setparam),
    entry<sys_sched_setscheduler>("sched_setscheduler", nr::sched_setscheduler),
    entry<sys_sched_yield>("sched_yield", nr::sched_yield),
    entry<sys_setpriority>("setpriority", nr::setpriority),
};

} // namespace linnet::syscalls
