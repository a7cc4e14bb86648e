// Finds ACPI's tables: RSDP, then RSDT or XSDT, then each table with a good checksum. Firmware tables are untrusted
// input: every access is within bounds that were checked against the direct map.
#include "acpi.hpp"
#include <arch/page.hpp>
#include <string_view>

namespace linnet::boot {

namespace {

constinit AcpiInfo machine_acpi;

constexpr usize header_size = 36;
constexpr usize max_table_size = 4u << 20;
constexpr usize max_tables = 128;

bool sums_to_zero(Bytes bytes) {
    u8 sum = 0;
    for (u8 byte : bytes) sum = static_cast<u8>(sum + byte);
    return sum == 0;
}

bool has_signature(Bytes table, std::string_view signature) {
    return table.size() >= signature.size() && std::memcmp(table.data(), signature.data(), signature.size()) == 0;
}

/// A whole table by its header's length; nothing when it is malformed.
std::optional<Bytes> table_at(PhysAddr address) {
    if (address.value == 0) return std::nullopt;
    auto header = physical_bytes(address, header_size);
    if (!header) return std::nullopt;
    auto length = read_field<u32>(*header, 4);
    if (length < header_size || length > max_table_size) return std::nullopt;
    auto table = physical_bytes(address, length);
    if (!table || !sums_to_zero(*table)) return std::nullopt;
    return table;
}

bool is_rsdp(PhysAddr address) {
    constexpr usize first_part = 20;
    auto bytes = physical_bytes(address, first_part);
    return bytes && has_signature(*bytes, "RSD PTR ") && sums_to_zero(*bytes);
}

/// On PCs without another hint the RSDP lies on a 16-byte boundary of the BIOS area (ACPI 5.2.5.1).
PhysAddr search_rsdp() {
    for (u64 address = 0xe0000; address < 0x100000; address += 16)
        if (is_rsdp({address})) return {address};
    return {};
}

void decode_table(PhysAddr address, BootInfo& info, AcpiInfo& acpi) {
    auto table = table_at(address);
    if (!table) return;
    if (has_signature(*table, "APIC")) decode_madt(*table, info, acpi);
    if (has_signature(*table, "MCFG")) decode_mcfg(*table, acpi);
    if (has_signature(*table, "SSDT")) decode_aml(table->subspan(header_size), acpi);
    if (has_signature(*table, "FACP")) {
        auto dsdt = table_at(decode_fadt(*table, acpi));
        if (dsdt && has_signature(*dsdt, "DSDT")) decode_aml(dsdt->subspan(header_size), acpi);
    }
}

} // namespace

std::optional<Bytes> physical_bytes(PhysAddr address, u64 size) {
    u64 limit = arch::direct_map_size();
    if (address.value >= limit || size > limit - address.value) return std::nullopt;
    return Bytes(arch::phys_to_virt<const u8>(address), size);
}

void parse_acpi(BootInfo& info) {
    if (info.acpi_rsdp.value == 0 || !is_rsdp(info.acpi_rsdp)) info.acpi_rsdp = search_rsdp();
    if (info.acpi_rsdp.value == 0) return;
    constexpr usize rsdp_size = 36;
    auto rsdp = physical_bytes(info.acpi_rsdp, rsdp_size);
    if (!rsdp) return;
    bool extended = read_field<u8>(*rsdp, 15) >= 2 && read_field<u64>(*rsdp, 24) != 0;
    auto root = table_at({extended ? read_field<u64>(*rsdp, 24) : read_field<u32>(*rsdp, 16)});
    if (!root || !has_signature(*root, extended ? "XSDT" : "RSDT")) return;
    usize entry_size = extended ? 8 : 4;
    usize count = (root->size() - header_size) / entry_size;
    for (usize i = 0; i < count && i < max_tables; ++i) {
        usize offset = header_size + i * entry_size;
        u64 address = extended ? read_field<u64>(*root, offset) : read_field<u32>(*root, offset);
        decode_table({address}, info, machine_acpi);
    }
}

const AcpiInfo& acpi_info() { return machine_acpi; }

} // namespace linnet::boot
