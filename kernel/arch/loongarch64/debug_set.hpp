// The register sets of breakpoints and watchpoints (struct user_watch_state_v2 of asm/ptrace.h).
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

struct DebugSet {
    u64 info; // how many of the slots the CPU has
    struct Slot {
        u64 address, mask;
        u32 control, padding;
    } slots[14];
};
static_assert(sizeof(DebugSet) == 344);

} // namespace linnet::arch
