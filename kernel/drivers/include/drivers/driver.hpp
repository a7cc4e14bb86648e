// How a driver is found: it says which devices it serves, and probing calls it for each.
//
// A driver is one constinit `Driver` object in its own file, listed in lists/<architecture>.cpp. On machines
// with a device tree it is probed for every enabled node whose `compatible` has one of its names; a driver
// for devices that no tree describes (x86_64: APIC, CMOS clock, ports) gives `probe_platform` instead and
// looks for itself (boot_info(). acpi_rsdp, ports). Stages are probed in order, within a stage drivers in the
// order of the list.
//
//     static constexpr const char* names[] = {"arm,pl011"};
//     static Result<void> probe(const Device& device) { … }
//     constinit const Driver pl011_driver{.name = "pl011", .stage = Stage::Console, .compatible = names,
//     .probe = probe};
#pragma once

#include <boot/fdt.hpp>
#include <core/irq.hpp>
#include <lib/result.hpp>
#include <span>

namespace linnet::drivers {

enum class Stage : u8 {
    InterruptController, // first thing after mm: core::set_root_controller and the interrupt translators
    Console,             // UARTs
    Clock,               // RTCs
    Power,
    Bus,    // PCI host bridges
    Device, // everything else
};

/// An interrupt in the numbers of core::request_irq.
struct Interrupt {
    core::Irq irq = 0;
    core::Trigger trigger = core::Trigger::Level;
};

/// A device-tree node on offer to a driver.
struct Device {
    boot::FdtNode node;

    std::string_view name() const { return node.name(); }
    /// Entry `index` of `reg` as CPU addresses; ENODEV when there is none.
    Result<boot::FdtRegion> region(usize index = 0) const;
    /// Maps entry `index` of `reg` (mm::map_device). EINVAL when it has less than `least` bytes, or more than any
    /// device's registers that we drive: a tree may say anything.
    Result<VirtAddr> map_region(usize index = 0, u64 least = 1) const;
    /// Entry `index` of `interrupts`; ENODEV when there is none, EAGAIN when its controller has no driver.
    Result<Interrupt> interrupt(usize index = 0) const;
    /// Whether the firmware's console is this device (/chosen's stdout-path).
    bool is_standard_output() const;
};

struct Driver {
    const char* name = "";
    Stage stage = Stage::Device;
    std::span<const char* const> compatible{};
    Result<void> (*probe)(const Device& device) = nullptr;
    Result<void> (*probe_platform)() = nullptr; // called once
};

/// All drivers of this architecture, in the order of probing; defined in lists/<architecture>.cpp.
extern const std::span<const Driver* const> driver_list;

/// Probes every driver of the stage. Failures are logged and don't stop the others; ENODEV is silent.
void probe_drivers(Stage stage);

/// An interrupt controller's driver says how to read interrupt specifiers of its node: `cells` are those of
/// the binding.
using InterruptTranslator = Result<Interrupt> (*)(std::span<const u32> cells);
/// ENOSPC when too many controllers register.
Result<void> register_interrupt_translator(const boot::FdtNode& controller, InterruptTranslator translator);
/// Translates what the device tree says, for buses that map interrupts themselves (PCI:
/// FdtNode::map_interrupt).
Result<Interrupt> translate_interrupt(const boot::FdtInterrupt& interrupt);

} // namespace linnet::drivers
