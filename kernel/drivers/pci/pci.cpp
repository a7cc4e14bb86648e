// The scan, and what every PCI driver needs of a function.
#include <array>
#include <core/log.hpp>
#include <drivers/mmio.hpp>
#include <drivers/pci.hpp>
#include <lib/own_ptr.hpp>
#include <mm/kernel_area.hpp>

#include "drivers.hpp"

namespace linnet::drivers {
namespace {

constexpr u16 reg_command = 0x04;
constexpr u16 reg_class = 0x08;
constexpr u16 reg_header = 0x0c;
constexpr u16 reg_bar0 = 0x10;
constexpr u16 reg_bridge_buses = 0x18;
constexpr u16 reg_capabilities = 0x34;
constexpr u16 reg_interrupt = 0x3c;
constexpr u16 command_memory = 1u << 1;
constexpr u16 command_bus_master = 1u << 2;
constexpr u16 command_no_intx = 1u << 10;
constexpr u16 status_capabilities = 1u << 4;
constexpr u8 capability_msix = 0x11;
constexpr u32 class_bridge_pci = 0x0604;

/// What a base address register wants (PCI Local Bus 3.0, 6.2.5.1).
struct BarLayout {
    bool is_memory = false;
    bool is_64_bit = false;
    u64 address = 0;
    u64 size = 0;
};

BarLayout probe_bar(PciFunction& function, u8 index) {
    auto reg = static_cast<u16>(reg_bar0 + 4 * index);
    u32 low = function.read32(reg);
    BarLayout layout;
    layout.is_memory = !(low & 1);
    layout.is_64_bit = layout.is_memory && ((low >> 1) & 3) == 2 && index < 5;
    u32 high = layout.is_64_bit ? function.read32(static_cast<u16>(reg + 4)) : 0;
    // Decoding is off while the size is asked for, so that the probing pattern is no address.
    u16 command = function.read16(reg_command);
    function.write16(reg_command, static_cast<u16>(command & ~command_memory));
    function.write32(reg, ~0u);
    u64 mask = function.read32(reg) & (layout.is_memory ? ~0xfu : ~0x3u);
    function.write32(reg, low);
    if (layout.is_64_bit) {
        function.write32(static_cast<u16>(reg + 4), ~0u);
        mask |= static_cast<u64>(function.read32(static_cast<u16>(reg + 4))) << 32;
        function.write32(static_cast<u16>(reg + 4), high);
    } else if (mask) {
        mask |= ~u64{0xffffffff};
    }
    function.write16(reg_command, command);
    layout.address = (static_cast<u64>(high) << 32 | low) & ~u64{0xf};
    layout.size = mask ? ~mask + 1 : 0;
    return layout;
}

/// Takes `size` bytes, naturally aligned, out of a window; bus address, or 0.
u64 take_from(PciHost::Window& window, u64 size) {
    u64 start = align_up(window.bus_address + window.used, size);
    if (window.size == 0 || start - window.bus_address > window.size ||
        size > window.size - (start - window.bus_address))
        return 0;
    window.used = start - window.bus_address + size;
    return start;
}

PhysAddr bus_to_cpu(const PciHost& host, u64 bus_address) {
    for (const PciHost::Window* window : {&host.memory32, &host.memory64})
        if (window->size && bus_address - window->bus_address < window->size)
            return window->cpu_address + (bus_address - window->bus_address);
    return PhysAddr{bus_address};
}

void probe_function(PciHost& host, PciAddress address) {
    auto* function = new (std::nothrow) PciFunction(host, address); // kept as long as the driver lives: for ever
    if (!function) return core::log_error("pci: no memory for a function");
    u16 vendor = function->vendor(), device = function->device();
    for (const PciDriver* driver : pci_drivers) {
        if (!driver->matches(vendor, device)) continue;
        Result<void> probed = driver->probe(*function);
        if (probed) return;
        core::log_error("pci: {} at {02x}:{02x}.{} failed: error {}", std::string_view(driver->name), address.bus,
                        address.device, address.function, probed.error());
    }
    delete function;
}

void scan_bus(PciHost& host, u8 bus, u8& last_bus, unsigned depth);

void scan_function(PciHost& host, PciAddress address, u8& last_bus, unsigned depth) {
    u32 class_code = host.read(address, reg_class) >> 16;
    if (class_code != class_bridge_pci || depth > 8) return probe_function(host, address);
    u32 buses = host.read(address, reg_bridge_buses);
    auto secondary = static_cast<u8>(buses >> 8);
    if (secondary == 0) { // nobody has numbered the buses
        if (last_bus == 255) return;
        secondary = ++last_bus;
        host.write(address, reg_bridge_buses,
                   (buses & 0xff000000) | 0xff0000u | static_cast<u32>(secondary) << 8 | address.bus);
        scan_bus(host, secondary, last_bus, depth + 1);
        host.write(address, reg_bridge_buses,
                   (buses & 0xff000000) | static_cast<u32>(last_bus) << 16 | static_cast<u32>(secondary) << 8 |
                       address.bus);
        return;
    }
    if (secondary > address.bus) scan_bus(host, secondary, last_bus, depth + 1);
}

void scan_bus(PciHost& host, u8 bus, u8& last_bus, unsigned depth) {
    if (bus > last_bus) last_bus = bus;
    for (u8 device = 0; device < 32; ++device) {
        PciAddress address{bus, device, 0};
        if ((host.read(address, 0) & 0xffff) == 0xffff) continue;
        bool many = (host.read(address, reg_header) >> 16) & 0x80;
        for (u8 function = 0; function < (many ? 8 : 1); ++function) {
            address.function = function;
            if ((host.read(address, 0) & 0xffff) != 0xffff) scan_function(host, address, last_bus, depth);
        }
    }
}

} // namespace

u16 PciFunction::read16(u16 offset) const { return static_cast<u16>(read32(offset & ~3u) >> ((offset & 2) * 8)); }
u8 PciFunction::read8(u16 offset) const { return static_cast<u8>(read32(offset & ~3u) >> ((offset & 3) * 8)); }

void PciFunction::write16(u16 offset, u16 value) {
    unsigned shift = (offset & 2) * 8;
    u32 word = read32(offset & ~3u) & ~(0xffffu << shift);
    // The status register clears bits that are written as ones: leave it alone when writing the command beside it.
    if ((offset & ~3u) == reg_command && shift == 0) word &= 0xffff;
    write32(offset & ~3u, word | static_cast<u32>(value) << shift);
}

void PciFunction::enable() {
    write16(reg_command, static_cast<u16>(read16(reg_command) | command_memory | command_bus_master));
}

Result<VirtAddr> PciFunction::map_bar(u8 index) {
    if (index > 5) return error(Errno::EINVAL);
    BarLayout bar = probe_bar(*this, index);
    if (!bar.is_memory || bar.size == 0) return error(Errno::ENODEV);
    if (bar.address == 0) {
        u64 assigned = 0;
        if (bar.is_64_bit) assigned = take_from(host_->memory64, bar.size);
        if (!assigned) assigned = take_from(host_->memory32, bar.size);
        if (!assigned) return error(Errno::ENOSPC);
        auto reg = static_cast<u16>(reg_bar0 + 4 * index);
        write32(reg, static_cast<u32>(assigned));
        if (bar.is_64_bit) write32(static_cast<u16>(reg + 4), static_cast<u32>(assigned >> 32));
        bar.address = assigned;
    }
    enable();
    return mm::map_device(bus_to_cpu(*host_, bar.address), bar.size);
}

std::optional<u16> PciFunction::find_capability(u8 id, u16 after) const {
    if (!(read16(reg_command + 2) & status_capabilities)) return {};
    u8 at = after ? read8(static_cast<u16>(after + 1)) : read8(reg_capabilities);
    for (int hops = 0; at >= 0x40 && hops < 48; ++hops) {
        if (read8(at) == id) return at;
        at = read8(static_cast<u16>(at + 1)) & 0xfc;
    }
    return {};
}

Result<void> PciFunction::enable_msix(const core::MsiMessage& message) {
    std::optional<u16> capability = find_capability(capability_msix);
    if (!capability) return error(Errno::ENODEV);
    auto control_reg = static_cast<u16>(*capability + 2);
    u16 control = read16(control_reg);
    auto count = static_cast<u16>((control & 0x7ff) + 1);
    u32 table = read32(static_cast<u16>(*capability + 4));
    msix_table_ = TRY(map_bar(table & 7)) + (table & ~7u);
    // Enabled with the function mask first, so that no half-written entry fires.
    write16(control_reg, static_cast<u16>(control | 0xc000));
    for (u16 i = 0; i < count; ++i) write_vector(i, message);
    write16(control_reg, static_cast<u16>((control & ~0x4000) | 0x8000));
    write16(reg_command, static_cast<u16>(read16(reg_command) | command_no_intx));
    msix_vectors_ = count;
    return {};
}

void PciFunction::write_vector(u16 entry, const core::MsiMessage& message) {
    const VirtAddr place = msix_table_ + 16u * entry;
    mmio_write<u32>(place + 12, 1); // masked
    mmio_write<u32>(place, static_cast<u32>(message.address.value));
    mmio_write<u32>(place + 4, static_cast<u32>(message.address.value >> 32));
    mmio_write<u32>(place + 8, message.data);
    mmio_write<u32>(place + 12, 0);
}

Result<void> PciFunction::request_vector(u16 entry, core::IrqHandler handler, void* context, const char* name) {
    if (entry >= msix_vectors_) return error(Errno::ENODEV);
    write_vector(entry, TRY(core::request_msi(handler, context, name)));
    return {};
}

Result<void> PciFunction::request_interrupt(core::IrqHandler handler, void* context, const char* name) {
    if (find_capability(capability_msix)) {
        Result<core::MsiMessage> message = core::request_msi(handler, context, name);
        if (message) return enable_msix(*message);
    }
    u8 pin = static_cast<u8>(read32(reg_interrupt) >> 8);
    if (pin == 0) return error(Errno::ENODEV);
    Interrupt line = TRY(host_->route_pin(address_, pin));
    return core::request_irq(line.irq, line.trigger, handler, context, name);
}

void scan_pci(PciHost& host) {
    u8 last_bus = 0;
    scan_bus(host, 0, last_bus, 0);
}

} // namespace linnet::drivers
