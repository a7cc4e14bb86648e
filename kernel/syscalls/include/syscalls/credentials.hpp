// User and group ids and capabilities: setuid(2), setgroups(2), capset(2) …
#pragma once

#include <abi/linux/prctl.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using IdOut = mm::UserPtr<mm::Out, u32>;

Result<long> sys_capget(process::Thread&, mm::UserPtr<mm::InOut, abi::cap_user_header> header,
                        mm::UserPtr<mm::Out, abi::cap_user_data> data);
Result<long> sys_capset(process::Thread&, mm::UserPtr<mm::InOut, abi::cap_user_header> header,
                        mm::UserPtr<mm::In, abi::cap_user_data> data);
Result<long> sys_getegid(process::Thread&);
Result<long> sys_geteuid(process::Thread&);
Result<long> sys_getgid(process::Thread&);
Result<long> sys_getgroups(process::Thread&, int size, IdOut list);
Result<long> sys_getresgid(process::Thread&, IdOut real, IdOut effective, IdOut saved);
Result<long> sys_getresuid(process::Thread&, IdOut real, IdOut effective, IdOut saved);
Result<long> sys_getuid(process::Thread&);
Result<long> sys_setfsgid(process::Thread&, u32 gid);
Result<long> sys_setfsuid(process::Thread&, u32 uid);
Result<long> sys_setgid(process::Thread&, u32 gid);
Result<long> sys_setgroups(process::Thread&, int size, mm::UserPtr<mm::In, u32> list);
Result<long> sys_setregid(process::Thread&, u32 real, u32 effective);
Result<long> sys_setresgid(process::Thread&, u32 real, u32 effective, u32 saved);
Result<long> sys_setresuid(process::Thread&, u32 real, u32 effective, u32 saved);
Result<long> sys_setreuid(process::Thread&, u32 real, u32 effective);
Result<long> sys_setuid(process::Thread&, u32 uid);

inline constexpr Entry credential_calls[] = {
    entry<sys_capget>("capget", nr::capget),          entry<sys_capset>("capset", nr::capset),
    entry<sys_getegid>("getegid", nr::getegid),       entry<sys_geteuid>("geteuid", nr::geteuid),
    entry<sys_getgid>("getgid", nr::getgid),          entry<sys_getgroups>("getgroups", nr::getgroups),
    entry<sys_getresgid>("getresgid", nr::getresgid), entry<sys_getresuid>("getresuid", nr::getresuid),
    entry<sys_getuid>("getuid", nr::getuid),          entry<sys_setfsgid>("setfsgid", nr::setfsgid),
    entry<sys_setfsuid>("setfsuid", nr::setfsuid),    entry<sys_setgid>("setgid", nr::setgid),
    entry<sys_setgroups>("setgroups", nr::setgroups), entry<sys_setregid>("setregid", nr::setregid),
    entry<sys_setresgid>("setresgid", nr::setresgid), entry<sys_setresuid>("setresuid", nr::setresuid),
    entry<sys_setreuid>("setreuid", nr::setreuid),    entry<sys_setuid>("setuid", nr::setuid),
};

} // namespace linnet::syscalls
