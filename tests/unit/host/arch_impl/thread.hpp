// The host tests' current thread: one a host thread.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

struct KernelContext {};
struct CpuState {};

ThreadHeader* current_thread();
void set_current_thread(ThreadHeader* thread);

} // namespace linnet::arch
