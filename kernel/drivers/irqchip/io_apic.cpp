// I/O APICs (Intel 82093AA): each input (a GSI) becomes a vector of the boot CPU's local APIC. MSIs are vectors too,
// numbered behind the GSIs.
//
// Lock: lock_, masks interrupts, a leaf: around vectors and the index/data register pair.
#include <arch_impl/local_apic.hpp>
#include <arch_impl/vectors.hpp>
#include <boot/acpi.hpp>
#include <core/irq.hpp>
#include <core/log.hpp>
#include <core/spinlock.hpp>
#include <core/thread.hpp>
#include <drivers/driver.hpp>
#include <drivers/isa.hpp>
#include <drivers/mmio.hpp>
#include <mm/kernel_area.hpp>

namespace linnet::drivers {

extern const Driver io_apic_driver;

namespace {

constexpr u64 reg_index = 0x00, reg_data = 0x10;
constexpr u32 index_version = 1, index_entries = 0x10;
constexpr u32 entry_masked = 1u << 16, entry_level = 1u << 15, entry_active_low = 1u << 13;
constexpr core::Irq first_msi = 768; // GSIs lie below
constexpr core::Irq no_irq = ~0u;
constexpr u64 default_address = 0xfec00000;

struct Chip {
    VirtAddr registers{};
    u32 gsi_base = 0;
    u32 inputs = 0;

    u32 read(u32 index) const {
        mmio_write<u32>(registers + reg_index, index);
        return mmio_read<u32>(registers + reg_data);
    }
    void write(u32 index, u32 value) const {
        mmio_write<u32>(registers + reg_index, index);
        mmio_write<u32>(registers + reg_data, value);
    }
};

class IoApics final : public core::IrqController {
public:
    constexpr IoApics() {
        for (core::Irq& irq : irq_of_vector_) irq = no_irq;
    }
    Result<void> add(PhysAddr address, u32 gsi_base);
    [[nodiscard]] bool has_chips() const { return chip_count_ > 0; }

    void dispatch(u32 vector) override {
        core::Irq irq = irq_of_vector_[vector & 0xff];
        if (irq != no_irq) core::handle_irq(irq);
        arch::local_apic_eoi();
    }
    Result<void> enable(core::Irq irq, core::Trigger trigger) override;
    void disable(core::Irq irq) override;
    Result<core::MsiMessage> allocate_msi() override;
    const char* name() const override { return "IO-APIC"; }

private:
    Result<u8> vector_for(core::Irq irq);
    Chip* chip_of(core::Irq gsi);

    core::InterruptSpinLock lock_;
    Chip chips_[boot::AcpiInfo::max_io_apics];
    usize chip_count_ = 0;
    core::Irq irq_of_vector_[256];
};

constinit IoApics controller;

/// The APIC id that interrupts go to. CPUs above 254 can't be named by an I/O APIC; the boot CPU is not one of those.
u32 destination() { return static_cast<u32>(core::cpu(0).hardware_id) & 0xff; }

bool is_active_low(core::Irq gsi, core::Trigger trigger) {
    for (const boot::InterruptOverride& entry : boot::acpi_info().all_overrides())
        if (entry.gsi == gsi) return entry.active_low;
    // PCI's lines are active low, all others high.
    return gsi >= 16 && trigger == core::Trigger::Level;
}

Result<void> IoApics::add(PhysAddr address, u32 gsi_base) {
    if (chip_count_ == std::size(chips_)) return error(Errno::ENOSPC);
    constexpr usize register_space = 32;
    Chip chip{TRY(mm::map_device(address, register_space)), gsi_base, 0};
    u32 version = chip.read(index_version);
    if (version == 0 || version == ~0u) return error(Errno::ENODEV);
    chip.inputs = ((version >> 16) & 0xff) + 1;
    for (u32 i = 0; i < chip.inputs; ++i) chip.write(index_entries + 2 * i, entry_masked);
    chips_[chip_count_++] = chip;
    core::log_info("io_apic: inputs {} to {} at {}", gsi_base, gsi_base + chip.inputs - 1, address);
    return {};
}

Chip* IoApics::chip_of(core::Irq gsi) {
    for (usize i = 0; i < chip_count_; ++i)
        if (gsi >= chips_[i].gsi_base && gsi - chips_[i].gsi_base < chips_[i].inputs) return &chips_[i];
    return nullptr;
}

/// The vector of an interrupt, given to it at the first call. With lock_ held.
Result<u8> IoApics::vector_for(core::Irq irq) {
    unsigned vacant = 0;
    for (unsigned vector = arch::vector_device_first; vector <= arch::vector_device_last; ++vector) {
        if (irq_of_vector_[vector] == irq) return static_cast<u8>(vector);
        if (irq_of_vector_[vector] == no_irq && vacant == 0) vacant = vector;
    }
    if (vacant == 0) return error(Errno::ENOSPC);
    irq_of_vector_[vacant] = irq;
    return static_cast<u8>(vacant);
}

Result<void> IoApics::enable(core::Irq irq, core::Trigger trigger) {
    if (irq >= first_msi) return {}; // an MSI needs nothing here
    core::InterruptSpinGuard guard(lock_);
    Chip* chip = chip_of(irq);
    if (!chip) return error(Errno::EINVAL);
    u32 low = TRY(vector_for(irq));
    if (trigger == core::Trigger::Level) low |= entry_level;
    if (is_active_low(irq, trigger)) low |= entry_active_low;
    u32 index = index_entries + 2 * (irq - chip->gsi_base);
    chip->write(index + 1, destination() << 24);
    chip->write(index, low);
    return {};
}

void IoApics::disable(core::Irq irq) {
    if (irq >= first_msi) return;
    core::InterruptSpinGuard guard(lock_);
    Chip* chip = chip_of(irq);
    if (!chip) return;
    u32 index = index_entries + 2 * (irq - chip->gsi_base);
    chip->write(index, chip->read(index) | entry_masked);
}

Result<core::MsiMessage> IoApics::allocate_msi() {
    core::InterruptSpinGuard guard(lock_);
    for (unsigned vector = arch::vector_device_first; vector <= arch::vector_device_last; ++vector) {
        if (irq_of_vector_[vector] != no_irq) continue;
        core::Irq irq = first_msi + vector;
        irq_of_vector_[vector] = irq;
        // SDM vol. 3, 11.11: fixed delivery, edge.
        return core::MsiMessage{{0xfee00000 | u64{destination()} << 12}, vector, irq};
    }
    return error(Errno::ENOSPC);
}
static_assert(first_msi + 256 <= core::max_irqs);

Result<void> probe() {
    for (const boot::IoApicInfo& chip : boot::acpi_info().all_io_apics()) {
        auto added = controller.add(chip.address, chip.gsi_base);
        if (!added) core::log_warning("io_apic: {} is unusable, errno {}", chip.address, added.error());
    }
    // Without ACPI (QEMU's microvm with acpi=off) it is where every PC has it.
    if (!controller.has_chips()) TRY(controller.add({default_address}, 0));
    core::set_root_controller(controller);
    return {};
}

} // namespace

Interrupt isa_interrupt(u8 number) {
    for (const boot::InterruptOverride& entry : boot::acpi_info().all_overrides())
        if (entry.source == number) return {entry.gsi, entry.level ? core::Trigger::Level : core::Trigger::Edge};
    return {number, core::Trigger::Edge};
}

constinit const Driver io_apic_driver{.name = "io_apic",
                                      .stage = Stage::InterruptController,
                                      .compatible = {},
                                      .probe = nullptr,
                                      .probe_platform = probe};

} // namespace linnet::drivers
