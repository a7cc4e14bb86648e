// Control and model-specific registers (Intel SDM vol. 3, 2.5, and vol. 4; AMD APM vol. 2).
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

inline constexpr u64 cr0_write_protect = 1u << 16, cr0_monitor = 1u << 1, cr0_emulation = 1u << 2,
                     cr0_task_switched = 1u << 3, cr0_numeric_error = 1u << 5;
inline constexpr u64 cr4_counter_denied = 1u << 2, cr4_machine_check = 1u << 6, cr4_global_pages = 1u << 7,
                     cr4_fxsave = 1u << 9, cr4_simd_exceptions = 1u << 10, cr4_umip = 1u << 11, cr4_fsgsbase = 1u << 16,
                     cr4_pcid = 1u << 17, cr4_xsave = 1u << 18, cr4_smep = 1u << 20, cr4_smap = 1u << 21,
                     cr4_protection_keys = 1u << 22;

inline constexpr u64 rflags_carry = 1u << 0, rflags_always = 1u << 1, rflags_trap = 1u << 8,
                     rflags_direction = 1u << 10, rflags_nested_task = 1u << 14, rflags_resume = 1u << 16,
                     rflags_alignment = 1u << 18;

enum class Msr : u32 {
    ApicBase = 0x1b,
    TscDeadline = 0x6e0,
    Pat = 0x277,
    X2ApicBase = 0x800, // register r of the APIC page is MSR 0x800 + r/16
    Efer = 0xc0000080,
    Star = 0xc0000081,
    LongStar = 0xc0000082,
    CompatStar = 0xc0000083,
    SyscallMask = 0xc0000084,
    FsBase = 0xc0000100,
    GsBase = 0xc0000101,
    KernelGsBase = 0xc0000102, // swapgs exchanges it with GsBase
    TscAux = 0xc0000103,
};

inline u64 read_msr(Msr msr) {
    u32 low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(static_cast<u32>(msr)) : "memory");
    return (u64{high} << 32) | low;
}
inline void write_msr(Msr msr, u64 value) {
    asm volatile("wrmsr" ::"c"(static_cast<u32>(msr)), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32))
                 : "memory");
}

inline u64 read_cr0() {
    u64 value;
    asm volatile("mov %%cr0, %0" : "=r"(value)::"memory");
    return value;
}
inline void write_cr0(u64 value) { asm volatile("mov %0, %%cr0" ::"r"(value) : "memory"); }
inline u64 read_cr2() {
    u64 value;
    asm volatile("mov %%cr2, %0" : "=r"(value)::"memory");
    return value;
}
inline u64 read_cr3() {
    u64 value;
    asm volatile("mov %%cr3, %0" : "=r"(value)::"memory");
    return value;
}
inline void write_cr3(u64 value) { asm volatile("mov %0, %%cr3" ::"r"(value) : "memory"); }
inline u64 read_cr4() {
    u64 value;
    asm volatile("mov %%cr4, %0" : "=r"(value)::"memory");
    return value;
}
inline void write_cr4(u64 value) { asm volatile("mov %0, %%cr4" ::"r"(value) : "memory"); }

struct CpuidResult {
    u32 eax, ebx, ecx, edx;
};
inline CpuidResult cpuid(u32 leaf, u32 subleaf = 0) {
    CpuidResult result;
    asm volatile("cpuid"
                 : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
                 : "a"(leaf), "c"(subleaf));
    return result;
}

} // namespace linnet::arch
