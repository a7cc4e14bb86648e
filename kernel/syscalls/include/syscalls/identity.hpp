// The system and attributes of a task: uname(2), sysinfo(2), prctl(2), personality(2), getrandom(2), reboot(2).
#pragma once

#include <abi/linux/utsname.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

Result<long> sys_getrandom(process::Thread&, VirtAddr buffer, u64 size, u32 flags);
Result<long> sys_personality(process::Thread&, u32 persona);
Result<long> sys_prctl(process::Thread&, int option, u64 second, u64 third, u64 fourth, u64 fifth);
Result<long> sys_reboot(process::Thread&, u32 magic, u32 magic2, u32 command, VirtAddr argument);
Result<long> sys_setdomainname(process::Thread&, VirtAddr name, int length);
Result<long> sys_sethostname(process::Thread&, VirtAddr name, int length);
Result<long> sys_sysinfo(process::Thread&, mm::UserPtr<mm::Out, abi::sysinfo> info);
Result<long> sys_uname(process::Thread&, mm::UserPtr<mm::Out, abi::new_utsname> names);

inline constexpr Entry identity_calls[] = {
    entry<sys_getrandom>("getrandom", nr::getrandom),
    entry<sys_personality>("personality", nr::personality, Support::Partial,
                           "PER_LINUX32 is kept, but there are no 32-bit programs; brk(2) knows no READ_IMPLIES_EXEC"),
    entry<sys_prctl>("prctl", nr::prctl, Support::Partial,
                     "EINVAL without seccomp, KSM, Yama, core scheduling, names of "
                     "anonymous memory, control of speculation, dispatch of calls to the program, and what single "
                     "architectures have besides SET_TSC of x86_64"),
    entry<sys_reboot>("reboot", nr::reboot, Support::Partial, "no kexec, no suspend: EINVAL"),
    entry<sys_setdomainname>("setdomainname", nr::setdomainname),
    entry<sys_sethostname>("sethostname", nr::sethostname),
    entry<sys_sysinfo>("sysinfo", nr::sysinfo),
    entry<sys_uname>("uname", nr::uname),
};

} // namespace linnet::syscalls
