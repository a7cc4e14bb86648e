// What interrupt-controller drivers need of the local APIC.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

/// Acknowledges the interrupt in service on this CPU.
void local_apic_eoi();
/// Sends `vector` to one CPU, by APIC id.
void local_apic_send(u32 apic_id, u8 vector);

} // namespace linnet::arch
