// The kernel's log: syslog(2).
#pragma once

#include <syscalls/table.hpp>

namespace linnet::syscalls {

Result<long> sys_syslog(process::Thread&, int action, mm::UserPtr<mm::Out, char> buffer, int length);

inline constexpr Entry log_calls[] = {
    entry<sys_syslog>("syslog", nr::syslog),
};

} // namespace linnet::syscalls
