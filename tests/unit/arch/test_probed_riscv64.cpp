// RISC-V: which instructions are emulated, with what result, and which are refused (encodings by llvm-mc).
#include "probe_machine.hpp"

namespace {

using namespace linnet;
using namespace linnet::arch;
using Bytes = std::vector<u8>;

Bytes half(u16 code) { return {static_cast<u8>(code), static_cast<u8>(code >> 8)}; }

TEST(ProbedRiscv, Jumps) {
    Machine machine;
    EXPECT_EQ(machine.emulate(word(0x7fdff0ef)), test_address + 0xffffc); // jal ra, 0xffffc
    EXPECT_EQ(machine.registers.get(1), test_address + 4);
    EXPECT_EQ(Machine().emulate(word(0xffdff06f)), test_address - 4); // j -4
    EXPECT_EQ(Machine().emulate(half(0xbff5)), test_address - 4);     // c.j -4
    EXPECT_EQ(Machine().emulate(half(0xaffd)), test_address + 2046);  // c.j 2046
    EXPECT_EQ(Machine(0x5000).emulate(half(0x8082)), 0x5000u);        // ret
    Machine caller(0x5000);
    EXPECT_EQ(caller.emulate(half(0x9082)), 0x5000u); // c.jalr ra: by the register that it sets
    EXPECT_EQ(caller.registers.get(1), test_address + 2);
    EXPECT_EQ(Machine(0x5000).emulate(word(0xffc280e7)), 0x4ffcu); // jalr ra, -4(t0)
}

TEST(ProbedRiscv, Branches) {
    EXPECT_EQ(Machine(1).emulate(word(0xfea50ee3)), test_address - 4); // beq a0, a0, -4
    EXPECT_EQ(Machine(1).emulate(word(0xfea51ee3)), test_address + 4); // bne a0, a0, -4
    EXPECT_EQ(Machine(1).emulate(word(0xfe054ee3)), test_address + 4); // blt a0, zero, -4
    EXPECT_EQ(Machine(~u64{0}).emulate(word(0xfe054ee3)), test_address - 4);
    EXPECT_EQ(Machine(~u64{0}).emulate(word(0xfe057ee3)), test_address - 4); // bgeu a0, zero, -4
    EXPECT_EQ(Machine(0).emulate(half(0xdd75)), test_address - 4);           // c.beqz a0, -4
    EXPECT_EQ(Machine(1).emulate(half(0xdd75)), test_address + 2);
    EXPECT_EQ(Machine(1).emulate(half(0xfd75)), test_address - 4); // c.bnez a0, -4
}

TEST(ProbedRiscv, AddsToPc) {
    Machine machine;
    EXPECT_EQ(machine.emulate(word(0xfffff517)), test_address + 4); // auipc a0, -1
    EXPECT_EQ(machine.registers.get(10), test_address - 0x1000);
}

TEST(ProbedRiscv, OutOfLineAndRefused) {
    for (const Bytes& code : {word(0x00b50533), half(0x852e), word(0x00053503), word(0x00c5b52f), word(0xc0002573)})
        EXPECT_TRUE(is_stepped(code));
    // ebreak, c.ebreak, sret, lr.d, sc.d, nothing, half an instruction
    for (const Bytes& code : {word(0x00100073), half(0x9002), word(0x10200073), word(0x1005b52f), word(0x18c5b52f),
                              half(0), half(0x0533), Bytes{0x13}})
        EXPECT_FALSE(decode_probed(code));
}

} // namespace
