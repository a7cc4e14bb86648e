// ELF64 as the loader and core files need it (elf(5)).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

struct Elf64_Ehdr {
    u8 e_ident[16];
    u16 e_type;
    u16 e_machine;
    u32 e_version;
    u64 e_entry;
    u64 e_phoff;
    u64 e_shoff;
    u32 e_flags;
    u16 e_ehsize;
    u16 e_phentsize;
    u16 e_phnum;
    u16 e_shentsize;
    u16 e_shnum;
    u16 e_shstrndx;
};
struct Elf64_Phdr {
    u32 p_type;
    u32 p_flags;
    u64 p_offset;
    u64 p_vaddr;
    u64 p_paddr;
    u64 p_filesz;
    u64 p_memsz;
    u64 p_align;
};
struct Elf64_Shdr {
    u32 sh_name, sh_type;
    u64 sh_flags, sh_addr, sh_offset, sh_size;
    u32 sh_link, sh_info;
    u64 sh_addralign, sh_entsize;
};
struct Elf64_Nhdr {
    u32 n_namesz;
    u32 n_descsz;
    u32 n_type;
};
static_assert(sizeof(Elf64_Ehdr) == 64 && sizeof(Elf64_Phdr) == 56 && sizeof(Elf64_Shdr) == 64);

inline constexpr u8 ELFCLASS64 = 2, ELFDATA2LSB = 1, EV_CURRENT = 1;
inline constexpr u16 ET_EXEC = 2, ET_DYN = 3, ET_CORE = 4;
inline constexpr u16 EM_X86_64 = 62, EM_AARCH64 = 183, EM_RISCV = 243, EM_LOONGARCH = 258;
inline constexpr u32 PT_NULL = 0, PT_LOAD = 1, PT_DYNAMIC = 2, PT_INTERP = 3, PT_NOTE = 4, PT_PHDR = 6, PT_TLS = 7,
                     PT_GNU_STACK = 0x6474e551, PT_GNU_PROPERTY = 0x6474e553;
inline constexpr u32 PF_X = 1, PF_W = 2, PF_R = 4;
inline constexpr u32 NT_PRSTATUS = 1, NT_PRFPREG = 2, NT_PRPSINFO = 3, NT_AUXV = 6, NT_SIGINFO = 0x53494749,
                     NT_FILE = 0x46494c45;
// Register sets of one architecture.
inline constexpr u32 NT_X86_XSTATE = 0x202, NT_ARM_TLS = 0x401, NT_ARM_HW_BREAK = 0x402, NT_ARM_HW_WATCH = 0x403,
                     NT_ARM_SYSTEM_CALL = 0x404, NT_ARM_SVE = 0x405, NT_RISCV_VECTOR = 0x901,
                     NT_LOONGARCH_CPUCFG = 0xa00, NT_LOONGARCH_LSX = 0xa02, NT_LOONGARCH_LASX = 0xa03,
                     NT_LOONGARCH_LBT = 0xa04, NT_LOONGARCH_HW_BREAK = 0xa05, NT_LOONGARCH_HW_WATCH = 0xa06;

} // namespace linnet::abi
