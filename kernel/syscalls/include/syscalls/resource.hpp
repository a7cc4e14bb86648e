// Resource limits and usage: getrlimit(2), prlimit(2), getrusage(2), times(2).
#pragma once

#include <abi/linux/resource.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using LimitOut = mm::UserPtr<mm::Out, abi::rlimit64>;
using LimitIn = mm::UserPtr<mm::In, abi::rlimit64>;

Result<long> sys_getrlimit(process::Thread&, u32 resource, LimitOut limit);
Result<long> sys_getrusage(process::Thread&, int who, mm::UserPtr<mm::Out, abi::rusage> usage);
Result<long> sys_prlimit64(process::Thread&, process::Pid pid, u32 resource, LimitIn fresh, LimitOut old);
Result<long> sys_setrlimit(process::Thread&, u32 resource, LimitIn limit);
Result<long> sys_times(process::Thread&, mm::UserPtr<mm::Out, abi::tms> times);

inline constexpr Entry resource_calls[] = {
    entry<sys_getrlimit>("getrlimit", nr::getrlimit),
    entry<sys_getrusage>("getrusage", nr::getrusage),
    entry<sys_prlimit64>("prlimit64", nr::prlimit64),
    entry<sys_setrlimit>("setrlimit", nr::setrlimit),
    entry<sys_times>("times", nr::times),
};

} // namespace linnet::syscalls
