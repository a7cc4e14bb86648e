// What the kernel tells the vDSO's riscv_hwprobe: at this offset in the page that also holds ClockData.
#pragma once

#include <lib/types.hpp>

namespace linnet::core {

inline constexpr u64 vdso_hardware_offset = 256;

/// Written once at boot. All CPUs are alike, so one list is true of any set of them.
struct VdsoHardware {
    static constexpr u64 capacity = 32;
    struct Property {
        i64 key;
        u64 value;
    };
    u64 count;
    Property properties[capacity];
};

} // namespace linnet::core
