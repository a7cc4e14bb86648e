// prctl(PR_SET_MM), a part of its own.
#pragma once

#include <lib/address.hpp>
#include <lib/result.hpp>

namespace linnet::process {
class Thread;
}

namespace linnet::syscalls {

/// prctl(2), PR_SET_MM: `what` is PR_SET_MM_*, the others are the arguments behind it.
Result<long> change_memory_layout(process::Thread& thread, u64 what, VirtAddr address, u64 size, u64 last);

} // namespace linnet::syscalls
