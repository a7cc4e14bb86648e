// What the kernel tells the vDSO's functions: one page, read-only in user space, mapped just before the image.
#pragma once

#include <atomic>
#include <lib/types.hpp>

namespace linnet::vdso {

/// Time is base + counter ticks scaled: ns = (ticks * mult) >> shift with a 128-bit product, so that the page changes
/// only when the wall clock is set. Readers retry while `sequence` is odd or has changed.
struct Data {
    std::atomic<u32> sequence;
    u32 mult;
    u32 shift;
    u32 tai_offset_s;
    u64 base_counter;
    u64 realtime_offset_ns;
};
static_assert(sizeof(Data) == 32);

} // namespace linnet::vdso
