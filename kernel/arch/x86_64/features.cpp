// CPUID, and the control registers that depend on it.
#include "features.hpp"
#include "boot.hpp"
#include <arch/cpu.hpp>
#include <arch/page.hpp>
#include <arch_impl/registers.hpp>
#include <cstring>
#include <lib/crc32c.hpp>
#include <span>

extern "C" {
extern const linnet::i32 stac_sites_begin[], stac_sites_end[], clac_sites_begin[], clac_sites_end[];
}

namespace linnet::arch {

constinit CpuFeatures detail::features;
namespace {

using detail::features;
constinit HardwareCapabilities capabilities;

constexpr bool bit(u32 word, unsigned number) { return ((word >> number) & 1) != 0; }

u32 crc32c_by_instruction(u32 value, const u8* at, usize words) {
    return crc32c_words_by(value, at, words, [](u64 sum, u64 word) {
        asm("crc32q %1, %0" : "+r"(sum) : "rm"(word));
        return static_cast<u32>(sum);
    });
}

void detect() {
    u32 highest = cpuid(0).eax;
    CpuidResult basic = cpuid(1);
    features.hwcap = basic.edx;
    features.pcid = bit(basic.ecx, 17);
    features.x2apic = bit(basic.ecx, 21);
    features.tsc_deadline = bit(basic.ecx, 24);
    features.xsave = bit(basic.ecx, 26);
    features.rdrand = bit(basic.ecx, 30);
    if (bit(basic.ecx, 20)) crc32c_words.store(crc32c_by_instruction, std::memory_order_relaxed); // SSE 4.2
    if (highest >= 7) {
        CpuidResult extended = cpuid(7);
        features.fsgsbase = bit(extended.ebx, 0);
        features.smep = bit(extended.ebx, 7);
        features.invpcid = bit(extended.ebx, 10);
        features.rdseed = bit(extended.ebx, 18);
        features.smap = bit(extended.ebx, 20);
        features.umip = bit(extended.ecx, 2);
        // The key register is saved and loaded with the XSAVE image only.
        features.protection_keys = bit(extended.ecx, 3) && features.xsave;
        if (features.fsgsbase) capabilities.hwcap2 |= 1u << 1; // HWCAP2_FSGSBASE
    }
    features.rdtscp = cpuid(0x80000000).eax >= 0x80000001 && bit(cpuid(0x80000001).edx, 27);
    capabilities.hwcap = features.hwcap;
    capabilities.platform = "x86_64";
    capabilities.machine = "x86_64";
}

/// Writes `code` over the no-op at each site. Text is writable nowhere, so this suspends write protection: on the boot
/// CPU alone, interrupts off, before anything else runs.
void patch(const i32* begin, const i32* end, std::span<const u8, 3> code) {
    u64 cr0 = read_cr0();
    write_cr0(cr0 & ~cr0_write_protect);
    for (const i32* site = begin; site < end; ++site) {
        u64 address = reinterpret_cast<u64>(site) + static_cast<u64>(static_cast<i64>(*site));
        std::memcpy(reinterpret_cast<void*>(address), code.data(), code.size());
    }
    write_cr0(cr0);
    synchronise_instruction_stream();
}

void patch_smap_sites() {
    constexpr u8 stac[] = {0x0f, 0x01, 0xcb}, clac[] = {0x0f, 0x01, 0xca};
    patch(stac_sites_begin, stac_sites_end, stac);
    patch(clac_sites_begin, clac_sites_end, clac);
}

} // namespace

const HardwareCapabilities& hardware_capabilities() { return capabilities; }

void detect_features() {
    detect();
    if (features.smap) patch_smap_sites();
}

void enable_features() {
    // No lazy FPU: registers belong to the thread that runs, and task-switched would fault.
    write_cr0((read_cr0() & ~(cr0_emulation | cr0_task_switched)) | cr0_monitor | cr0_numeric_error |
              cr0_write_protect);
    u64 cr4 = read_cr4() | cr4_machine_check | cr4_global_pages | cr4_fxsave | cr4_simd_exceptions;
    if (features.smep) cr4 |= cr4_smep;
    if (features.smap) cr4 |= cr4_smap;
    if (features.umip) cr4 |= cr4_umip;
    if (features.fsgsbase) cr4 |= cr4_fsgsbase;
    if (features.xsave) cr4 |= cr4_xsave;
    if (features.protection_keys) cr4 |= cr4_protection_keys;
    if (features.pcid && features.invpcid) cr4 |= cr4_pcid;
    write_cr4(cr4);
    // PAT entry 1 becomes write-combining; the others stay as at reset (SDM vol. 3, 11.12.4).
    write_msr(Msr::Pat, 0x0007'0406'0007'0106);
}

std::optional<u64> hardware_random() {
    if (!features.rdrand) return std::nullopt;
    // The SDM advises ten tries (vol. 1, 7.3.17.1).
    for (int attempt = 0; attempt < 10; ++attempt) {
        u64 value;
        bool good;
        asm volatile("rdrand %0" : "=r"(value), "=@ccc"(good));
        if (good) return value;
    }
    return std::nullopt;
}

} // namespace linnet::arch
