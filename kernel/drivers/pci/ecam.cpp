// Host bridges with memory-mapped configuration space (ECAM, PCI Express Base 7.2.2): found in the device tree
// ("pci-host-ecam-generic"), or named by ACPI's MCFG.
#include <core/log.hpp>
#include <drivers/mmio.hpp>
#include <drivers/pci.hpp>
#include <lib/own_ptr.hpp>
#include <mm/kernel_area.hpp>

namespace linnet::drivers {
namespace {

class EcamHost final : public PciHost {
public:
    EcamHost(VirtAddr base, u64 size) : base_(base), size_(size) {}

    u32 read(PciAddress address, u16 offset) override {
        u64 at = position(address, offset);
        return at < size_ ? mmio_read<u32>(base_ + at) : ~0u;
    }
    void write(PciAddress address, u16 offset, u32 value) override {
        u64 at = position(address, offset);
        if (at < size_) mmio_write<u32>(base_ + at, value);
    }
    Result<Interrupt> route_pin(PciAddress address, u8 pin) override {
        if (!node_) return error(Errno::ENODEV);
        const u32 unit[] = {static_cast<u32>(address.bus) << 16 | static_cast<u32>(address.device) << 11 |
                                static_cast<u32>(address.function) << 8,
                            0, 0, pin};
        std::optional<boot::FdtInterrupt> mapped = node_->map_interrupt(unit);
        if (!mapped) return error(Errno::ENODEV);
        return translate_interrupt(*mapped);
    }
    void set_node(const boot::FdtNode& node) { node_ = node; }

private:
    static u64 position(PciAddress address, u16 offset) {
        return static_cast<u64>(address.bus) << 20 | static_cast<u64>(address.device) << 15 |
               static_cast<u64>(address.function) << 12 | (offset & 0xffc);
    }
    VirtAddr base_;
    u64 size_;
    std::optional<boot::FdtNode> node_;
};

/// Fills the windows from `ranges`: 3 cells of PCI address (the first says which space), 2 of CPU address, 2 of size.
void read_windows(const boot::FdtNode& node, PciHost& host) {
    for (usize entry = 0;; ++entry) {
        u32 cells[7];
        for (usize i = 0; i < 7; ++i) {
            std::optional<u32> cell = node.cell("ranges", entry * 7 + i);
            if (!cell) return;
            cells[i] = *cell;
        }
        auto pair = [&](usize at) { return static_cast<u64>(cells[at]) << 32 | cells[at + 1]; };
        PciHost::Window window{pair(1), PhysAddr{pair(3)}, pair(5), 0};
        u64 end;
        if (__builtin_add_overflow(window.bus_address, window.size, &end) ||
            __builtin_add_overflow(window.cpu_address.value, window.size, &end))
            continue; // nothing lies there
        u32 space = (cells[0] >> 24) & 3;
        if (space == 2) host.memory32 = window;
        if (space == 3) host.memory64 = window;
    }
}

Result<EcamHost*> create_host(PhysAddr base, u64 size) {
    VirtAddr mapped = TRY(mm::map_device(base, size));
    auto* host = new (std::nothrow) EcamHost(mapped, size);
    if (!host) return error(Errno::ENOMEM);
    return host;
}

Result<void> probe(const Device& device) {
    boot::FdtRegion region = TRY(device.region());
    // Only what the scan reaches on these machines; a whole segment would take 256 MiB of kernel addresses.
    EcamHost* host = TRY(create_host(region.begin, region.size < (u64{16} << 20) ? region.size : u64{16} << 20));
    host->set_node(device.node);
    read_windows(device.node, *host);
    scan_pci(*host);
    return {};
}

constexpr const char* names[] = {"pci-host-ecam-generic"};

} // namespace

Result<void> add_ecam_host(PhysAddr base, u64 size) {
    EcamHost* host = TRY(create_host(base, size));
    scan_pci(*host);
    return {};
}

extern const Driver pci_ecam_driver;
constinit const Driver pci_ecam_driver{
    .name = "pci-ecam", .stage = Stage::Bus, .compatible = names, .probe = probe, .probe_platform = nullptr};

} // namespace linnet::drivers
