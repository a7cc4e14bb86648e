// AArch64: which instructions are emulated, with what result, and which are refused (encodings by llvm-mc).
#include "probe_machine.hpp"

namespace {

using namespace linnet;
using namespace linnet::arch;

constexpr u32 flags_at = 33;

u64 with_flags(u64 flags, u32 code) {
    Machine machine;
    machine.words[flags_at] = flags;
    return machine.emulate(word(code));
}

TEST(ProbedAarch64, Branches) {
    Machine machine;
    EXPECT_EQ(machine.emulate(word(0x97ffffff)), test_address - 4); // bl -4
    EXPECT_EQ(machine.registers.get(30), test_address + 4);
    EXPECT_EQ(Machine().emulate(word(0x17ffffff)), test_address - 4); // b -4
    EXPECT_EQ(Machine(0x5000).emulate(word(0xd65f03c0)), 0x5000u);    // ret
    EXPECT_EQ(Machine(0x5000).emulate(word(0xd61f0200)), 0x5000u);    // br x16
    Machine caller(0x5000);
    EXPECT_EQ(caller.emulate(word(0xd63f03c0)), 0x5000u); // blr x30
    EXPECT_EQ(caller.registers.get(30), test_address + 4);
    EXPECT_EQ(Machine(0).emulate(word(0xb4ffffe0)), test_address - 4);            // cbz x0, -4
    EXPECT_EQ(Machine(u64{1} << 32).emulate(word(0x34ffffe0)), test_address - 4); // cbz w0, -4
    EXPECT_EQ(Machine(u64{1} << 32).emulate(word(0xb5ffffe0)), test_address - 4); // cbnz x0, -4
    EXPECT_EQ(Machine(u64{1} << 40).emulate(word(0xb747ffe0)), test_address - 4); // tbnz x0, #40, -4
    EXPECT_EQ(Machine(0).emulate(word(0xb747ffe0)), test_address + 4);
    EXPECT_EQ(with_flags(u64{1} << 30, 0x54ffffe0), test_address - 4); // b.eq -4, Z
    EXPECT_EQ(with_flags(0, 0x54ffffe0), test_address + 4);
    EXPECT_EQ(with_flags(u64{1} << 31, 0x54ffffeb), test_address - 4); // b.lt -4, N
    EXPECT_EQ(with_flags(u64{9} << 28, 0x54ffffeb), test_address + 4); // N and V
    EXPECT_EQ(with_flags(u64{1} << 29, 0x54ffffe8), test_address - 4); // b.hi -4, C
    EXPECT_EQ(with_flags(u64{3} << 29, 0x54ffffe8), test_address + 4); // C and Z
}

TEST(ProbedAarch64, Addresses) {
    Machine machine;
    EXPECT_EQ(machine.emulate(word(0x10ffffe0)), test_address + 4); // adr x0, -4
    EXPECT_EQ(machine.registers.get(0), test_address - 4);
    EXPECT_EQ(machine.emulate(word(0xf0ffffe0)), test_address + 4); // adrp x0, -1 page
    EXPECT_EQ(machine.registers.get(0), test_address - 0x1000);
}

TEST(ProbedAarch64, LiteralsGoByALentRegister) {
    const auto made = decode_probed(word(0x58000050)); // ldr x16, +8
    ASSERT_TRUE(made);
    u32 copy;
    std::memcpy(&copy, made->slot, sizeof copy);
    EXPECT_EQ(copy, 0xf9400230u); // ldr x16, [x17]
    Machine machine(7);
    ASSERT_EQ(machine.begin(*made), ProbeAction::OutOfLine);
    EXPECT_EQ(machine.registers.get(17), test_address + 8);
    ASSERT_TRUE(finish_probed(*made, machine.registers, test_address, machine.memory, machine.step));
    EXPECT_EQ(machine.registers.get(17), 7u);
    EXPECT_EQ(machine.registers.pc(), test_address + 4);
}

TEST(ProbedAarch64, OutOfLineAndRefused) {
    // add, paciasp, ldr, ldar, cas, casp, mrs tpidr_el0
    for (u32 code : {0x8b010000u, 0xd503233fu, 0xf9400020u, 0xc8dffc20u, 0xc8a07c41u, 0x48207c82u, 0xd53bd040u})
        EXPECT_TRUE(is_stepped(word(code))) << std::hex << code;
    // brk, hvc, eret, retaa, ldxr, stxr, ldxp
    for (u32 code : {0xd4200000u, 0xd4000002u, 0xd69f03e0u, 0xd65f0bffu, 0xc85f7c20u, 0xc8027c20u, 0xc87f0420u})
        EXPECT_FALSE(decode_probed(word(code))) << std::hex << code;
}

} // namespace
