// System V semaphores.
#pragma once

#include <abi/linux/ipc.hpp>
#include <abi/linux/time.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using StepsIn = mm::UserPtr<mm::In, abi::sembuf>;

Result<long> sys_semctl(process::Thread&, i32 id, i32 number, i32 command, u64 argument);
Result<long> sys_semget(process::Thread&, i32 key, i32 count, u32 flags);
Result<long> sys_semop(process::Thread&, i32 id, StepsIn steps, u32 count);
Result<long> sys_semtimedop(process::Thread&, i32 id, StepsIn steps, u32 count,
                            mm::UserPtr<mm::In, abi::timespec> timeout);

inline constexpr Entry semaphore_calls[] = {
    entry<sys_semctl>("semctl", nr::semctl),
    entry<sys_semget>("semget", nr::semget),
    entry<sys_semop>("semop", nr::semop),
    entry<sys_semtimedop>("semtimedop", nr::semtimedop),
};

} // namespace linnet::syscalls
