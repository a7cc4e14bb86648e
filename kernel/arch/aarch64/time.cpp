// The generic timer: virtual counter and virtual timer (CNTV). Its interrupt comes through the GIC driver, which calls
// hooks::timer_interrupt.
#include <arch/time.hpp>
#include <arch_impl/registers.hpp>

namespace linnet::arch {

namespace {
constexpr u64 timer_enable = 1, timer_masked = 2; // CNTV_CTL_EL0
}

u64 counter_frequency() { return READ_SYSTEM_REGISTER(cntfrq_el0); }

/// Firmware has written CNTFRQ_EL0; there is nothing to measure.
void calibrate_counter() {}

void set_timer_deadline(u64 deadline) {
    if (deadline == ~u64{0}) {
        WRITE_SYSTEM_REGISTER(cntv_ctl_el0, timer_masked);
    } else {
        // The comparison is unsigned in 64 bits: a deadline in the past has its condition met at once.
        WRITE_SYSTEM_REGISTER(cntv_cval_el0, deadline);
        WRITE_SYSTEM_REGISTER(cntv_ctl_el0, timer_enable);
    }
    asm volatile("isb" : : : "memory");
}

void initialise_timer() { set_timer_deadline(~u64{0}); }

} // namespace linnet::arch
