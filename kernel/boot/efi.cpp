// LoongArch's handover: an EFI system table whose configuration tables lead to the device tree and the initrd
// (UEFI Specification, chapter 4), and the command line in memory.
#include <arch/page.hpp>
#include <cstring>

#include "parse.hpp"

namespace linnet::boot {

namespace {

constexpr u64 table_signature = 0x5453'5953'2049'4249; // "IBI SYST"
constexpr u64 most_tables = 64;
constexpr u64 physical_mask = (u64{1} << 48) - 1; // pointers may lie in the cached window

struct Guid {
    u32 first;
    u16 second, third;
    u8 rest[8];
    bool operator==(const Guid&) const = default;
};
constexpr Guid device_tree_guid{0xb1b621d5, 0xf19c, 0x41a5, {0x83, 0x0b, 0xd9, 0x15, 0x2c, 0x69, 0xaa, 0xe0}};
constexpr Guid initrd_guid{0x5568e427, 0x68fc, 0x4f3d, {0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68}};

struct SystemTable {
    u64 signature;
    u32 revision, header_size, checksum, reserved;
    u64 unused[10]; // vendor, consoles, services
    u64 table_count;
    u64 tables;
};
static_assert(__builtin_offsetof(SystemTable, table_count) == 104);

struct ConfigurationTable {
    Guid guid;
    u64 address;
};
static_assert(sizeof(ConfigurationTable) == 24);

struct InitrdTable {
    u64 base, size;
};

/// Firmware's tables need not be aligned.
template <typename T>
T read(u64 address) {
    T value;
    std::memcpy(&value, arch::phys_to_virt(PhysAddr{address & physical_mask}), sizeof value);
    return value;
}

void read_command_line(PhysAddr address, BootInfo& info) {
    const char* text = arch::phys_to_virt<const char>({address.value & physical_mask});
    set_command_line(info, {text, strnlen(text, BootInfo::max_command_line - 1)});
}

} // namespace

Result<void> parse_efi(const Handoff& handoff, BootInfo& info) {
    auto system = read<SystemTable>(handoff.data.value);
    if (system.signature != table_signature || system.table_count > most_tables) return error(Errno::EINVAL);
    u64 tree = 0;
    InitrdTable initrd{};
    for (u64 i = 0; i < system.table_count; ++i) {
        auto table = read<ConfigurationTable>(system.tables + i * sizeof(ConfigurationTable));
        if (table.guid == device_tree_guid) tree = table.address & physical_mask;
        if (table.guid == initrd_guid) initrd = read<InitrdTable>(table.address);
    }
    if (tree == 0) return error(Errno::ENODEV);
    TRY(parse_device_tree({tree}, handoff, info));
    TRY(add_reserved(info, {0}, arch::page_size)); // a table there would make an entry of 0, which means none
    // These say more than the tree's /chosen, if that says anything.
    if (initrd.size != 0) info.initrd = {{initrd.base & physical_mask}, initrd.size};
    read_command_line(handoff.command_line, info);
    return {};
}

} // namespace linnet::boot
