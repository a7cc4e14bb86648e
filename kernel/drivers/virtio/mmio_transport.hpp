// Virtio over MMIO, for drivers that learn of a device by other ways than the device tree (ACPI, command line).
#pragma once

#include <core/irq.hpp>
#include <drivers/driver.hpp>

namespace linnet::drivers {

/// Probes the device whose registers lie at `base` (at least 512 bytes). ENODEV when the slot is empty.
Result<void> add_virtio_mmio(PhysAddr base, u64 size, Interrupt interrupt);

} // namespace linnet::drivers
