// The local APIC of each CPU: end of interrupt, IPIs, the timer's registers. x2APIC is used where the CPU has it:
// QEMU 7.2 emulates none without KVM, so that half runs only on newer ones.
#include "local_apic.hpp"
#include "boot.hpp"
#include "features.hpp"
#include "offsets.h"
#include <arch/mmu.hpp>
#include <arch/smp.hpp>
#include <arch_impl/port_io.hpp>
#include <arch_impl/registers.hpp>
#include <arch_impl/vectors.hpp>

namespace linnet::arch {
namespace {

enum Register : u32 {
    apic_id_register = 0x20,
    end_of_interrupt = 0xb0,
    task_priority = 0x80,
    spurious_vector = 0xf0,
    error_status = 0x280,
    command_low = 0x300,
    command_high = 0x310,
    timer_entry = 0x320,
    thermal_entry = 0x330,
    performance_entry = 0x340,
    lint0_entry = 0x350,
    lint1_entry = 0x360,
    error_entry = 0x370,
    timer_initial_count = 0x380,
    timer_current_count = 0x390,
    timer_divide = 0x3e0,
};
constexpr u32 entry_masked = 1u << 16, entry_deadline = 2u << 17, delivery_nmi = 4u << 8;
constexpr u32 command_pending = 1u << 12, level_assert = 1u << 14;
constexpr u64 base_enable = 1u << 11, base_x2apic = 1u << 10;

constinit bool x2apic_mode = false;
constinit volatile u32* page = nullptr;

u32 read_register(Register reg) {
    if (x2apic_mode) return static_cast<u32>(read_msr(static_cast<Msr>(static_cast<u32>(Msr::X2ApicBase) + reg / 16)));
    return page[reg / 4];
}
void write_register(Register reg, u32 value) {
    if (x2apic_mode)
        write_msr(static_cast<Msr>(static_cast<u32>(Msr::X2ApicBase) + reg / 16), value);
    else
        page[reg / 4] = value;
}

void send_command(u32 apic_id, u32 command) {
    if (x2apic_mode) {
        // The write is not ordered behind earlier stores as one to the xAPIC page is (SDM vol. 3, 11.12.3).
        asm volatile("mfence\n\tlfence" ::: "memory");
        write_msr(static_cast<Msr>(static_cast<u32>(Msr::X2ApicBase) + command_low / 16), u64{apic_id} << 32 | command);
        return;
    }
    // Two writes that no interrupt's own command may come between.
    InterruptState state = save_and_disable_interrupts();
    while (read_register(command_low) & command_pending) relax();
    write_register(command_high, apic_id << 24);
    write_register(command_low, command);
    restore_interrupts(state);
}

/// A page of the image's own tables, behind the image, uncached: mm is not there yet.
void map_page(PhysAddr physical) {
    constexpr usize slot = IMAGE_TABLES * 512 - 1; // the last entry of boot_image_tables
    u64 address = align_down(reinterpret_cast<u64>(kernel_image_begin), huge_page_size) + slot * page_size;
    MappingFlags flags{.writable = true, .global = true, .device = true, .dirty = true};
    boot_image_tables[slot] = PagingPolicy::make_leaf(physical, flags, 0);
    page = reinterpret_cast<volatile u32*>(address);
}

/// The two 8259s are moved away from the exceptions and masked; interrupts come by the APICs.
void mask_legacy_controllers() {
    constexpr u16 first = 0x20, second = 0xa0;
    for (u16 base : {first, second}) {
        port_write8(base, 0x11); // initialise, four words follow
        port_write8(base + 1, base == first ? vector_legacy_base : vector_legacy_base + 8);
        port_write8(base + 1, base == first ? 4 : 2);
        port_write8(base + 1, 1);
        port_write8(base + 1, 0xff);
    }
}

} // namespace

void prepare_local_apic() {
    mask_legacy_controllers();
    x2apic_mode = cpu_features().x2apic;
    if (!x2apic_mode) map_page({read_msr(Msr::ApicBase) & PagingPolicy::address_mask});
}

void initialise_local_apic() {
    u64 base = read_msr(Msr::ApicBase) | base_enable;
    write_msr(Msr::ApicBase, base); // x2APIC can only be entered from the enabled state
    if (x2apic_mode) write_msr(Msr::ApicBase, base | base_x2apic);
    constexpr u32 software_enable = 1u << 8;
    write_register(spurious_vector, software_enable | vector_spurious);
    write_register(task_priority, 0);
    write_register(timer_entry, entry_masked);
    write_register(lint0_entry, entry_masked);
    write_register(lint1_entry, delivery_nmi);
    write_register(error_entry, vector_apic_error);
    write_register(error_status, 0);
    write_register(end_of_interrupt, 0);
    constexpr u32 divide_by_1 = 0xb;
    write_register(timer_divide, divide_by_1);
}

void local_apic_eoi() { write_register(end_of_interrupt, 0); }

void local_apic_send(u32 apic_id, u8 vector) { send_command(apic_id, level_assert | vector); }

void local_apic_send_init(u32 apic_id) {
    constexpr u32 init = 5u << 8;
    send_command(apic_id, init | level_assert);
}

void local_apic_send_startup(u32 apic_id, u8 start_page) {
    constexpr u32 startup = 6u << 8;
    send_command(apic_id, startup | level_assert | start_page);
}

void local_apic_set_timer(u32 ticks) {
    write_register(timer_entry, ticks ? u32{vector_timer} : entry_masked | vector_timer);
    write_register(timer_initial_count, ticks);
}

u32 local_apic_timer_count() { return read_register(timer_current_count); }

void local_apic_use_deadline_timer() {
    write_register(timer_entry, entry_deadline | vector_timer);
    asm volatile("mfence" ::: "memory"); // orders it before the first write of the deadline (SDM vol. 3, 11.5.4.1)
}

void send_ipi(CpuHeader& cpu) { local_apic_send(static_cast<u32>(cpu.hardware_id), vector_ipi); }

} // namespace linnet::arch
