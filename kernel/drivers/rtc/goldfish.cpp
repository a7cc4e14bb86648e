// Goldfish real-time clock: nanoseconds since 1970 in two registers. Reading the low one latches the high
// one.
#include <core/log.hpp>
#include <core/time.hpp>
#include <drivers/driver.hpp>
#include <drivers/mmio.hpp>

namespace linnet::drivers {

extern const Driver goldfish_rtc_driver;

namespace {

constexpr u64 time_low = 0x0, time_high = 0x4;

Result<void> probe(const Device& device) {
    VirtAddr registers = TRY(device.map_region());
    u64 low = mmio_read<u32>(registers + time_low);
    u64 time_ns = u64{mmio_read<u32>(registers + time_high)} << 32 | low;
    core::set_realtime_offset_ns(time_ns - core::monotonic_ns());
    core::log_info("goldfish_rtc: time is {} s since 1970", time_ns / core::ns_per_second);
    return {};
}

constexpr const char* names[] = {"google,goldfish-rtc"};

} // namespace

constinit const Driver goldfish_rtc_driver{
    .name = "goldfish_rtc", .stage = Stage::Clock, .compatible = names, .probe = probe, .probe_platform = nullptr};

} // namespace linnet::drivers
