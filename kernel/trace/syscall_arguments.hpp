// What system calls take.
#pragma once

#include <string_view>

namespace linnet::trace {

struct SyscallArguments {
    std::string_view name;      // of the event, without "sys_enter_"
    std::string_view arguments; // "int fd, char * buf": as C declares them
};

/// Of the call whose number has that name; without arguments when nothing is known of it.
SyscallArguments find_syscall_arguments(std::string_view name);

} // namespace linnet::trace
