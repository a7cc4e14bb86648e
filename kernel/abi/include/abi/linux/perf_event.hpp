// perf_event_open(2).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u32 PERF_TYPE_HARDWARE = 0, PERF_TYPE_SOFTWARE = 1, PERF_TYPE_TRACEPOINT = 2, PERF_TYPE_HW_CACHE = 3,
                     PERF_TYPE_RAW = 4;

enum class PerfHardware : u64 {
    CpuCycles = 0,
    Instructions = 1,
    CacheReferences = 2,
    CacheMisses = 3,
    BranchInstructions = 4,
    BranchMisses = 5,
    BusCycles = 6,
    StalledCyclesFrontend = 7,
    StalledCyclesBackend = 8,
    RefCpuCycles = 9,
};
constexpr bool is_perf_hardware_event(u64 config) { return config <= static_cast<u64>(PerfHardware::RefCpuCycles); }
/// PERF_TYPE_HW_CACHE: which cache, what is done to it, and how that ends, a byte each.
constexpr bool is_perf_cache_event(u64 config) {
    constexpr u64 caches = 7, operations = 3, results = 2;
    return (config & 0xff) < caches && (config >> 8 & 0xff) < operations && (config >> 16 & 0xff) < results;
}

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

inline constexpr u64 PERF_SAMPLE_IP = 1, PERF_SAMPLE_TID = 2, PERF_SAMPLE_TIME = 4, PERF_SAMPLE_ADDR = 8,
                     PERF_SAMPLE_READ = 16, PERF_SAMPLE_CALLCHAIN = 32, PERF_SAMPLE_ID = 64, PERF_SAMPLE_CPU = 128,
                     PERF_SAMPLE_PERIOD = 256, PERF_SAMPLE_STREAM_ID = 512, PERF_SAMPLE_RAW = 1024,
                     PERF_SAMPLE_BRANCH_STACK = 1 << 11, PERF_SAMPLE_REGS_USER = 1 << 12,
                     PERF_SAMPLE_STACK_USER = 1 << 13, PERF_SAMPLE_WEIGHT = 1 << 14, PERF_SAMPLE_DATA_SRC = 1 << 15,
                     PERF_SAMPLE_TRANSACTION = 1 << 17, PERF_SAMPLE_IDENTIFIER = 1 << 16,
                     PERF_SAMPLE_KNOWN = (u64{1} << 25) - 1;

inline constexpr u64 PERF_SAMPLE_REGS_ABI_NONE = 0, PERF_SAMPLE_REGS_ABI_64 = 2;

/// The bits of perf_event_attr::flags.
inline constexpr u64 PERF_ATTR_DISABLED = 1, PERF_ATTR_INHERIT = u64{1} << 1, PERF_ATTR_PINNED = u64{1} << 2,
                     PERF_ATTR_EXCLUSIVE = u64{1} << 3, PERF_ATTR_EXCLUDE_USER = u64{1} << 4,
                     PERF_ATTR_EXCLUDE_KERNEL = u64{1} << 5, PERF_ATTR_EXCLUDE_HV = u64{1} << 6,
                     PERF_ATTR_EXCLUDE_IDLE = u64{1} << 7, PERF_ATTR_EXCLUDE_HOST = u64{1} << 19,
                     PERF_ATTR_EXCLUDE_GUEST = u64{1} << 20, PERF_ATTR_MMAP = u64{1} << 8, PERF_ATTR_COMM = u64{1} << 9,
                     PERF_ATTR_FREQ = u64{1} << 10, PERF_ATTR_ENABLE_ON_EXEC = u64{1} << 12,
                     PERF_ATTR_TASK = u64{1} << 13, PERF_ATTR_WATERMARK = u64{1} << 14,
                     PERF_ATTR_MMAP_DATA = u64{1} << 17, PERF_ATTR_SAMPLE_ID_ALL = u64{1} << 18,
                     PERF_ATTR_EXCLUDE_CALLCHAIN_KERNEL = u64{1} << 21, PERF_ATTR_EXCLUDE_CALLCHAIN_USER = u64{1} << 22,
                     PERF_ATTR_MMAP2 = u64{1} << 23, PERF_ATTR_USE_CLOCKID = u64{1} << 25,
                     PERF_ATTR_CONTEXT_SWITCH = u64{1} << 26, PERF_ATTR_WRITE_BACKWARD = u64{1} << 27,
                     PERF_ATTR_INHERIT_THREAD = u64{1} << 35, PERF_ATTR_REMOVE_ON_EXEC = u64{1} << 36,
                     PERF_ATTR_SIGTRAP = u64{1} << 37, PERF_ATTR_KNOWN = (u64{1} << 38) - 1;

enum class PerfRecord : u32 {
    Mmap = 1,
    Lost = 2,
    Comm = 3,
    Exit = 4,
    Throttle = 5,
    Unthrottle = 6,
    Fork = 7,
    Sample = 9,
    Mmap2 = 10,
    Switch = 14,
    SwitchCpuWide = 15,
};
inline constexpr u16 PERF_MISC_KERNEL = 1, PERF_MISC_USER = 2, PERF_MISC_MMAP_DATA = 1 << 13,
                     PERF_MISC_COMM_EXEC = 1 << 13, PERF_MISC_SWITCH_OUT = 1 << 13,
                     PERF_MISC_SWITCH_OUT_PREEMPT = 1 << 14;
/// perf_mem_data_src of what is no access to memory: "not available" in each of its fields.
inline constexpr u64 PERF_MEM_NA = 1 | 1 << 5 | 1 << 19 | 1 << 24 | 1 << 26 | u64{15} << 33;
inline constexpr u64 PERF_CONTEXT_KERNEL = ~u64{127}, PERF_CONTEXT_USER = ~u64{511}; // -128 and -512

/// The first page of a buffer.
struct perf_event_mmap_page {
    u32 version;
    u32 compat_version;
    u32 lock;
    u32 index;
    i64 offset;
    u64 time_enabled;
    u64 time_running;
    u64 capabilities;
    u16 pmc_width;
    u16 time_shift;
    u32 time_mult;
    u64 time_offset;
    u64 time_zero;
    u32 size;
    u32 reserved_1;
    u64 time_cycles;
    u64 time_mask;
    u8 reserved[116 * 8];
    u64 data_head;
    u64 data_tail;
    u64 data_offset;
    u64 data_size;
};
static_assert(__builtin_offsetof(perf_event_mmap_page, data_head) == 1024);
inline constexpr u64 PERF_CAPABILITY_BIT0_IS_DEPRECATED = 2;

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
                     PERF_EVENT_IOC_SET_OUTPUT = 0x2405, PERF_EVENT_IOC_ID = 0x8008'2407,
                     PERF_EVENT_IOC_SET_FILTER = 0x4008'2406, PERF_EVENT_IOC_PAUSE_OUTPUT = 0x4004'2409;
inline constexpr u64 PERF_IOC_FLAG_GROUP = 1;

} // namespace linnet::abi
