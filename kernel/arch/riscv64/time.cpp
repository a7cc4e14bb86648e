// The one-shot timer: stimecmp where the harts have Sstc, the firmware's otherwise.
#include <arch/cpu.hpp>
#include <arch/hooks.hpp>
#include <arch/time.hpp>

#include "hardware_counters.hpp"
#include "isa.hpp"
#include "sbi.hpp"

namespace linnet::arch {

namespace {

constinit u64 frequency = 0;
constinit bool has_timer_extension = false;

/// A big-endian number of one or two cells.
u64 read_cells(std::span<const u8> bytes) {
    u64 value = 0;
    if (bytes.size() <= sizeof value)
        for (u8 byte : bytes) value = value << 8 | byte;
    return value;
}

} // namespace

u64 counter_frequency() { return frequency; }

void calibrate_counter() {
    read_isa_string();
    find_hardware_counters();
    has_timer_extension = sbi::has_extension(sbi::timer_extension);
    frequency = read_cells(hooks::device_tree_property("/cpus", "timebase-frequency"));
    if (frequency == 0) frequency = read_cells(hooks::device_tree_property("/cpus/cpu", "timebase-frequency"));
    // Every tree has the property; without it, or with an absurd one, clocks only run at a wrong pace.
    constexpr u64 usual_frequency = 10'000'000, least = 1000, most = 100'000'000'000;
    if (frequency < least || frequency > most) frequency = usual_frequency;
    list_properties(frequency);
}

void set_timer_deadline(u64 deadline) {
    if (isa().has_supervisor_timer)
        LINNET_WRITE_CSR(0x14d, deadline); // stimecmp
    else if (has_timer_extension)
        sbi::call(sbi::timer_extension, 0, deadline);
    else
        sbi::legacy_set_timer(deadline);
}

void initialise_timer() {
    set_timer_deadline(~u64{0});
    LINNET_SET_CSR(sie, u64{1} << csr::interrupt_timer);
}

} // namespace linnet::arch
