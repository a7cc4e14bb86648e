// What CPUID says, as far as the kernel acts on it. Read once on the boot CPU.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

struct CpuFeatures {
    bool smep = false, smap = false, umip = false, protection_keys = false, fsgsbase = false;
    bool xsave = false, xsaveopt = false;
    bool pcid = false, invpcid = false;
    bool x2apic = false, tsc_deadline = false;
    bool rdrand = false, rdseed = false;
    bool rdtscp = false;
    u64 xcr0 = 0; // state components in use
    u32 extended_state_size = 512;
    u32 mxcsr_mask = 0xffbf; // SDM vol. 1, 11.6.6: the mask where the FXSAVE image holds 0
    u32 hwcap = 0;           // CPUID 1 edx
};

namespace detail {
extern constinit CpuFeatures features;
}

/// Valid after initialise_cpu() on the boot CPU.
inline const CpuFeatures& cpu_features() { return detail::features; }

} // namespace linnet::arch
