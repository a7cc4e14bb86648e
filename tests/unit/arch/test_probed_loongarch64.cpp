// LoongArch: which instructions are emulated, with what result, and which are refused (encodings by llvm-mc).
#include "probe_machine.hpp"

namespace {

using namespace linnet;
using namespace linnet::arch;

TEST(ProbedLoongarch, Branches) {
    Machine machine;
    EXPECT_EQ(machine.emulate(word(0x57ffffff)), test_address - 4); // bl -4
    EXPECT_EQ(machine.registers.get(1), test_address + 4);
    EXPECT_EQ(Machine().emulate(word(0x53ffffff)), test_address - 4); // b -4
    EXPECT_EQ(Machine(0x5000).emulate(word(0x4c000020)), 0x5000u);    // ret
    Machine caller(0x5000);
    EXPECT_EQ(caller.emulate(word(0x4ffffc21)), 0x4ffcu); // jirl $ra, $ra, -4
    EXPECT_EQ(caller.registers.get(1), test_address + 4);
    EXPECT_EQ(Machine(0).emulate(word(0x43fffc9f)), test_address - 4);       // beqz $a0, -4
    EXPECT_EQ(Machine(1).emulate(word(0x47fffc9f)), test_address - 4);       // bnez $a0, -4
    EXPECT_EQ(Machine(1).emulate(word(0x5bfffc84)), test_address - 4);       // beq $a0, $a0, -4
    EXPECT_EQ(Machine(1).emulate(word(0x5ffffc84)), test_address + 4);       // bne $a0, $a0, -4
    EXPECT_EQ(Machine(~u64{0}).emulate(word(0x63fffc80)), test_address - 4); // blt $a0, $zero, -4
    EXPECT_EQ(Machine(~u64{0}).emulate(word(0x6ffffc80)), test_address - 4); // bgeu $a0, $zero, -4
}

TEST(ProbedLoongarch, AddsToPc) {
    Machine machine;
    EXPECT_EQ(machine.emulate(word(0x19ffffe4)), test_address + 4); // pcaddi $a0, -1
    EXPECT_EQ(machine.registers.get(4), test_address - 4);
    EXPECT_EQ(machine.emulate(word(0x1bffffe4)), test_address + 4); // pcalau12i $a0, -1
    EXPECT_EQ(machine.registers.get(4), test_address - 0x1000);
    EXPECT_EQ(machine.emulate(word(0x1dffffe4)), test_address + 4); // pcaddu12i $a0, -1
    EXPECT_EQ(machine.registers.get(4), test_address - 0x1000);
    EXPECT_EQ(machine.emulate(word(0x1fffffe4)), test_address + 4); // pcaddu18i $a0, -1
    EXPECT_EQ(machine.registers.get(4), test_address - 0x40000);
}

TEST(ProbedLoongarch, AddsImmediates) {
    Machine machine(0x5000);
    EXPECT_EQ(machine.emulate(word(0x02ff8084)), test_address + 4); // addi.d $a0, $a0, -32
    EXPECT_EQ(machine.registers.get(4), 0x4fe0u);
    EXPECT_EQ(machine.emulate(word(0x02dffc03)), test_address + 4); // addi.d $sp, $zero, 2047
    EXPECT_EQ(machine.registers.get(3), 2047u);
    EXPECT_EQ(machine.emulate(word(0x02e00080)), test_address + 4); // addi.d $zero, $a0, -2048
    EXPECT_EQ(machine.registers.get(0), 0u);
    EXPECT_TRUE(is_stepped(word(0x02bf8084))); // addi.w $a0, $a0, -32
}

TEST(ProbedLoongarch, OutOfLineAndRefused) {
    for (u32 code : {0x00109484u, 0x28c00084u, 0x38638484u}) // add.d, ld.d, amadd.d
        EXPECT_TRUE(is_stepped(word(code))) << std::hex << code;
    // break, bceqz, ll.w, sc.d, csrrd, ertn
    for (u32 code : {0x002a0000u, 0x48000000u, 0x20000084u, 0x23000084u, 0x04000004u, 0x06483800u})
        EXPECT_FALSE(decode_probed(word(code))) << std::hex << code;
}

} // namespace
