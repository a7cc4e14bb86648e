// The host bridge of PCs: configuration space by the ports 0xcf8 and 0xcfc (PCI Local Bus 3.0, 3.2.2.3.2), or, where
// those are missing (QEMU's microvm with pcie=on), memory-mapped as ACPI's MCFG says.
//
// Lock: lock_, masks interrupts, a leaf: around the address and data ports.
#include <algorithm>
#include <arch_impl/port_io.hpp>
#include <boot/acpi.hpp>
#include <core/spinlock.hpp>
#include <drivers/pci.hpp>

namespace linnet::drivers {

extern const Driver pc_pci_driver;

namespace {

constexpr u16 address_port = 0xcf8, data_port = 0xcfc;
constexpr u32 address_enable = 1u << 31;

/// The firmware has assigned all base addresses. Interrupt pins are routed by AML, which nobody interprets here: MSI-X
/// only.
class PortHost final : public PciHost {
public:
    static bool exists() {
        u32 old = arch::port_read32(address_port);
        arch::port_write32(address_port, address_enable);
        bool kept = arch::port_read32(address_port) == address_enable;
        arch::port_write32(address_port, old);
        return kept;
    }
    u32 read(PciAddress address, u16 offset) override {
        if (offset > 0xff) return ~0u;
        core::InterruptSpinGuard guard(lock_);
        select(address, offset);
        return arch::port_read32(data_port);
    }
    void write(PciAddress address, u16 offset, u32 value) override {
        if (offset > 0xff) return;
        core::InterruptSpinGuard guard(lock_);
        select(address, offset);
        arch::port_write32(data_port, value);
    }

private:
    static void select(PciAddress address, u16 offset) {
        arch::port_write32(address_port, address_enable | u32{address.bus} << 16 | u32{address.device} << 11 |
                                             u32{address.function} << 8 | (offset & 0xfcu));
    }
    core::InterruptSpinLock lock_;
};

constinit PortHost port_host;

Result<void> probe() {
    if (PortHost::exists()) {
        scan_pci(port_host);
        return {};
    }
    auto bridges = boot::acpi_info().all_ecam();
    if (bridges.empty()) return error(Errno::ENODEV);
    // One bus is a MiB; more than sixteen are not worth their page tables on the machines that have no ports.
    const boot::EcamInfo& first = bridges.front();
    u64 buses = std::min<u64>(u64{first.last_bus} - first.first_bus + 1, 16);
    return add_ecam_host(first.base, buses << 20);
}

} // namespace

constinit const Driver pc_pci_driver{
    .name = "pci", .stage = Stage::Bus, .compatible = {}, .probe = nullptr, .probe_platform = probe};

} // namespace linnet::drivers
