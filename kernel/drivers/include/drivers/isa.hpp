// Interrupts of PC devices that nothing describes but custom (UARTs, keyboard, clock).
#pragma once

#include <drivers/driver.hpp>

namespace linnet::drivers {

/// Where ISA interrupt `number` (0 … 15) arrives, after the overrides of ACPI's MADT.
Interrupt isa_interrupt(u8 number);

} // namespace linnet::drivers
