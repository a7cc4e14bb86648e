// The parts that GICv2 and GICv3 share.
#include "gic.hpp"

#include <arch/hooks.hpp>
#include <arch/time.hpp>

namespace linnet::drivers::gic {

u32 interrupt_count(VirtAddr distributor) {
    u32 count = ((mmio_read<u32>(distributor + gicd_typer) & 31) + 1) * 32;
    return count < first_special ? count : first_special;
}

void reset_shared(VirtAddr distributor) {
    u32 count = interrupt_count(distributor);
    constexpr u32 four_priorities = default_priority * 0x01010101u;
    for (u32 i = first_shared; i < count; i += 32) {
        mmio_write<u32>(distributor + gicd_icenabler + i / 8, ~0u);
        mmio_write<u32>(distributor + gicd_icpendr + i / 8, ~0u);
    }
    for (u32 i = first_shared; i < count; i += 4) mmio_write<u32>(distributor + gicd_ipriorityr + i, four_priorities);
}

void set_trigger(VirtAddr distributor, u32 intid, core::Trigger trigger) {
    VirtAddr config = distributor + gicd_icfgr + intid / 16 * 4;
    u32 edge = u32{2} << intid % 16 * 2;
    u32 value = mmio_read<u32>(config);
    mmio_write<u32>(config, trigger == core::Trigger::Edge ? value | edge : value & ~edge);
}

Result<Interrupt> translate(std::span<const u32> cells) {
    constexpr u32 shared = 0, per_cpu = 1, edge_mask = 3;
    if (cells.size() < 3) return error(Errno::EINVAL);
    Interrupt interrupt;
    interrupt.trigger = cells[2] & edge_mask ? core::Trigger::Edge : core::Trigger::Level;
    if (cells[0] == shared && cells[1] < first_special - first_shared)
        interrupt.irq = cells[1] + first_shared;
    else if (cells[0] == per_cpu && cells[1] < first_shared - first_private)
        interrupt.irq = cells[1] + first_private;
    else
        return error(Errno::EINVAL);
    return interrupt;
}

Result<u32> virtual_timer_intid() {
    constexpr usize virtual_timer = 2; // after the secure and the non-secure physical timer
    auto node = boot::device_tree().find_compatible("arm,armv8-timer");
    if (!node) return error(Errno::ENODEV);
    auto interrupt = node->interrupt(virtual_timer);
    if (!interrupt) return error(Errno::ENODEV);
    return TRY(translate(std::span(interrupt->cells).first(interrupt->cell_count))).irq;
}

void deliver(u32 intid, u32 timer_intid) {
    if (intid == ipi_intid) return hooks::ipi();
    if (intid == timer_intid) {
        // The line stays up until the timer is armed anew or off, and whoever hears of it need do neither.
        arch::set_timer_deadline(~u64{0});
        return hooks::timer_interrupt();
    }
    if (intid >= first_private) core::handle_irq(intid);
}

} // namespace linnet::drivers::gic
