// The local APIC (Intel SDM vol. 3, chapter 11), by its page (xAPIC) or by MSRs (x2APIC).
#pragma once

#include <arch/thread.hpp>
#include <arch_impl/local_apic.hpp>

namespace linnet::arch {

/// Boot CPU, once: chooses the mode, maps the page, masks the 8259s.
void prepare_local_apic();
/// Each CPU.
void initialise_local_apic();

/// INIT and start-up IPIs; the start page is a physical page number below 256.
void local_apic_send_init(u32 apic_id);
void local_apic_send_startup(u32 apic_id, u8 start_page);

/// One-shot timer in ticks of the APIC's clock; 0 stops it.
void local_apic_set_timer(u32 ticks);
u32 local_apic_timer_count();
/// Timer by TSC deadline instead.
void local_apic_use_deadline_timer();

} // namespace linnet::arch
