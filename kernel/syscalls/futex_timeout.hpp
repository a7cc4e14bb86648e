// The time-outs of futex calls.
#pragma once

#include <abi/linux/time.hpp>
#include <core/time.hpp>
#include <mm/usercopy.hpp>

namespace linnet::syscalls {

/// The time in nanoseconds, cut off at the end of them. EFAULT, EINVAL.
Result<u64> timeout_ns(VirtAddr pointer);
/// The moment when CLOCK_REALTIME or CLOCK_MONOTONIC shows `ns`.
core::Deadline deadline_at(u64 ns, i32 clock);

} // namespace linnet::syscalls
