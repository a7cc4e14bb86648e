// One CPU: initialisation, idling, and what user space is told about the machine.
#include <arch/cpu.hpp>
#include <lib/crc32c.hpp>

extern "C" void arch_idle();

namespace linnet::arch {

void wait_for_interrupt() { arch_idle(); }

void halt_forever() {
    disable_interrupts();
    LINNET_WRITE_CSR(LINNET_CSR_ECFG, 0);
    for (;;) asm volatile("idle 0");
}

std::optional<u64> hardware_random() { return {}; }

void initialise_cpu(CpuHeader&) {
    iocsr_write32(csr::iocsr_ipi_clear, ~u32{0});
    iocsr_write32(csr::iocsr_ipi_enable, ~u32{0});
    constexpr u64 wanted = csr::hardware_interrupts | csr::interrupt_ipi;
    (void)LINNET_EXCHANGE_CSR(LINNET_CSR_ECFG, wanted, wanted);
}

namespace {

u32 crc32c_by_instruction(u32 value, const u8* at, usize words) {
    return crc32c_words_by(value, at, words, [](u32 sum, u64 word) {
        asm("crcc.w.d.w %0, %1, %0" : "+r"(sum) : "r"(word));
        return sum;
    });
}

} // namespace

const HardwareCapabilities& hardware_capabilities() {
    // AT_HWCAP by the bits of uapi asm/hwcap.h, each from a bit of CPUCFG words 1 and 2.
    struct Feature {
        u32 word, bit, hwcap;
    };
    static constexpr Feature features[] = {{2, 22, 1}, {1, 20, 2}, {2, 0, 3}, {2, 6, 4},
                                           {2, 7, 5},  {1, 25, 6}, {2, 8, 7}, {2, 9, 8}};
    static constinit HardwareCapabilities capabilities{.platform = "loongarch", .machine = "loongarch64"};
    u64 hwcap = 1; // CPUCFG itself
    for (const Feature& feature : features)
        if (cpucfg(feature.word) >> feature.bit & 1) hwcap |= u64{1} << feature.hwcap;
    capabilities.hwcap = hwcap;
    constexpr u64 has_crc = 1 << 6;
    if (hwcap & has_crc) crc32c_words.store(crc32c_by_instruction, std::memory_order_relaxed);
    return capabilities;
}

} // namespace linnet::arch
