// System V shared memory.
#pragma once

#include <syscalls/table.hpp>

namespace linnet::syscalls {

Result<long> sys_shmat(process::Thread&, i32 id, VirtAddr address, u32 flags);
Result<long> sys_shmctl(process::Thread&, i32 id, i32 command, VirtAddr buffer);
Result<long> sys_shmdt(process::Thread&, VirtAddr address);
Result<long> sys_shmget(process::Thread&, i32 key, u64 size, u32 flags);

inline constexpr Entry shared_memory_calls[] = {
    entry<sys_shmat>("shmat", nr::shmat),
    entry<sys_shmctl>("shmctl", nr::shmctl),
    entry<sys_shmdt>("shmdt", nr::shmdt),
    entry<sys_shmget>("shmget", nr::shmget, Support::Partial, "SHM_HUGETLB: one size"),
};

} // namespace linnet::syscalls
