// The stable counter's frequency and each CPU's one-shot timer.
#include <arch/cpu.hpp>
#include <arch/time.hpp>

namespace linnet::arch {

static constinit u64 frequency = 0;

u64 counter_frequency() { return frequency; }

void calibrate_counter() {
    u64 crystal = cpucfg(4), ratio = cpucfg(5), multiplier = ratio & 0xffff, divisor = ratio >> 16;
    frequency = divisor != 0 ? crystal * multiplier / divisor : 0;
    constexpr u64 usual_frequency = 100'000'000; // a CPU that doesn't tell: clocks only run at a wrong pace
    if (frequency == 0) frequency = usual_frequency;
}

void set_timer_deadline(u64 deadline) {
    constexpr u64 timer_on = 1, least = 4, most = (u64{1} << 47) - 4; // the value's two low bits are other fields
    LINNET_WRITE_CSR(LINNET_CSR_TCFG, 0);
    LINNET_WRITE_CSR(LINNET_CSR_TICLR, 1);
    if (deadline == ~u64{0}) return;
    u64 now = read_counter();
    u64 ticks = deadline > now ? deadline - now + least : least;
    if (ticks > most) ticks = most;
    LINNET_WRITE_CSR(LINNET_CSR_TCFG, (ticks & ~u64{3}) | timer_on);
}

void initialise_timer() {
    set_timer_deadline(~u64{0});
    (void)LINNET_EXCHANGE_CSR(LINNET_CSR_ECFG, csr::interrupt_timer, csr::interrupt_timer);
}

} // namespace linnet::arch
