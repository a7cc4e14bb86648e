// What GICv2 and GICv3 share: the distributor's registers, the device-tree binding (arm,gic.yaml, arm,gic-v3.yaml) and
// where an interrupt number goes.
#pragma once

#include <core/irq.hpp>
#include <drivers/driver.hpp>
#include <drivers/mmio.hpp>

namespace linnet::drivers::gic {

inline constexpr u32 ipi_intid = 0;        // the one software-generated interrupt in use
inline constexpr u32 first_private = 16;   // PPIs: one a CPU
inline constexpr u32 first_shared = 32;    // SPIs
inline constexpr u32 first_special = 1020; // spurious and reserved
inline constexpr u8 default_priority = 0xa0;

// Distributor (Arm IHI 0069, 12.9; GICv2: IHI 0048, 4.3)
inline constexpr u64 gicd_ctlr = 0x0, gicd_typer = 0x4, gicd_igroupr = 0x80, gicd_isenabler = 0x100,
                     gicd_icenabler = 0x180, gicd_icpendr = 0x280, gicd_ipriorityr = 0x400, gicd_itargetsr = 0x800,
                     gicd_icfgr = 0xc00, gicd_sgir = 0xf00;

/// Number of interrupt ids that the distributor serves.
u32 interrupt_count(VirtAddr distributor);
/// Disables all SPIs and gives them a priority.
void reset_shared(VirtAddr distributor);
/// Edge or level for an SPI (or, in a redistributor's SGI frame, a PPI).
void set_trigger(VirtAddr distributor, u32 intid, core::Trigger trigger);
inline void set_enabled(VirtAddr distributor, u32 intid) {
    mmio_write<u32>(distributor + gicd_isenabler + intid / 32 * 4, u32{1} << intid % 32);
}
inline void set_disabled(VirtAddr distributor, u32 intid) {
    mmio_write<u32>(distributor + gicd_icenabler + intid / 32 * 4, u32{1} << intid % 32);
}

/// Interrupt specifier: 0 SPI or 1 PPI, number, trigger flags.
Result<Interrupt> translate(std::span<const u32> cells);
/// Interrupt id of the virtual timer, from the arm,armv8-timer node.
Result<u32> virtual_timer_intid();

/// Calls whoever `intid` is for; interrupts off.
void deliver(u32 intid, u32 timer_intid);

} // namespace linnet::drivers::gic
