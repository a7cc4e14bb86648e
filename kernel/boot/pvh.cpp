// PVH's start info (Xen: public/arch-x86/hvm/start_info.h): memory map, command line, first module as the initrd, RSDP.
#include "acpi.hpp"

#include <algorithm>
#include <arch/page.hpp>

namespace linnet::boot {

namespace {

constexpr u32 start_info_magic = 0x336ec578;
constexpr u32 type_ram = 1;
/// The BIOS data area, and the page where other CPUs start (arch), are not given away.
constexpr u64 low_memory = 0x10000;

struct StartInfo {
    u32 magic;
    u32 version;
    u32 flags;
    u32 module_count;
    u64 modules;
    u64 command_line;
    u64 rsdp;
    u64 memory_map; // from version 1 on
    u32 memory_map_entries;
    u32 reserved;
};
static_assert(sizeof(StartInfo) == 56);

struct Module {
    u64 address;
    u64 size;
    u64 command_line;
    u64 reserved;
};

struct MemoryMapEntry {
    u64 address;
    u64 size;
    u32 type;
    u32 reserved;
};
static_assert(sizeof(MemoryMapEntry) == 24);

template <typename T>
std::optional<T> read_object(u64 address) {
    auto bytes = physical_bytes({address}, sizeof(T));
    if (!bytes) return std::nullopt;
    return read_field<T>(*bytes, 0);
}

Result<void> add_ram(u64 begin, u64 size, BootInfo& info) {
    // What the direct map doesn't reach can't be used.
    u64 limit = arch::direct_map_size();
    u64 end = size > limit - std::min(begin, limit) ? limit : begin + size;
    begin = std::max(begin, low_memory);
    return begin < end ? add_usable(info, {begin}, end - begin) : Result<void>{};
}

Result<void> take_memory_map(const StartInfo& start, BootInfo& info) {
    constexpr u32 max_entries = 512;
    if (start.version < 1) return error(Errno::EINVAL);
    for (u32 i = 0; i < std::min(start.memory_map_entries, max_entries); ++i) {
        auto entry = read_object<MemoryMapEntry>(start.memory_map + u64{i} * sizeof(MemoryMapEntry));
        if (!entry) return error(Errno::EINVAL);
        if (entry->type == type_ram) TRY(add_ram(entry->address, entry->size, info));
    }
    return info.usable_count > 0 ? Result<void>{} : error(Errno::EINVAL);
}

Result<void> take_command_line(u64 address, BootInfo& info) {
    if (address == 0) return {};
    u64 limit = arch::direct_map_size();
    if (address >= limit) return error(Errno::EINVAL);
    auto bytes = physical_bytes({address}, std::min<u64>(BootInfo::max_command_line, limit - address));
    if (!bytes) return error(Errno::EINVAL);
    auto end = std::find(bytes->begin(), bytes->end(), 0);
    set_command_line(info, {reinterpret_cast<const char*>(bytes->data()), static_cast<usize>(end - bytes->begin())});
    return {};
}

Result<void> take_initrd(const StartInfo& start, BootInfo& info) {
    if (start.module_count == 0) return {};
    auto module = read_object<Module>(start.modules);
    if (!module || !physical_bytes({module->address}, module->size)) return error(Errno::EINVAL);
    info.initrd = {{module->address}, module->size};
    return {};
}

} // namespace

Result<void> parse_pvh(const Handoff& handoff, BootInfo& info) {
    auto start = read_object<StartInfo>(handoff.data.value);
    if (!start || start->magic != start_info_magic) return error(Errno::EINVAL);
    TRY(take_memory_map(*start, info));
    TRY(take_command_line(start->command_line, info));
    TRY(take_initrd(*start, info));
    info.acpi_rsdp = {start->rsdp};
    parse_acpi(info);
    return {};
}

} // namespace linnet::boot
