// Sanitised ID registers and hardware capabilities. A field is shown only when the kernel saves or enables what it
// stands for: no SME, pointer authentication, branch targets or memory tagging.
#include "id_registers.hpp"

#include <arch/cpu.hpp>
#include <arch/usercopy.hpp>
#include <arch_impl/registers.hpp>
#include <lib/crc32c.hpp>

namespace linnet::arch {

namespace {

constexpr u64 field(unsigned shift) { return u64{15} << shift; }

/// The bits of each register that user code sees.
constexpr u64 isar0_shown = field(4) | field(8) | field(12) | field(16) | field(20) | field(28) | field(32) |
                            field(36) | field(40) | field(44) | field(48) | field(52) | field(60);
constexpr u64 isar1_shown =
    field(0) | field(12) | field(16) | field(20) | field(32) | field(36) | field(44) | field(52);
constexpr u64 pfr0_shown = field(16) | field(20) | field(32) | field(48);
constexpr u64 pfr1_shown = field(4);
constexpr u64 zfr0_shown =
    field(0) | field(4) | field(16) | field(20) | field(32) | field(40) | field(44) | field(52) | field(56); // of SVE
constexpr u64 mmfr2_shown = field(32);
constexpr u64 pfr0_el0_64 = 0x11; // EL0 and EL1 in AArch64 only

/// Half-precision and plain FP are signed fields: 15 means absent.
bool present(u64 reg, unsigned shift, unsigned at_least = 1) {
    unsigned value = id_field(reg, shift);
    return value != 15 && value >= at_least;
}

u64 sve_features() { return most_sve_bytes() ? READ_SYSTEM_REGISTER(S3_0_C0_C4_4) & zfr0_shown : 0; }

/// The value that user code reads from op0=3, op1=0, CRn=0, CRm, op2; nothing for what isn't a register of this space.
std::optional<u64> user_id_register(unsigned crm, unsigned op2) {
    if (crm == 0 && op2 == 0) return READ_SYSTEM_REGISTER(midr_el1);
    if (crm == 0 && op2 == 5) return u64{1} << 31; // MPIDR_EL1: RES1 only; the topology is in /proc and /sys
    if (crm == 0 && op2 == 6) return READ_SYSTEM_REGISTER(revidr_el1);
    if (crm == 0) return std::nullopt;
    if (crm > 7) return std::nullopt;
    switch (crm << 4 | op2) {
    case 0x40:
        return (READ_SYSTEM_REGISTER(id_aa64pfr0_el1) & pfr0_shown) | pfr0_el0_64;
    case 0x41:
        return READ_SYSTEM_REGISTER(id_aa64pfr1_el1) & pfr1_shown;
    case 0x44:
        return sve_features();
    case 0x60:
        return READ_SYSTEM_REGISTER(id_aa64isar0_el1) & isar0_shown;
    case 0x61:
        return READ_SYSTEM_REGISTER(id_aa64isar1_el1) & isar1_shown;
    case 0x72:
        return READ_SYSTEM_REGISTER(id_aa64mmfr2_el1) & mmfr2_shown;
    case 0x50:
        return 6; // ID_AA64DFR0_EL1: debug version 8 only
    default:
        return 0; // allocated or reserved: reads as zero
    }
}

bool answer(UserContext& context, unsigned target, u64 value) {
    abi::linux_user_regs regs = context.to_user_regs();
    if (target < 31) regs.regs[target] = value;
    regs.pc += 4;
    return context.from_user_regs(regs).has_value();
}

u32 crc32c_by_instruction(u32 value, const u8* at, usize words) {
    return crc32c_words_by(value, at, words, [](u32 sum, u64 word) {
        asm(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(sum) : "r"(word));
        return sum;
    });
}

u64 hwcap_bits() {
    u64 isar0 = READ_SYSTEM_REGISTER(id_aa64isar0_el1), isar1 = READ_SYSTEM_REGISTER(id_aa64isar1_el1);
    u64 pfr0 = READ_SYSTEM_REGISTER(id_aa64pfr0_el1), mmfr2 = READ_SYSTEM_REGISTER(id_aa64mmfr2_el1);
    u64 caps = abi::HWCAP_CPUID;
    auto add = [&](u64 reg, unsigned shift, u64 bit, unsigned at_least = 1) {
        if (present(reg, shift, at_least)) caps |= bit;
    };
    if (id_field(pfr0, 16) != 15) caps |= abi::HWCAP_FP;
    if (id_field(pfr0, 20) != 15) caps |= abi::HWCAP_ASIMD;
    add(pfr0, 16, abi::HWCAP_FPHP);
    add(pfr0, 20, abi::HWCAP_ASIMDHP);
    add(pfr0, 48, abi::HWCAP_DIT);
    add(isar0, 4, abi::HWCAP_AES);
    add(isar0, 4, abi::HWCAP_PMULL, 2);
    add(isar0, 8, abi::HWCAP_SHA1);
    add(isar0, 12, abi::HWCAP_SHA2);
    add(isar0, 12, abi::HWCAP_SHA512, 2);
    add(isar0, 16, abi::HWCAP_CRC32);
    if (caps & abi::HWCAP_CRC32) crc32c_words.store(crc32c_by_instruction, std::memory_order_relaxed);
    add(isar0, 20, abi::HWCAP_ATOMICS, 2);
    add(isar0, 28, abi::HWCAP_ASIMDRDM);
    add(isar0, 32, abi::HWCAP_SHA3);
    add(isar0, 36, abi::HWCAP_SM3);
    add(isar0, 40, abi::HWCAP_SM4);
    add(isar0, 44, abi::HWCAP_ASIMDDP);
    add(isar0, 48, abi::HWCAP_ASIMDFHM);
    add(isar0, 52, abi::HWCAP_FLAGM);
    add(isar1, 0, abi::HWCAP_DCPOP);
    add(isar1, 12, abi::HWCAP_JSCVT);
    add(isar1, 16, abi::HWCAP_FCMA);
    add(isar1, 20, abi::HWCAP_LRCPC);
    add(isar1, 20, abi::HWCAP_ILRCPC, 2);
    add(isar1, 36, abi::HWCAP_SB);
    add(mmfr2, 32, abi::HWCAP_USCAT);
    if (most_sve_bytes() != 0) caps |= abi::HWCAP_SVE;
    return caps;
}

u64 hwcap2_bits() {
    u64 isar0 = READ_SYSTEM_REGISTER(id_aa64isar0_el1), isar1 = READ_SYSTEM_REGISTER(id_aa64isar1_el1);
    u64 caps = 0;
    if (present(isar1, 0, 2)) caps |= abi::HWCAP2_DCPODP;
    if (present(isar0, 52, 2)) caps |= abi::HWCAP2_FLAGM2;
    if (present(isar1, 32)) caps |= abi::HWCAP2_FRINT;
    if (present(isar1, 52)) caps |= abi::HWCAP2_I8MM;
    if (present(isar1, 44)) caps |= abi::HWCAP2_BF16;
    if (present(isar0, 60)) caps |= abi::HWCAP2_RNG;
    const u64 sve = sve_features();
    const auto add = [&](unsigned shift, u64 bit, unsigned at_least = 1) {
        if (present(sve, shift, at_least)) caps |= bit;
    };
    add(0, abi::HWCAP2_SVE2);
    add(4, abi::HWCAP2_SVEAES);
    add(4, abi::HWCAP2_SVEPMULL, 2);
    add(16, abi::HWCAP2_SVEBITPERM);
    add(20, abi::HWCAP2_SVEBF16);
    add(32, abi::HWCAP2_SVESHA3);
    add(40, abi::HWCAP2_SVESM4);
    add(44, abi::HWCAP2_SVEI8MM);
    add(52, abi::HWCAP2_SVEF32MM);
    add(56, abi::HWCAP2_SVEF64MM);
    return caps;
}

} // namespace

bool emulate_undefined(UserContext& context) {
    // MRS Xt, S3_0_C0_Cm_op2: 1101 0101 0011 1000 0000 mmmm ooo ttttt
    constexpr u32 mrs_id_space = 0xd5380000, mrs_id_mask = 0xfffff000;
    u32 instruction = 0;
    VirtAddr pc = context.pc();
    if ((pc.value & 3) || !is_user_range(pc, 4)) return false;
    if (arch_copy_from_user(&instruction, reinterpret_cast<const void*>(pc.value), 4) != 0) return false;
    if ((instruction & mrs_id_mask) != mrs_id_space) return false;
    auto value = user_id_register((instruction >> 8) & 15, (instruction >> 5) & 7);
    return value && answer(context, instruction & 31, *value);
}

bool emulate_system_register(UserContext& context, u64 syndrome) {
    bool is_read = syndrome & 1;
    unsigned crm = (syndrome >> 1) & 15, target = (syndrome >> 5) & 31, crn = (syndrome >> 10) & 15;
    unsigned op1 = (syndrome >> 14) & 7, op2 = (syndrome >> 17) & 7, op0 = (syndrome >> 20) & 3;
    if (!is_read || op0 != 3 || op1 != 0 || crn != 0) return false;
    auto value = user_id_register(crm, op2);
    return value && answer(context, target, *value);
}

const HardwareCapabilities& hardware_capabilities() {
    static constinit HardwareCapabilities capabilities{};
    if (!capabilities.machine) {
        capabilities.hwcap = hwcap_bits();
        capabilities.hwcap2 = hwcap2_bits();
        capabilities.platform = "aarch64";
        capabilities.machine = "aarch64";
    }
    return capabilities;
}

} // namespace linnet::arch
