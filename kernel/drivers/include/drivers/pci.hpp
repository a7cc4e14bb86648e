// PCI: configuration space behind an interface (ECAM or ports), functions found by scanning, base address registers
// assigned where the firmware did not, interrupts by MSI-X or by the pin (PCI Local Bus 3.0, PCI Express Base).
#pragma once

#include <core/irq.hpp>
#include <drivers/driver.hpp>
#include <lib/address.hpp>
#include <lib/result.hpp>
#include <optional>

namespace linnet::drivers {

struct PciAddress {
    u8 bus = 0;
    u8 device = 0;
    u8 function = 0;
};

/// A host bridge: how its configuration space is reached and what it may hand out. Lives for ever.
class PciHost {
public:
    /// The aligned 32-bit word at `offset` of a function's configuration space; all ones when nobody answers.
    virtual u32 read(PciAddress address, u16 offset) = 0;
    virtual void write(PciAddress address, u16 offset, u32 value) = 0;
    /// The interrupt that `pin` (1 = INTA) of a device raises; ENODEV when only MSI works here.
    virtual Result<Interrupt> route_pin(PciAddress, u8) { return error(Errno::ENODEV); }

    /// Space for base address registers; empty where the firmware has assigned them all.
    struct Window {
        u64 bus_address = 0;
        PhysAddr cpu_address{};
        u64 size = 0;
        u64 used = 0;
    };
    Window memory32;
    Window memory64;

protected:
    ~PciHost() = default;
};

/// One function found by the scan.
class PciFunction {
public:
    PciFunction(PciHost& host, PciAddress address) : host_(&host), address_(address) {}
    [[nodiscard]] PciAddress address() const { return address_; }
    [[nodiscard]] u32 read32(u16 offset) const { return host_->read(address_, offset); }
    [[nodiscard]] u16 read16(u16 offset) const;
    [[nodiscard]] u8 read8(u16 offset) const;
    void write32(u16 offset, u32 value) { host_->write(address_, offset, value); }
    void write16(u16 offset, u16 value);
    [[nodiscard]] u16 vendor() const { return read16(0); }
    [[nodiscard]] u16 device() const { return read16(2); }

    /// Turns on memory decoding and bus mastering.
    void enable();
    /// Maps base address register `index` (memory only), assigning it first if nobody has. ENODEV, ENOMEM, ENOSPC.
    [[nodiscard]] Result<VirtAddr> map_bar(u8 index);
    /// Offset of the first capability `id` after `after` (0: from the start); nothing when there is none.
    [[nodiscard]] std::optional<u16> find_capability(u8 id, u16 after = 0) const;
    /// Routes the function's interrupts (all MSI-X vectors to one message, else the pin) to `handler`.
    Result<void> request_interrupt(core::IrqHandler handler, void* context, const char* name);
    /// Gives an entry of the MSI-X table, of those that request_interrupt() has armed, a message and a handler of its
    /// own. ENODEV: there is no such entry; ENOSPC, ENOSYS, ENOMEM.
    Result<void> request_vector(u16 entry, core::IrqHandler handler, void* context, const char* name);
    /// How many MSI-X table entries request_interrupt() has armed; 0: the pin is used.
    [[nodiscard]] u16 msix_vectors() const { return msix_vectors_; }

private:
    Result<void> enable_msix(const core::MsiMessage& message);
    PciHost* host_;
    PciAddress address_;
    void write_vector(u16 entry, const core::MsiMessage& message);
    u16 msix_vectors_ = 0;
    VirtAddr msix_table_{};
};

/// A driver for PCI functions, probed for each function that it matches; listed in drivers/pci/drivers.cpp.
struct PciDriver {
    const char* name;
    bool (*matches)(u16 vendor, u16 device);
    Result<void> (*probe)(PciFunction& function);
};

/// Scans bus 0 and the buses behind its bridges and probes drivers. Called by host bridge drivers in Stage::Bus.
void scan_pci(PciHost& host);

/// A host bridge whose configuration space is memory-mapped (ECAM) at `base`, one bus a MiB. May sleep.
Result<void> add_ecam_host(PhysAddr base, u64 size);

} // namespace linnet::drivers
