// A few registers and words of memory for emulated instructions.
#pragma once

#include <arch_impl/probe.hpp>
#include <gtest/gtest.h>
#include <map>
#include <vector>

namespace linnet::arch {

struct TestMemory final : ProbeMemory {
    std::map<u64, u64> words;
    bool load(u64 address, u64& value) override {
        const auto found = words.find(address);
        if (found == words.end()) return false;
        value = found->second;
        return true;
    }
    bool store(u64 address, u64 value) override {
        if (!words.contains(address)) return false;
        words[address] = value;
        return true;
    }
};

inline constexpr u64 test_address = 0x10'0000;

/// Code, and the program counter after it was emulated, from registers that are all `fill`.
struct Machine {
    u64 words[40];
    TestMemory memory;
    ProbedStep step;
    ProbeRegisters registers{words};
    explicit Machine(u64 fill = 0) {
        for (u64& word : words) word = fill;
    }
    ProbeAction begin(const ProbedInstruction& instruction) {
        return begin_probed(instruction, registers, test_address, memory, step);
    }
    u64 emulate(const std::vector<u8>& code) {
        const auto instruction = decode_probed(code);
        if (!instruction || begin(*instruction) != ProbeAction::Emulated) return ~u64{0};
        return registers.pc();
    }
};

inline std::vector<u8> word(u32 code) {
    return {static_cast<u8>(code), static_cast<u8>(code >> 8), static_cast<u8>(code >> 16),
            static_cast<u8>(code >> 24)};
}

inline bool is_stepped(const std::vector<u8>& code) {
    const auto instruction = decode_probed(code);
    Machine machine;
    return instruction && machine.begin(*instruction) == ProbeAction::OutOfLine;
}

} // namespace linnet::arch
