// Contract: the counters in which each CPU counts events of its own (a performance monitoring unit).
//
// Whoever wants an event counted takes a counter for it, starts it, and gives it back. The calls on counters are about
// those of the calling CPU, interrupts off; who has taken which is kept by the caller (trace/hardware_counters.hpp).
#pragma once

#include <atomic>
#include <lib/function_ref.hpp>
#include <lib/result.hpp>
#include <optional>
#include <span>
#include <string_view>

namespace linnet::arch {

/// What counters there are. Known when drivers have probed, and the same on all CPUs.
struct HardwareCounters {
    u64 counters = 0;                          // a bit for each; 0: there are none
    bool interrupts = false;                   // that have overflown
    bool tells_modes_apart = false;            // user code's events from the kernel's
    bool is_raw_unit = false;                  // PERF_TYPE_RAW is its own type, for it is all that a CPU has
    std::string_view device;                   // its name in /sys/bus/event_source/devices,
    std::string_view parent;                   // and above it in /sys/devices
    std::span<const std::string_view> formats; // "event:config:0-15": files of its format/
    /// A file beside each CPU's others in /sys/devices/system/cpu, by whose number programs look up names of events;
    /// empty: none.
    std::string_view identity_directory{}, identity_file{};
    u64 identity = 0;
};
const HardwareCounters& hardware_counters();

struct CountedEvent {
    u64 code = 0; // the architecture's
    bool in_user = true, in_kernel = true;
};
/// The code of an event of PERF_TYPE_HARDWARE, HW_CACHE or RAW. ENOENT: it can't be counted here; EINVAL: there is no
/// such event.
Result<u64> hardware_event_code(u32 type, u64 config);
/// Names of events that can be counted here, with their configuration as PERF_TYPE_RAW.
void for_each_named_event(FunctionRef<void(std::string_view name, u64 config)> visit);
/// Whether a group of these could count at once on a CPU where nothing else does, as far as that is known beforehand.
bool may_count_together(std::span<const CountedEvent> events);

/// Takes one of the counters in `free` for the event, at rest; nothing when none of them can count it.
std::optional<unsigned> take_counter(const CountedEvent& event, u64 free);
/// Lets it count from `value` on.
void start_counter(unsigned counter, u64 value);
/// Stops it; it is free then.
void give_back_counter(unsigned counter);
u64 event_count(unsigned counter);
/// The highest value of a counter: all bits that it has. Behind it comes 0, and, where there are interrupts, one.
u64 highest_count(unsigned counter);

/// Is told which counters have overflown, with interrupts off, in an interrupt of the CPU whose they are.
inline constinit std::atomic<void (*)(u64 counters)> counter_overflow_handler{nullptr};

} // namespace linnet::arch
