// perf_event_open(2).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u32 PERF_TYPE_HARDWARE = 0, PERF_TYPE_SOFTWARE = 1, PERF_TYPE_TRACEPOINT = 2;

enum class PerfSoftware : u64 {
    CpuClock = 0,
    TaskClock = 1,
    PageFaults = 2,
    ContextSwitches = 3,
    CpuMigrations = 4,
    PageFaultsMinor = 5,
    PageFaultsMajor = 6,
    AlignmentFaults = 7,
    EmulationFaults = 8,
    Dummy = 9,
    BpfOutput = 10,
    CgroupSwitches = 11,
};

inline constexpr u64 PERF_FORMAT_TOTAL_TIME_ENABLED = 1, PERF_FORMAT_TOTAL_TIME_RUNNING = 2, PERF_FORMAT_ID = 4,
                     PERF_FORMAT_GROUP = 8, PERF_FORMAT_LOST = 16, PERF_FORMAT_KNOWN = 31;
inline constexpr u64 PERF_SAMPLE_KNOWN = (u64{1} << 25) - 1;

/// The bits of perf_event_attr::flags.
inline constexpr u64 PERF_ATTR_DISABLED = 1, PERF_ATTR_INHERIT = u64{1} << 1, PERF_ATTR_PINNED = u64{1} << 2,
                     PERF_ATTR_EXCLUSIVE = u64{1} << 3, PERF_ATTR_EXCLUDE_USER = u64{1} << 4,
                     PERF_ATTR_EXCLUDE_KERNEL = u64{1} << 5, PERF_ATTR_FREQ = u64{1} << 10,
                     PERF_ATTR_ENABLE_ON_EXEC = u64{1} << 12, PERF_ATTR_USE_CLOCKID = u64{1} << 25,
                     PERF_ATTR_NAMESPACES = u64{1} << 28, PERF_ATTR_AUX_OUTPUT = u64{1} << 32,
                     PERF_ATTR_INHERIT_THREAD = u64{1} << 35, PERF_ATTR_REMOVE_ON_EXEC = u64{1} << 36,
                     PERF_ATTR_SIGTRAP = u64{1} << 37, PERF_ATTR_KNOWN = (u64{1} << 38) - 1;

struct perf_event_attr {
    u32 type;
    u32 size;
    u64 config;
    u64 sample_period; // or frequency
    u64 sample_type;
    u64 read_format;
    u64 flags;
    u32 wakeup_events;
    u32 bp_type;
    u64 config1;
    u64 config2;
    u64 branch_sample_type;
    u64 sample_regs_user;
    u32 sample_stack_user;
    i32 clockid;
    u64 sample_regs_intr;
    u32 aux_watermark;
    u16 sample_max_stack;
    u16 reserved_2;
    u32 aux_sample_size;
    u32 reserved_3;
    u64 sig_data;
};
static_assert(sizeof(perf_event_attr) == 128);
inline constexpr u32 PERF_ATTR_SIZE_VER0 = 64;

inline constexpr u64 PERF_FLAG_FD_NO_GROUP = 1, PERF_FLAG_FD_OUTPUT = 2, PERF_FLAG_PID_CGROUP = 4,
                     PERF_FLAG_FD_CLOEXEC = 8;

inline constexpr u32 PERF_EVENT_IOC_ENABLE = 0x2400, PERF_EVENT_IOC_DISABLE = 0x2401, PERF_EVENT_IOC_REFRESH = 0x2402,
                     PERF_EVENT_IOC_RESET = 0x2403, PERF_EVENT_IOC_PERIOD = 0x4008'2404,
                     PERF_EVENT_IOC_ID = 0x8008'2407;
inline constexpr u64 PERF_IOC_FLAG_GROUP = 1;

} // namespace linnet::abi
