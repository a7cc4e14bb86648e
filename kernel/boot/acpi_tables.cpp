// The static tables: MADT (interrupt controllers and CPUs), MCFG (PCI configuration space), FADT (power management).
// Offsets are those of the ACPI specification 6.5, sections 5.2.9 and 5.2.12.
#include "acpi.hpp"

namespace linnet::boot {

namespace {

GenericAddress read_generic_address(Bytes table, usize offset) {
    GenericAddress result;
    result.space = static_cast<GenericAddress::Space>(read_field<u8>(table, offset));
    result.bit_width = read_field<u8>(table, offset + 1);
    result.address = read_field<u64>(table, offset + 4);
    return result;
}

/// The 64-bit form of a power-management block where the table has it, else the old I/O port.
GenericAddress read_pm_block(Bytes table, usize extended_offset, usize port_offset) {
    GenericAddress result = read_generic_address(table, extended_offset);
    if (result.exists()) return result;
    return {GenericAddress::Space::Io, 16, read_field<u32>(table, port_offset)};
}

void add_io_apic(Bytes entry, AcpiInfo& acpi) {
    if (acpi.io_apic_count == AcpiInfo::max_io_apics) return;
    acpi.io_apics[acpi.io_apic_count++] = {
        read_field<u8>(entry, 2), {read_field<u32>(entry, 4)}, read_field<u32>(entry, 8)};
}

void add_override(Bytes entry, AcpiInfo& acpi) {
    if (acpi.override_count == AcpiInfo::max_overrides) return;
    auto flags = read_field<u16>(entry, 8);
    // Two bits each: 3 is active low, and level; 0 is what the bus does, for ISA high and edge.
    acpi.overrides[acpi.override_count++] = {read_field<u8>(entry, 3), read_field<u32>(entry, 4), (flags & 3) == 3,
                                             ((flags >> 2) & 3) == 3};
}

} // namespace

void decode_madt(Bytes table, BootInfo& info, AcpiInfo& acpi) {
    enum Type : u8 { local_apic = 0, io_apic = 1, interrupt_override = 2, local_x2apic = 9 };
    constexpr u32 enabled = 1;
    constexpr usize first_entry = 44;
    for (usize at = first_entry; at + 2 <= table.size();) {
        usize length = table[at + 1];
        if (length < 2 || length > table.size() - at) return;
        Bytes entry = table.subspan(at, length);
        switch (entry[0]) {
        case local_apic:
            if (read_field<u32>(entry, 4) & enabled) add_cpu(info, read_field<u8>(entry, 3));
            break;
        case local_x2apic:
            if (read_field<u32>(entry, 8) & enabled) add_cpu(info, read_field<u32>(entry, 4));
            break;
        case io_apic:
            add_io_apic(entry, acpi);
            break;
        case interrupt_override:
            add_override(entry, acpi);
            break;
        default:
            break;
        }
        at += length;
    }
}

void decode_mcfg(Bytes table, AcpiInfo& acpi) {
    constexpr usize first_entry = 44, entry_size = 16;
    for (usize at = first_entry; at + entry_size <= table.size() && acpi.ecam_count < AcpiInfo::max_ecam;
         at += entry_size) {
        EcamInfo ecam{{read_field<u64>(table, at)},
                      read_field<u16>(table, at + 8),
                      read_field<u8>(table, at + 10),
                      read_field<u8>(table, at + 11)};
        if (ecam.first_bus <= ecam.last_bus) acpi.ecam[acpi.ecam_count++] = ecam;
    }
}

PhysAddr decode_fadt(Bytes table, AcpiInfo& acpi) {
    constexpr u32 reset_supported = 1u << 10, hardware_reduced = 1u << 20;
    auto flags = read_field<u32>(table, 112);
    acpi.has_fadt = true;
    acpi.hardware_reduced = flags & hardware_reduced;
    acpi.smi_command_port = static_cast<u16>(read_field<u32>(table, 48));
    acpi.acpi_enable_value = read_field<u8>(table, 52);
    if (!acpi.hardware_reduced) {
        acpi.pm1a_control = read_pm_block(table, 172, 64);
        acpi.pm1b_control = read_pm_block(table, 184, 68);
    }
    acpi.sleep_control = read_generic_address(table, 244);
    if (flags & reset_supported) {
        acpi.reset_register = read_generic_address(table, 116);
        acpi.reset_value = read_field<u8>(table, 128);
    }
    u64 dsdt = read_field<u64>(table, 140);
    return {dsdt != 0 ? dsdt : read_field<u32>(table, 40)};
}

} // namespace linnet::boot
