// Counters that the firmware chooses and starts (SBI specification, "Performance Monitoring Unit Extension"). Those of
// hardware are read as CSRs, the firmware's own, of what it did, by a call. They do not interrupt: that would be the
// extension Sscofpmf, which QEMU's harts do not have unless asked for, and without it modes can't be told apart either.
#include "hardware_counters.hpp"

#include <abi/linux/perf_event.hpp>
#include <algorithm>
#include <arch/cpu.hpp>
#include <arch/hardware_counters.hpp>

#include "isa.hpp"
#include "sbi.hpp"

namespace linnet::arch {

namespace {

constexpr u64 monitor_extension = 0x50'4d55;
enum Function : u64 { count_counters, describe_counter, match_configuration, start, stop, read_firmware };
constexpr u64 start_with_value = 1, stop_and_reset = 1;
// What is asked for: type and code of an event, in one index.
constexpr u64 cache_events = 0x1'0000, raw_event = 0x2'0000, firmware_events = 0xf'0000, platform_event = 0xf'ffff;
constexpr u64 data_bits = (u64{1} << 48) - 1;

constexpr unsigned max_counters = 64;
/// As the firmware describes a counter.
struct Description {
    u16 csr = 0;
    u8 highest_bit = 0;
    bool is_firmwares = false;
};
constinit Description descriptions[max_counters] = {};
constinit u64 all_counters = 0;

/// Codes of events are Linux's raw ones, where bits 62 and 63 say whose an event is; what those leave free stands for
/// an index as it is.
enum Owner : u64 { hart = 0, standard = 1, firmware = 2, platform = 3 };
constexpr unsigned owner_shift = 62;
constexpr u64 code_of(u64 index) { return index | u64{standard} << owner_shift; }

// The general events and those of caches which a hart counts, as found out at boot.
constexpr u64 caches = 7, operations = 3, results = 2, cache_kinds = caches * operations * results;
constinit u64 general_events = 0, cached_events = 0;

/// SBI's code of a cache event: the cache, what is done, how it ends.
constexpr u64 cache_index(u64 cache, u64 operation, u64 result) {
    return cache_events | cache << 3 | operation << 1 | result;
}
constexpr u64 general_index(u64 config) { return config + 1; } // the same order as Linux's, from 1 on

std::optional<unsigned> match(u64 code, u64 free) {
    const u64 owner = code >> owner_shift;
    const u64 index = owner == hart       ? raw_event
                      : owner == standard ? code & 0xf'ffff
                      : owner == firmware ? firmware_events | (code & 0xffff)
                                          : platform_event;
    const u64 data = owner == hart || owner == platform ? code & data_bits : 0;
    const sbi::Answer answer = sbi::call(monitor_extension, match_configuration, 0, free, 0, index, data);
    if (answer.error != 0 || answer.value >= max_counters) return std::nullopt;
    return static_cast<unsigned>(answer.value);
}

bool can_count(u64 index) {
    const auto counter = match(code_of(index), all_counters);
    if (counter) give_back_counter(*counter);
    return counter.has_value();
}

void describe_counters() {
    const sbi::Answer count = sbi::call(monitor_extension, count_counters);
    if (count.error != 0) return;
    for (unsigned i = 0; i < std::min<u64>(count.value, max_counters); ++i) {
        const sbi::Answer answer = sbi::call(monitor_extension, describe_counter, i);
        if (answer.error != 0) continue;
        constexpr u64 is_firmwares = u64{1} << 63, first_csr = 0xc00, last_csr = 0xc1f;
        const auto csr = static_cast<u16>(answer.value & 0xfff);
        Description description{.csr = csr,
                                .highest_bit = static_cast<u8>(answer.value >> 12 & 63),
                                .is_firmwares = (answer.value & is_firmwares) != 0};
        if (description.is_firmwares)
            description.highest_bit = 63;
        else if (csr < first_csr || csr > last_csr || description.highest_bit == 0)
            continue;
        descriptions[i] = description;
        all_counters |= u64{1} << i;
    }
}

void try_events() {
    for (u64 config = 0; abi::is_perf_hardware_event(config); ++config)
        if (can_count(general_index(config))) general_events |= u64{1} << config;
    for (u64 kind = 0; kind < cache_kinds; ++kind)
        if (can_count(cache_index(kind / (operations * results), kind / results % operations, kind % results)))
            cached_events |= u64{1} << kind;
}

#define READ_COUNTER(number)                                                                                           \
    case number: {                                                                                                     \
        u64 value;                                                                                                     \
        asm volatile("csrr %0, " #number : "=r"(value) : : "memory");                                                  \
        return value;                                                                                                  \
    }

/// The number of a CSR is part of the instruction.
u64 read_counter_csr(u16 csr) {
    switch (csr) {
        READ_COUNTER(0xc00)
        READ_COUNTER(0xc01)
        READ_COUNTER(0xc02)
        READ_COUNTER(0xc03)
        READ_COUNTER(0xc04)
        READ_COUNTER(0xc05)
        READ_COUNTER(0xc06)
        READ_COUNTER(0xc07)
        READ_COUNTER(0xc08)
        READ_COUNTER(0xc09)
        READ_COUNTER(0xc0a)
        READ_COUNTER(0xc0b)
        READ_COUNTER(0xc0c)
        READ_COUNTER(0xc0d)
        READ_COUNTER(0xc0e)
        READ_COUNTER(0xc0f)
        READ_COUNTER(0xc10)
        READ_COUNTER(0xc11)
        READ_COUNTER(0xc12)
        READ_COUNTER(0xc13)
        READ_COUNTER(0xc14)
        READ_COUNTER(0xc15)
        READ_COUNTER(0xc16)
        READ_COUNTER(0xc17)
        READ_COUNTER(0xc18)
        READ_COUNTER(0xc19)
        READ_COUNTER(0xc1a)
        READ_COUNTER(0xc1b)
        READ_COUNTER(0xc1c)
        READ_COUNTER(0xc1d)
        READ_COUNTER(0xc1e)
        READ_COUNTER(0xc1f)
    default:
        return 0;
    }
}
#undef READ_COUNTER

constexpr std::string_view formats[] = {"event:config:0-47", "firmware:config:62-63"};
constinit HardwareCounters present{
    .is_raw_unit = true, .device = "cpu", .parent = "platform/riscv-pmu-sbi", .formats = formats};

} // namespace

void find_hardware_counters() {
    if (!sbi::has_extension(monitor_extension)) return;
    describe_counters();
    try_events();
    present.counters = all_counters;
    initialise_hardware_counters();
}

/// Cycles and instructions stand still while nobody counts them: user code would read nonsense, and reads them by
/// perf_event_open(2), as on Linux. Without such firmware they run.
void initialise_hardware_counters() {
    constexpr u64 cycles = 1, time = 2, instructions = 4;
    LINNET_WRITE_CSR(scounteren, present.counters ? time : cycles | time | instructions);
}

const HardwareCounters& hardware_counters() { return present; }

Result<u64> hardware_event_code(u32 type, u64 config) {
    if (type == abi::PERF_TYPE_HARDWARE) {
        config &= 0xffff'ffff; // above it stands which unit is meant
        if (!abi::is_perf_hardware_event(config)) return error(Errno::EINVAL);
        if (!(general_events >> config & 1)) return error(Errno::ENOENT);
        return code_of(general_index(config));
    }
    if (type == abi::PERF_TYPE_HW_CACHE) {
        if (!abi::is_perf_cache_event(config)) return error(Errno::EINVAL);
        const u64 cache = config & 0xff, operation = config >> 8 & 0xff, result = config >> 16 & 0xff;
        if (!(cached_events >> ((cache * operations + operation) * results + result) & 1)) return error(Errno::ENOENT);
        return code_of(cache_index(cache, operation, result));
    }
    if (config >> owner_shift == standard) return error(Errno::ENOENT);
    return config; // one that doesn't exist gets no counter, as on Linux
}

void for_each_named_event(FunctionRef<void(std::string_view, u64)>) {} // the unit has no names of its own

bool may_count_together(std::span<const CountedEvent>) { return true; } // the firmware alone knows

std::optional<unsigned> take_counter(const CountedEvent& event, u64 free) {
    if (free == 0) return std::nullopt;
    const auto counter = match(event.code, free);
    // What the firmware says is not believed blindly: a counter that somebody has already is not handed out twice.
    if (!counter || !(free >> *counter & 1)) return std::nullopt;
    return counter;
}

void start_counter(unsigned counter, u64 value) {
    sbi::call(monitor_extension, start, counter, 1, start_with_value, value);
}

void give_back_counter(unsigned counter) { sbi::call(monitor_extension, stop, counter, 1, stop_and_reset); }

u64 event_count(unsigned counter) {
    const Description& description = descriptions[counter];
    if (description.is_firmwares) return sbi::call(monitor_extension, read_firmware, counter).value;
    return read_counter_csr(description.csr) & highest_count(counter);
}

u64 highest_count(unsigned counter) { return ~u64{0} >> (63 - descriptions[counter].highest_bit); }

} // namespace linnet::arch
