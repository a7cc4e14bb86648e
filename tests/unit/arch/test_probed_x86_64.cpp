// x86_64: lengths of encodings (as llvm-objdump has them), what is refused, copies of what depends on the program
// counter, and emulated branches.
#include "mutate.hpp"
#include "probe_machine.hpp"
#include "x86_64/instruction_length.hpp"

namespace {

using namespace linnet;
using namespace linnet::arch;
using Bytes = std::vector<u8>;

TEST(InstructionLength, Table) {
    const Bytes codes[] = {
        {0x90},
        {0xf3, 0x90},
        {0x55},
        {0x48, 0x89, 0xe5},
        {0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0},             // mov 0, %rax by a SIB byte without base
        {0x48, 0x8d, 0x05, 1, 2, 3, 4},                   // lea (%rip)
        {0x8b, 0x44, 0x24, 8},                            // mov 8(%rsp), %eax
        {0x8b, 0x84, 0x24, 0, 1, 0, 0},                   // mov 256(%rsp), %eax
        {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8},             // movabs
        {0x66, 0xb8, 1, 2},                               // mov $imm16, %ax
        {0xa1, 1, 2, 3, 4, 5, 6, 7, 8},                   // mov moffs, %eax
        {0x67, 0xa1, 1, 2, 3, 4},                         // the same with addresses of 32 bits
        {0xf6, 0x05, 0, 0, 0, 0, 1},                      // testb $1, (%rip)
        {0xf7, 0xd8},                                     // neg %eax
        {0x66, 0xf7, 0xc0, 1, 2},                         // test $imm16, %ax
        {0xc8, 1, 2, 3},                                  // enter
        {0x0f, 0x84, 0, 0, 0, 0},                         // je
        {0x66, 0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0},       // nopw
        {0x66, 0x0f, 0x3a, 0x0f, 0xc1, 8},                // palignr
        {0x66, 0x0f, 0x38, 0x00, 0xc1},                   // pshufb
        {0xc5, 0xf8, 0x77},                               // vzeroupper
        {0xc5, 0xfd, 0x6f, 0x05, 0, 0, 0, 0},             // vmovdqa (%rip), %ymm0
        {0xc4, 0xe3, 0x7d, 0x39, 0xc1, 1},                // vextracti128
        {0xc4, 0xe2, 0xf3, 0xf7, 0xc0},                   // shlx
        {0x62, 0xf1, 0x7d, 0x48, 0x6f, 0x05, 0, 0, 0, 0}, // vmovdqa32 (%rip), %zmm0
        {0x62, 0xf3, 0x7d, 0x48, 0x25, 0xc1, 0xff},       // vpternlogd
        {0xf0, 0x48, 0x0f, 0xb1, 0x0d, 0, 0, 0, 0},       // lock cmpxchg
        {0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0},    // mov %fs:40, %rax
        {0x66, 0x66, 0x48, 0xe8, 0, 0, 0, 0},             // the padded call of __tls_get_addr
        {0x48, 0x69, 0x05, 0, 0, 0, 0, 1, 2, 3, 4},       // imul $imm, (%rip), %rax
        {0x66, 0x81, 0x3d, 0, 0, 0, 0, 1, 2},             // cmpw $imm, (%rip)
        {0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0},
    };
    for (const Bytes& code : codes) {
        const auto parts = take_instruction_apart(code);
        ASSERT_TRUE(parts) << int(code[0]) << " " << code.size();
        EXPECT_EQ(parts->length, code.size()) << int(code[0]);
        EXPECT_TRUE(decode_probed(code));
        for (usize size = 0; size < code.size(); ++size)
            EXPECT_FALSE(take_instruction_apart(std::span(code).first(size)));
    }
}

TEST(ProbedX86, Refused) {
    for (const Bytes& code : std::vector<Bytes>{{0xcc},
                                                {0xcd, 0x80},
                                                {0xcf},
                                                {0xf4},
                                                {0xfa},
                                                {0xe4, 1},
                                                {0xee},
                                                {0x6c},
                                                {0x0f, 0x0b},
                                                {0x0f, 0x34},
                                                {0x0f, 0x30},
                                                {0x0f, 0x01, 0xd8},
                                                {0xc7, 0xf8, 0, 0, 0, 0},
                                                {0xff, 0x2b},
                                                {0x66, 0xe9, 0, 0, 0, 0}})
        EXPECT_EQ(decode_probed(code).error(), Errno::ENOTSUPP) << int(code[0]);
    for (const Bytes& code :
         std::vector<Bytes>{{0x06}, {0xea, 0, 0, 0, 0, 0, 0}, {0xd6}, {0x8f, 0xe8, 0x78, 0xa3, 0, 0}})
        EXPECT_EQ(decode_probed(code).error(), Errno::ENOEXEC) << int(code[0]);
}

TEST(ProbedX86, RelativeOperandsGoByALentRegister) {
    struct Case {
        Bytes code, copy;
    };
    const Case cases[] = {
        {{0x48, 0x8b, 0x05, 1, 2, 3, 4}, {0x48, 0x8b, 0x87, 1, 2, 3, 4, 0xcc}},             // rdi
        {{0x48, 0x8b, 0x3d, 1, 2, 3, 4}, {0x48, 0x8b, 0xbe, 1, 2, 3, 4, 0xcc}},             // into rdi: rsi
        {{0x4c, 0x8b, 0x3d, 1, 2, 3, 4}, {0x4c, 0x8b, 0xbf, 1, 2, 3, 4, 0xcc}},             // into r15: rdi
        {{0x49, 0x8b, 0x05, 1, 2, 3, 4}, {0x48, 0x8b, 0x87, 1, 2, 3, 4, 0xcc}},             // REX.B counts for nothing
        {{0xc5, 0xfd, 0x6f, 0x05, 1, 0, 0, 0}, {0xc5, 0xfd, 0x6f, 0x87, 1, 0, 0, 0, 0xcc}}, // VEX
        {{0xff, 0x25, 1, 2, 3, 4}, {0x48, 0x8b, 0xbf, 1, 2, 3, 4, 0xcc}},                   // jmp *(%rip)
        {{0xff, 0x15, 1, 2, 3, 4}, {0x48, 0x8b, 0xbf, 1, 2, 3, 4, 0xcc}},                   // call *(%rip)
        {{0x41, 0xff, 0xe3}, {0x49, 0x8b, 0xfb, 0xcc}},                                     // jmp *%r11
        {{0xff, 0x14, 0xcb}, {0x48, 0x8b, 0x3c, 0xcb, 0xcc}},                               // call *(%rbx,%rcx,8)
    };
    for (const Case& one : cases) {
        const auto made = decode_probed(one.code);
        ASSERT_TRUE(made);
        EXPECT_EQ(made->length, one.code.size());
        EXPECT_EQ(Bytes(made->slot, made->slot + made->slot_length), one.copy);
    }
    Machine machine(3);
    const auto made = decode_probed(cases[1].code);
    ASSERT_EQ(machine.begin(*made), ProbeAction::OutOfLine);
    EXPECT_EQ(machine.registers.of(6), test_address + 7);
    ASSERT_TRUE(finish_probed(*made, machine.registers, test_address, machine.memory, machine.step));
    EXPECT_EQ(machine.registers.of(6), 3u);
    EXPECT_EQ(machine.registers.pc(), test_address + 7);
}

TEST(ProbedX86, Branches) {
    constexpr u64 stack = 0x2000;
    EXPECT_EQ(Machine().emulate({0xeb, 0xfe}), test_address);
    EXPECT_EQ(Machine().emulate({0xe9, 0x00, 0x01, 0, 0}), test_address + 0x105);
    EXPECT_EQ(Machine().emulate({0x74, 0x10}), test_address + 2);        // ZF clear
    EXPECT_EQ(Machine(0x40).emulate({0x74, 0x10}), test_address + 0x12); // ZF set
    EXPECT_EQ(Machine(0x80).emulate({0x7c, 0x10}), test_address + 0x12); // SF != OF
    EXPECT_EQ(Machine(0x880).emulate({0x7c, 0x10}), test_address + 2);
    EXPECT_EQ(Machine(0x880).emulate({0x0f, 0x8d, 0x10, 0, 0, 0}), test_address + 0x16);
    EXPECT_EQ(Machine(0).emulate({0xe3, 0x10}), test_address + 0x12); // JRCXZ
    EXPECT_EQ(Machine(1).emulate({0xe2, 0x10}), test_address + 2);    // LOOP
    EXPECT_EQ(Machine(2).emulate({0xe2, 0x10}), test_address + 0x12);
    Machine machine;
    machine.registers.of(4) = stack;
    EXPECT_EQ(machine.emulate({0xe8, 0, 0, 0, 0}), ~u64{0}); // no memory
    EXPECT_EQ(machine.step.bad_address, stack - 8);
    EXPECT_TRUE(machine.step.bad_write);
    machine.memory.words[stack - 8] = 0;
    EXPECT_EQ(machine.emulate({0xe8, 0x10, 0, 0, 0}), test_address + 0x15);
    EXPECT_EQ(machine.memory.words[stack - 8], test_address + 5);
    EXPECT_EQ(machine.registers.sp(), stack - 8);
    EXPECT_EQ(machine.emulate({0xc2, 0x10, 0}), test_address + 5);
    EXPECT_EQ(machine.registers.sp(), stack + 0x10);
}

TEST(ProbedX86, Pushes) {
    constexpr u64 stack = 0x2000;
    Machine machine;
    machine.registers.of(4) = stack;
    machine.registers.of(5) = 55;
    machine.registers.of(13) = 1313;
    EXPECT_EQ(machine.emulate({0x55}), ~u64{0}); // no memory
    EXPECT_EQ(machine.step.bad_address, stack - 8);
    EXPECT_EQ(machine.registers.sp(), stack);
    machine.memory.words[stack - 8] = machine.memory.words[stack - 16] = machine.memory.words[stack - 24] = 0;
    EXPECT_EQ(machine.emulate({0x55}), test_address + 1); // rbp
    EXPECT_EQ(machine.memory.words[stack - 8], 55u);
    EXPECT_EQ(machine.registers.sp(), stack - 8);
    EXPECT_EQ(machine.emulate({0x41, 0x55}), test_address + 2); // r13
    EXPECT_EQ(machine.memory.words[stack - 16], 1313u);
    EXPECT_EQ(machine.emulate({0x54}), test_address + 1); // rsp, as it was before
    EXPECT_EQ(machine.memory.words[stack - 24], stack - 16);
    EXPECT_EQ(machine.registers.sp(), stack - 24);
    const auto small = decode_probed(Bytes{0x66, 0x55}); // two bytes
    ASSERT_TRUE(small);
    EXPECT_EQ(Machine().begin(*small), ProbeAction::OutOfLine);
}

TEST(ProbedX86, DamagedCode) {
    for (u32 seed = 0; seed < 200'000; ++seed) {
        std::minstd_rand random(seed + 1);
        Bytes code(1 + random() % 16);
        for (u8& byte : code) byte = static_cast<u8>(random() >> 8);
        if (const auto made = decode_probed(code)) {
            EXPECT_LE(made->length, code.size());
            EXPECT_LE(made->slot_length, probe_slot_size);
        }
    }
}

} // namespace
