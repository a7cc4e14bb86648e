// The real-time clock of Loongson's 7A bridge: calendar time in two registers.
#include <core/log.hpp>
#include <core/time.hpp>
#include <drivers/driver.hpp>
#include <drivers/mmio.hpp>

namespace linnet::drivers {

extern const Driver ls7a_rtc_driver;

namespace {

constexpr u64 toy_low = 0x2c, toy_year = 0x30, control = 0x40;
constexpr u32 control_on = 1u << 8 | 1u << 11; // oscillator, calendar

/// Days from 1970-01-01 of a date of the Gregorian calendar; years begin in March, so that leap days come
/// last.
u64 days_since_1970(u64 year, u64 month, u64 day) {
    if (month <= 2) --year;
    u64 months = (month + 9) % 12;
    constexpr u64 days_before_1970 = 719468; // from 0000-03-01
    return year * 365 + year / 4 - year / 100 + year / 400 + (months * 153 + 2) / 5 + day - 1 - days_before_1970;
}

Result<void> probe(const Device& device) {
    VirtAddr registers = TRY(device.map_region());
    mmio_write<u32>(registers + control, mmio_read<u32>(registers + control) | control_on);
    u32 year, low;
    do {
        year = mmio_read<u32>(registers + toy_year);
        low = mmio_read<u32>(registers + toy_low);
    } while (mmio_read<u32>(registers + toy_low) >> 4 != low >> 4); // it moved on in between
    u64 month = low >> 26, day = low >> 21 & 31, hour = low >> 16 & 31, minute = low >> 10 & 63, second = low >> 4 & 63;
    if (year < 70 || year > 1000 || month < 1 || month > 12 || day < 1) return error(Errno::EINVAL);
    u64 seconds = ((days_since_1970(1900 + u64{year}, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    core::set_realtime_offset_ns(seconds * core::ns_per_second - core::monotonic_ns());
    core::log_info("ls7a_rtc: time is {} s since 1970", seconds);
    return {};
}

constexpr const char* names[] = {"loongson,ls7a-rtc"};

} // namespace

constinit const Driver ls7a_rtc_driver{
    .name = "ls7a_rtc", .stage = Stage::Clock, .compatible = names, .probe = probe, .probe_platform = nullptr};

} // namespace linnet::drivers
