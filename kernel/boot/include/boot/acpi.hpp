// What ACPI's tables say about the machine, in the few facts that drivers need (ACPI specification 6.5, chapter 5; PCI
// Firmware specification for MCFG). Filled by boot::parse() on machines that have ACPI; constant afterwards.
#pragma once

#include <lib/address.hpp>
#include <lib/result.hpp>
#include <lib/types.hpp>
#include <span>

namespace linnet::boot {

/// A register anywhere (ACPI 5.2.3.2).
struct GenericAddress {
    enum class Space : u8 { Memory = 0, Io = 1, PciConfig = 2 } space = Space::Memory;
    u8 bit_width = 0;
    u64 address = 0; // 0: there is none
    [[nodiscard]] bool exists() const { return address != 0; }
};

struct IoApicInfo {
    u32 id = 0;
    PhysAddr address{};
    u32 gsi_base = 0;
};

/// A legacy (ISA) interrupt that arrives elsewhere or otherwise than usual.
struct InterruptOverride {
    u8 source = 0;
    u32 gsi = 0;
    bool active_low = false;
    bool level = false;
};

/// Memory-mapped PCI configuration space.
struct EcamInfo {
    PhysAddr base{};
    u16 segment = 0;
    u8 first_bus = 0;
    u8 last_bus = 0;
};

/// A virtio-mmio device that the DSDT describes (_HID LNRO0005).
struct VirtioMmioInfo {
    PhysAddr address{};
    u32 size = 0;
    u32 gsi = 0;
};

struct AcpiInfo {
    static constexpr usize max_io_apics = 8, max_overrides = 32, max_ecam = 8, max_virtio = 32;

    IoApicInfo io_apics[max_io_apics];
    usize io_apic_count = 0;
    InterruptOverride overrides[max_overrides];
    usize override_count = 0;
    EcamInfo ecam[max_ecam];
    usize ecam_count = 0;
    VirtioMmioInfo virtio[max_virtio];
    usize virtio_count = 0;

    bool has_fadt = false;
    bool hardware_reduced = false;
    u16 smi_command_port = 0; // 0: ACPI mode is always on
    u8 acpi_enable_value = 0;
    GenericAddress pm1a_control, pm1b_control;
    GenericAddress sleep_control; // hardware-reduced machines
    GenericAddress reset_register;
    u8 reset_value = 0;
    bool has_s5 = false; // _S5 was found: how to power off
    u8 s5_type_a = 0, s5_type_b = 0;

    std::span<const IoApicInfo> all_io_apics() const { return {io_apics, io_apic_count}; }
    std::span<const InterruptOverride> all_overrides() const { return {overrides, override_count}; }
    std::span<const EcamInfo> all_ecam() const { return {ecam, ecam_count}; }
    std::span<const VirtioMmioInfo> all_virtio() const { return {virtio, virtio_count}; }
};

const AcpiInfo& acpi_info();

} // namespace linnet::boot
