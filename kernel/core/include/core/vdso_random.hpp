// What the kernel tells the vDSO's getrandom: at this offset in the page that also holds ClockData.
#pragma once

#include <atomic>
#include <lib/types.hpp>

namespace linnet::core {

inline constexpr u64 vdso_random_offset = 128;

struct VdsoRandom {
    /// 0 until the generator is seeded; another number whenever it has been seeded anew. What was made from a key of an
    /// earlier generation is not handed out any more.
    std::atomic<u64> generation;
};

} // namespace linnet::core
