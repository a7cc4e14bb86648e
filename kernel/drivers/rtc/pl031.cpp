// PL031 real-time clock (Arm DDI 0224): seconds since 1970 in one register.
#include <core/log.hpp>
#include <core/time.hpp>
#include <drivers/driver.hpp>
#include <drivers/mmio.hpp>

namespace linnet::drivers {

extern const Driver pl031_driver;

namespace {

constexpr u64 data_register = 0x0;

Result<void> probe(const Device& device) {
    VirtAddr registers = TRY(device.map_region());
    u64 seconds = mmio_read<u32>(registers + data_register);
    core::set_realtime_offset_ns(seconds * core::ns_per_second - core::monotonic_ns());
    core::log_info("pl031: time is {} s since 1970", seconds);
    return {};
}

constexpr const char* names[] = {"arm,pl031"};

} // namespace

constinit const Driver pl031_driver{
    .name = "pl031", .stage = Stage::Clock, .compatible = names, .probe = probe, .probe_platform = nullptr};

} // namespace linnet::drivers
