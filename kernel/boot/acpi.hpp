// Inside the boot room: reading ACPI tables, each from a span of bytes that nobody has vouched for.
#pragma once

#include "parse.hpp"
#include <boot/acpi.hpp>
#include <cstring>
#include <optional>

namespace linnet::boot {

using Bytes = std::span<const u8>;

/// The little-endian value at `offset`, or 0 when the table ends before it.
template <typename T>
T read_field(Bytes table, usize offset) {
    T value{};
    if (offset <= table.size() && table.size() - offset >= sizeof(T))
        std::memcpy(&value, table.data() + offset, sizeof(T));
    return value;
}

/// `size` bytes of physical memory, when the direct map has them.
std::optional<Bytes> physical_bytes(PhysAddr address, u64 size);

/// Finds the tables from `info.acpi_rsdp` (searched for when 0) and takes in what they say: CPUs into `info`, the rest
/// into acpi_info(). A machine without ACPI, or with broken tables, leaves both as they are.
void parse_acpi(BootInfo& info);

void decode_madt(Bytes table, BootInfo& info, AcpiInfo& acpi);
void decode_mcfg(Bytes table, AcpiInfo& acpi);
/// Returns the DSDT's address, 0 when there is none.
PhysAddr decode_fadt(Bytes table, AcpiInfo& acpi);
/// What we need of the AML in DSDT and SSDTs.
void decode_aml(Bytes table, AcpiInfo& acpi);

} // namespace linnet::boot
