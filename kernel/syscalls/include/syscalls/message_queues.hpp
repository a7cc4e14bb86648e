// System V message queues.
#pragma once

#include <abi/linux/ipc.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

Result<long> sys_msgctl(process::Thread&, i32 id, i32 command, VirtAddr buffer);
Result<long> sys_msgget(process::Thread&, i32 key, u32 flags);
Result<long> sys_msgrcv(process::Thread&, i32 id, VirtAddr message, u64 size, i64 type, u32 flags);
Result<long> sys_msgsnd(process::Thread&, i32 id, VirtAddr message, u64 size, u32 flags);

inline constexpr Entry message_queue_calls[] = {
    entry<sys_msgctl>("msgctl", nr::msgctl),
    entry<sys_msgget>("msgget", nr::msgget),
    entry<sys_msgrcv>("msgrcv", nr::msgrcv),
    entry<sys_msgsnd>("msgsnd", nr::msgsnd),
};

} // namespace linnet::syscalls
