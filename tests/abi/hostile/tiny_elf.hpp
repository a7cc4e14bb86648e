// A very small static program, made by hand, that exits with status 0: what the tests of hostile ELF files damage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <elf.h>

namespace tiny {

#if defined(__x86_64__)
constexpr uint16_t machine = EM_X86_64;
constexpr uint32_t code[] = {0x00003cb8, 0x0fff3100, 0x00000005}; // mov $60,%eax; xor %edi,%edi; syscall
#elif defined(__aarch64__)
constexpr uint16_t machine = EM_AARCH64;
constexpr uint32_t code[] = {0xd2800000, 0xd2800ba8, 0xd4000001}; // mov x0,#0; mov x8,#93; svc #0
#elif defined(__riscv)
constexpr uint16_t machine = EM_RISCV;
constexpr uint32_t code[] = {0x00000513, 0x05d00893, 0x00000073}; // li a0,0; li a7,93; ecall
#elif defined(__loongarch__)
constexpr uint16_t machine = 258;
constexpr uint32_t code[] = {0x03800004, 0x0381740b, 0x002b0000}; // ori $a0,$r0,0; ori $a7,$r0,93; syscall 0
#endif

constexpr uint64_t base = 0x400000;
constexpr size_t segment_count = 4; // text, data with zeros behind it, a note, the stack's rights

/// The whole file, headers first.
struct Program {
    Elf64_Ehdr header{};
    Elf64_Phdr segments[segment_count]{};
    uint32_t text[4]{};
    uint32_t data[64]{};

    explicit Program(uint16_t type = ET_EXEC) {
        const uint64_t at = type == ET_EXEC ? base : 0;
        memcpy(header.e_ident, ELFMAG, SELFMAG);
        header.e_ident[EI_CLASS] = ELFCLASS64;
        header.e_ident[EI_DATA] = ELFDATA2LSB;
        header.e_ident[EI_VERSION] = EV_CURRENT;
        header.e_type = type;
        header.e_machine = machine;
        header.e_version = EV_CURRENT;
#if defined(__loongarch__)
        header.e_flags = 0x43;
#elif defined(__riscv)
        header.e_flags = 0x5;
#endif
        header.e_entry = at + offsetof(Program, text);
        header.e_phoff = offsetof(Program, segments);
        header.e_ehsize = sizeof(Elf64_Ehdr);
        header.e_phentsize = sizeof(Elf64_Phdr);
        header.e_phnum = segment_count;
        segments[0] = {PT_LOAD, PF_R | PF_X, 0, at, at, offsetof(Program, data), offsetof(Program, data), 0x10000};
        const uint64_t data_at = at + 0x20000 + offsetof(Program, data);
        segments[1] = {PT_LOAD, PF_R | PF_W, offsetof(Program, data), data_at, data_at, sizeof data, 0x30000, 0x10000};
        segments[2] = {PT_NOTE, PF_R, offsetof(Program, data), data_at, data_at, 16, 16, 4};
        segments[3] = {PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16};
        memcpy(text, code, sizeof code);
    }
};
static_assert(offsetof(Program, segments) == 64);

} // namespace tiny
