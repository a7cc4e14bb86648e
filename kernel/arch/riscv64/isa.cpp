// Finds out what the harts can do. The harts of one machine are taken to be alike, as Linux user space does
// too.
#include "isa.hpp"

#include <algorithm>
#include <arch/cpu.hpp>
#include <arch/hooks.hpp>
#include <arch/mmu.hpp>
#include <string_view>

#include "../common/exception_table.hpp"
#include "sbi.hpp"
#include "start.hpp"

extern "C" linnet::u64 arch_read_vector_register_bytes();

namespace linnet::arch {

bool page_memory_types_supported = false;

namespace {

constinit Isa machine_isa;

constexpr u64 letter_bit(char letter) { return u64{1} << (letter - 'a'); }

/// Evaluates to whether an instruction that swaps t0 (all ones) with a CSR works; illegal ones go to the
/// fix-up.
#define CSR_WORKS(instruction)                                                                                         \
    ({                                                                                                                 \
        u64 works_;                                                                                                    \
        asm volatile("li %0, 0\n"                                                                                      \
                     "li t0, -1\n"                                                                                     \
                     "1: " instruction "\n"                                                                            \
                     "li %0, 1\n"                                                                                      \
                     "2:\n" LINNET_EXCEPTION_ENTRY("1b", "2b")                                                         \
                     : "=&r"(works_)                                                                                   \
                     :                                                                                                 \
                     : "t0", "memory");                                                                                \
        works_ != 0;                                                                                                   \
    })

bool contains_extension(std::string_view isa_string, std::string_view name) {
    for (usize at = isa_string.find(name); at != isa_string.npos; at = isa_string.find(name, at + 1)) {
        usize end = at + name.size();
        if (isa_string[at - 1] == '_' && (end == isa_string.size() || isa_string[end] == '_')) return true;
    }
    return false;
}

/// "rv64imafdc_zicsr_…": single letters up to the first '_' or multi-letter name.
u64 parse_letters(std::string_view isa_string) {
    u64 letters = 0;
    if (!isa_string.starts_with("rv64")) return 0;
    for (char letter : isa_string.substr(4)) {
        if (letter < 'a' || letter > 'y' || letter == 's' || letter == 'x') break;
        letters |= letter_bit(letter);
    }
    constexpr u64 general = letter_bit('i') | letter_bit('m') | letter_bit('a') | letter_bit('f') | letter_bit('d');
    if (letters & letter_bit('g')) letters |= general;
    return letters;
}

std::string_view boot_hart_isa_string() {
    // The boot hart's node has its id as unit address, in hexadecimal.
    char path[32] = "/cpus/cpu@";
    usize length = 10;
    unsigned digit = 60;
    while (digit > 0 && (boot_hart() >> digit) == 0) digit -= 4;
    for (;; digit -= 4) {
        path[length++] = "0123456789abcdef"[(boot_hart() >> digit) & 15];
        if (digit == 0) break;
    }
    std::span<const u8> value = hooks::device_tree_property({path, length}, "riscv,isa");
    std::string_view text(reinterpret_cast<const char*>(value.data()), value.size());
    return text.substr(0, text.find('\0'));
}

// Keys and values of riscv_hwprobe(2), whose numbers are in Linux's asm/hwprobe.h.
constexpr i64 key_vendor = 0, key_architecture = 1, key_implementation = 2, key_base = 3, key_extensions = 4,
              key_unaligned = 5, key_zero_block_size = 6, key_highest_address = 7, key_time_frequency = 8,
              key_unaligned_scalar = 9;
constexpr u64 base_ima = 1;
constinit HardwareProperty properties[] = {
    {key_vendor, 0, false, "mvendorid"},
    {key_architecture, 0, false, "marchid"},
    {key_implementation, 0, false, "mimpid"},
    {key_base, base_ima, true},
    {key_extensions, 0, true},
    {key_unaligned, 0, true},        // unknown
    {key_zero_block_size, 0, false}, // user code can't use the instruction
    {key_highest_address, user_address_end.value, false},
    {key_time_frequency, 0, false},
    {key_unaligned_scalar, 0, false}, // unknown
};

/// Extensions that need nothing of the kernel.
struct NamedExtension {
    std::string_view name;
    unsigned bit;
};
constexpr NamedExtension named_extensions[] = {
    {"zba", 3},     {"zbb", 4},        {"zbs", 5},   {"zbc", 7},      {"zbkb", 8},  {"zbkc", 9},    {"zbkx", 10},
    {"zknd", 11},   {"zkne", 12},      {"zknh", 13}, {"zksed", 14},   {"zksh", 15}, {"zkt", 16},    {"zfh", 27},
    {"zfhmin", 28}, {"zihintntl", 29}, {"zvfh", 30}, {"zvfhmin", 31}, {"zfa", 32},  {"zicond", 35}, {"zihintpause", 36},
};

u64 probed_extensions(std::string_view isa_string, const Isa& isa) {
    const auto has = [&](char letter) { return (isa.letters & letter_bit(letter)) != 0; };
    constexpr u64 floating_point = 1 << 0, compressed = 1 << 1, vector = 1 << 2;
    constexpr u64 parts_of_vector = u64{31} << 37; // Zve32x, Zve32f, Zve64x, Zve64f, Zve64d
    constexpr u64 compressed_integers = u64{1} << 43, compressed_doubles = u64{1} << 45; // Zca, Zcd
    u64 found = 0;
    if (isa.has_floating_point) found |= floating_point;
    if (has('c')) found |= compressed | compressed_integers | (has('d') ? compressed_doubles : 0);
    if (has('v')) found |= vector | parts_of_vector;
    for (const NamedExtension& extension : named_extensions)
        if (contains_extension(isa_string, extension.name)) found |= u64{1} << extension.bit;
    return found;
}

u32 count_asid_bits() {
    u64 before = LINNET_READ_CSR(satp);
    LINNET_WRITE_CSR(satp, before | csr::satp_asid_mask << csr::satp_asid_shift);
    u64 after = LINNET_READ_CSR(satp);
    LINNET_WRITE_CSR(satp, before);
    asm volatile("sfence.vma" : : : "memory");
    return static_cast<u32>(__builtin_popcountll((after >> csr::satp_asid_shift) & csr::satp_asid_mask));
}

} // namespace

const Isa& isa() { return machine_isa; }

std::span<const HardwareProperty> hardware_properties() { return properties; }

void list_properties(u64 frequency) {
    const auto set = [](i64 key, u64 value) {
        std::ranges::find(properties, key, &HardwareProperty::key)->value = value;
    };
    set(key_vendor, sbi::call(sbi::base_extension, sbi::base_vendor).value);
    set(key_architecture, sbi::call(sbi::base_extension, sbi::base_architecture).value);
    set(key_implementation, sbi::call(sbi::base_extension, sbi::base_implementation).value);
    set(key_extensions, machine_isa.probed_extensions);
    set(key_time_frequency, frequency);
}

usize vector_register_bytes() { return machine_isa.vector_register_bytes; }

void probe_registers() {
    Isa& isa = machine_isa;
    isa.asid_bits = count_asid_bits();
    // The firmware must have opened these to S-mode, which no string tells.
    isa.has_supervisor_timer = CSR_WORKS("csrw 0x14d, t0");
    isa.has_seed = CSR_WORKS("csrrw t0, 0x015, zero");
}

void read_isa_string() {
    std::string_view text = boot_hart_isa_string();
    Isa& isa = machine_isa;
    isa.letters = parse_letters(text);
    isa.has_floating_point = (isa.letters & letter_bit('f')) && (isa.letters & letter_bit('d'));
    isa.probed_extensions = probed_extensions(text, isa);
    page_memory_types_supported = contains_extension(text, "svpbmt");
    if (isa.letters & letter_bit('v')) {
        LINNET_SET_CSR(sstatus, csr::sstatus_vs);
        isa.vector_register_bytes = static_cast<u32>(arch_read_vector_register_bytes());
        LINNET_CLEAR_CSR(sstatus, csr::sstatus_vs);
    }
}

} // namespace linnet::arch
