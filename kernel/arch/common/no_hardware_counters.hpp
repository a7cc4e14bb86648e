// The contract arch/hardware_counters.hpp where there are no counters. For one source of the architecture.
#pragma once

#include <arch/hardware_counters.hpp>

namespace linnet::arch {

const HardwareCounters& hardware_counters() {
    static constexpr HardwareCounters none{};
    return none;
}
Result<u64> hardware_event_code(u32, u64) { return error(Errno::ENOENT); }
void for_each_named_event(FunctionRef<void(std::string_view, u64)>) {}
bool may_count_together(std::span<const CountedEvent>) { return false; }
std::optional<unsigned> take_counter(const CountedEvent&, u64) { return std::nullopt; }
void start_counter(unsigned, u64) {}
void give_back_counter(unsigned) {}
u64 event_count(unsigned) { return 0; }
u64 highest_count(unsigned) { return 0; }

} // namespace linnet::arch
