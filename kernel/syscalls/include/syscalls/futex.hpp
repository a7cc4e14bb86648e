// What run-times of threads ask for: futex(2), robust lists, rseq(2), membarrier(2).
#pragma once

#include <abi/linux/futex.hpp>
#include <abi/linux/time.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

Result<long> sys_futex(process::Thread&, VirtAddr word, u32 operation, u32 value, VirtAddr timeout,
                       VirtAddr second_word, u32 third_value);
Result<long> sys_futex_requeue(process::Thread&, mm::UserPtr<mm::In, abi::futex_waitv> both, u32 flags, i32 wake_count,
                               i32 requeue_count);
Result<long> sys_futex_wait(process::Thread&, VirtAddr word, u64 value, u64 mask, u32 flags, VirtAddr timeout,
                            i32 clock);
Result<long> sys_futex_waitv(process::Thread&, mm::UserPtr<mm::In, abi::futex_waitv> waiters, u32 count, u32 flags,
                             VirtAddr timeout, i32 clock);
Result<long> sys_futex_wake(process::Thread&, VirtAddr word, u64 mask, i32 count, u32 flags);
Result<long> sys_get_robust_list(process::Thread&, process::Pid pid, mm::UserPtr<mm::Out, u64> head,
                                 mm::UserPtr<mm::Out, u64> length);
Result<long> sys_membarrier(process::Thread&, int command, u32 flags, int cpu);
Result<long> sys_rseq(process::Thread&, VirtAddr area, u32 size, u32 flags, u32 signature);
Result<long> sys_set_robust_list(process::Thread&, VirtAddr head, u64 length);

inline constexpr Entry futex_calls[] = {
    entry<sys_futex>("futex", nr::futex),
    entry<sys_futex_requeue>("futex_requeue", nr::futex_requeue),
    entry<sys_futex_wait>("futex_wait", nr::futex_wait),
    entry<sys_futex_waitv>("futex_waitv", nr::futex_waitv),
    entry<sys_futex_wake>("futex_wake", nr::futex_wake),
    entry<sys_get_robust_list>("get_robust_list", nr::get_robust_list),
    entry<sys_membarrier>("membarrier", nr::membarrier),
    entry<sys_rseq>("rseq", nr::rseq),
    entry<sys_set_robust_list>("set_robust_list", nr::set_robust_list),
};

} // namespace linnet::syscalls
