// POSIX message queues.
#pragma once

#include <abi/linux/mqueue.hpp>
#include <abi/linux/time.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using QueueAttributesIn = mm::UserPtr<mm::In, abi::mq_attr>;

Result<long> sys_mq_getsetattr(process::Thread&, int fd, QueueAttributesIn fresh,
                               mm::UserPtr<mm::Out, abi::mq_attr> old);
Result<long> sys_mq_notify(process::Thread&, int fd, mm::UserPtr<mm::In, abi::sigevent> event);
Result<long> sys_mq_open(process::Thread&, mm::UserString name, u32 flags, u32 mode, QueueAttributesIn attributes);
Result<long> sys_mq_timedreceive(process::Thread&, int fd, VirtAddr room, u64 size, mm::UserPtr<mm::Out, u32> priority,
                                 VirtAddr timeout);
Result<long> sys_mq_timedsend(process::Thread&, int fd, VirtAddr text, u64 size, u32 priority, VirtAddr timeout);
Result<long> sys_mq_unlink(process::Thread&, mm::UserString name);

inline constexpr Entry posix_queue_calls[] = {
    entry<sys_mq_getsetattr>("mq_getsetattr", nr::mq_getsetattr),
    entry<sys_mq_notify>("mq_notify", nr::mq_notify),
    entry<sys_mq_open>("mq_open", nr::mq_open),
    entry<sys_mq_timedreceive>("mq_timedreceive", nr::mq_timedreceive),
    entry<sys_mq_timedsend>("mq_timedsend", nr::mq_timedsend),
    entry<sys_mq_unlink>("mq_unlink", nr::mq_unlink),
};

} // namespace linnet::syscalls
