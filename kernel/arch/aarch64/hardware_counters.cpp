// Counters of the performance monitor (Arm ARM, "The Performance Monitors Extension", version 3): as many of events as
// PMCR_EL0.N says, each of 32 bits or, from PMUv3p5 on, 64; and one of cycles, of 64 bits, with the number 31.
#include <abi/linux/perf_event.hpp>
#include <algorithm>
#include <arch/cpu.hpp>
#include <arch/hardware_counters.hpp>
#include <arch_impl/performance_monitor.hpp>
#include <arch_impl/registers.hpp>
#include <bit>

#include "performance_monitor.hpp"

namespace linnet::arch {

namespace {

constexpr unsigned cycle_counter = 31;
constexpr u64 cycle_counter_bit = u64{1} << cycle_counter;
// PMCR_EL0
constexpr u64 control_enable = 1, control_reset_events = 2, control_reset_cycles = 4, control_long_cycles = 1 << 6,
              control_long_events = 1 << 7;
// PMEVTYPER<n>_EL0 and PMCCFILTR_EL0: what is not counted
constexpr u64 filter_kernel = u64{1} << 31, filter_user = u64{1} << 30;
constexpr u64 event_bits = 0xffff;

/// Numbers of common events (Arm ARM, D13.12).
enum CommonEvent : u64 {
    instructions_retired = 0x08,
    cpu_cycles = 0x11,
    stall_frontend = 0x23,
    stall_backend = 0x24,
    stall = 0x3c,
};

/// PMUVer of ID_AA64DFR0_EL1; 0 without a monitor that we know.
unsigned monitor_version() {
    const unsigned version = id_field(READ_SYSTEM_REGISTER(id_aa64dfr0_el1), 8);
    return version == 15 ? 0 : version; // 15: one that is not Arm's
}
bool has_long_events() { return monitor_version() >= 6; }

/// Whether the processor says that it counts the common event (PMCEID0_EL0, PMCEID1_EL0).
bool counts(u64 event) {
    constexpr u64 described = 0x40;
    if (event >= described) return false;
    const u64 low = READ_SYSTEM_REGISTER(pmceid0_el0), high = READ_SYSTEM_REGISTER(pmceid1_el0);
    return (event < 32 ? low : high) >> (event & 31) & 1;
}

constexpr std::string_view formats[] = {"event:config:0-15"};
constinit HardwareCounters present{.tells_modes_apart = true,
                                   .device = "armv8_pmuv3",
                                   .parent = "platform/pmu",
                                   .formats = formats,
                                   .identity_directory = "regs/identification",
                                   .identity_file = "midr_el1"};

/// The registers of an event's counter are reached through a selector.
void select(unsigned counter) {
    WRITE_SYSTEM_REGISTER(pmselr_el0, counter);
    asm volatile("isb" : : : "memory");
}

} // namespace

void initialise_performance_monitor() {
    if (monitor_version() == 0) return;
    WRITE_SYSTEM_REGISTER(pmuserenr_el0, 0);
    constexpr u64 all = 0xffff'ffff;
    WRITE_SYSTEM_REGISTER(pmcntenclr_el0, all);
    WRITE_SYSTEM_REGISTER(pmintenclr_el1, all);
    WRITE_SYSTEM_REGISTER(pmovsclr_el0, all);
    WRITE_SYSTEM_REGISTER(pmcr_el0, control_enable | control_reset_events | control_reset_cycles | control_long_cycles |
                                        (has_long_events() ? control_long_events : 0));
}

void enable_performance_monitor(CounterInterrupts interrupts) {
    if (monitor_version() == 0) return;
    const unsigned events = READ_SYSTEM_REGISTER(pmcr_el0) >> 11 & 31;
    present.identity = READ_SYSTEM_REGISTER(midr_el1);
    present.interrupts = interrupts == CounterInterrupts::Yes;
    present.counters = ((u64{1} << events) - 1) | cycle_counter_bit;
}

const HardwareCounters& hardware_counters() { return present; }

Result<u64> hardware_event_code(u32 type, u64 config) {
    constexpr u64 low_half = 0xffff'ffff; // above it stands which unit is meant
    const auto if_counted = [](u64 event) -> Result<u64> {
        return counts(event) ? Result<u64>(event) : error(Errno::ENOENT);
    };
    if (type == abi::PERF_TYPE_HW_CACHE)
        return error(abi::is_perf_cache_event(config & low_half) ? Errno::ENOENT : Errno::EINVAL);
    if (type != abi::PERF_TYPE_HARDWARE) return config & event_bits; // as Linux: what doesn't exist counts nothing
    switch (static_cast<abi::PerfHardware>(config & low_half)) {
    case abi::PerfHardware::CpuCycles:
        return if_counted(cpu_cycles);
    case abi::PerfHardware::Instructions:
        return if_counted(instructions_retired);
    case abi::PerfHardware::StalledCyclesFrontend:
        return if_counted(stall_frontend);
    case abi::PerfHardware::StalledCyclesBackend:
        return if_counted(stall_backend);
    default:
        return error(abi::is_perf_hardware_event(config & low_half) ? Errno::ENOENT : Errno::EINVAL);
    }
}

void for_each_named_event(FunctionRef<void(std::string_view name, u64 config)> visit) {
    struct Named {
        std::string_view name;
        u64 event;
    };
    static constexpr Named named[] = {{"inst_retired", instructions_retired},
                                      {"cpu_cycles", cpu_cycles},
                                      {"stall_frontend", stall_frontend},
                                      {"stall_backend", stall_backend},
                                      {"stall", stall}};
    for (const Named& each : named)
        if (counts(each.event)) visit(each.name, each.event);
}

bool may_count_together(std::span<const CountedEvent> events) {
    const usize counters = std::popcount(present.counters);
    const usize others = std::ranges::count_if(events, [](const auto& event) { return event.code != cpu_cycles; });
    return events.size() <= counters && others < counters;
}

std::optional<unsigned> take_counter(const CountedEvent& event, u64 free) {
    const u64 not_counted = (event.in_user ? 0 : filter_user) | (event.in_kernel ? 0 : filter_kernel);
    if (event.code == cpu_cycles && (free & cycle_counter_bit)) {
        WRITE_SYSTEM_REGISTER(pmccfiltr_el0, not_counted);
        return cycle_counter;
    }
    free &= ~cycle_counter_bit;
    if (free == 0) return std::nullopt;
    const auto counter = static_cast<unsigned>(std::countr_zero(free));
    select(counter);
    WRITE_SYSTEM_REGISTER(pmxevtyper_el0, event.code | not_counted);
    return counter;
}

void start_counter(unsigned counter, u64 value) {
    const u64 bit = u64{1} << counter;
    WRITE_SYSTEM_REGISTER(pmcntenclr_el0, bit);
    if (counter == cycle_counter) {
        WRITE_SYSTEM_REGISTER(pmccntr_el0, value);
    } else {
        select(counter);
        WRITE_SYSTEM_REGISTER(pmxevcntr_el0, value);
    }
    WRITE_SYSTEM_REGISTER(pmovsclr_el0, bit);
    if (present.interrupts) WRITE_SYSTEM_REGISTER(pmintenset_el1, bit);
    WRITE_SYSTEM_REGISTER(pmcntenset_el0, bit);
    asm volatile("isb" : : : "memory");
}

void give_back_counter(unsigned counter) {
    const u64 bit = u64{1} << counter;
    WRITE_SYSTEM_REGISTER(pmcntenclr_el0, bit);
    WRITE_SYSTEM_REGISTER(pmintenclr_el1, bit);
    asm volatile("isb" : : : "memory");
    WRITE_SYSTEM_REGISTER(pmovsclr_el0, bit);
}

u64 event_count(unsigned counter) {
    asm volatile("isb" : : : "memory");
    if (counter == cycle_counter) return READ_SYSTEM_REGISTER(pmccntr_el0);
    select(counter);
    return READ_SYSTEM_REGISTER(pmxevcntr_el0) & highest_count(counter);
}

u64 highest_count(unsigned counter) {
    return counter == cycle_counter || has_long_events() ? ~u64{0} : u64{0xffff'ffff};
}

bool handle_counter_overflow() {
    const u64 overflown = READ_SYSTEM_REGISTER(pmovsclr_el0) & READ_SYSTEM_REGISTER(pmintenset_el1);
    if (overflown == 0) return false;
    WRITE_SYSTEM_REGISTER(pmovsclr_el0, overflown); // which takes the interrupt's level back
    asm volatile("isb" : : : "memory");
    if (auto* const handler = counter_overflow_handler.load(std::memory_order_acquire)) handler(overflown);
    return true;
}

} // namespace linnet::arch
