// The CMOS clock of PCs (Motorola MC146818): the time of day at boot.
#include <arch/cpu.hpp>
#include <arch_impl/port_io.hpp>
#include <core/log.hpp>
#include <core/time.hpp>
#include <drivers/driver.hpp>

namespace linnet::drivers {

extern const Driver cmos_rtc_driver;

namespace {

constexpr u16 index_port = 0x70, data_port = 0x71;
constexpr u8 reg_status_a = 0x0a, reg_status_b = 0x0b;
constexpr u8 update_in_progress = 0x80, binary_mode = 4, mode_24_hours = 2;

u8 read_cmos(u8 index) {
    arch::port_write8(index_port, index);
    return arch::port_read8(data_port);
}

struct Reading {
    u8 second, minute, hour, day, month, year;
    bool operator==(const Reading&) const = default;
};

Reading read_once() {
    for (int patience = 100000; patience > 0 && (read_cmos(reg_status_a) & update_in_progress); --patience)
        arch::relax();
    return {read_cmos(0), read_cmos(2), read_cmos(4), read_cmos(7), read_cmos(8), read_cmos(9)};
}

/// Two readings that agree, so that no update came in between.
Reading read_stable() {
    Reading reading = read_once();
    for (int attempt = 0; attempt < 10; ++attempt) {
        Reading again = read_once();
        if (again == reading) break;
        reading = again;
    }
    return reading;
}

u8 from_bcd(u8 value) { return static_cast<u8>((value >> 4) * 10 + (value & 15)); }

/// Days since 1970 of a date in the Gregorian calendar, counted in years that begin in March.
u64 days_since_1970(u32 year, u32 month, u32 day) {
    u32 y = month > 2 ? year : year - 1;
    u32 m = month > 2 ? month - 3 : month + 9;
    constexpr u32 days_to_1970 = 719468;
    return u64{y} * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - days_to_1970;
}

Result<void> probe() {
    Reading now = read_stable();
    u8 mode = read_cmos(reg_status_b);
    bool afternoon = !(mode & mode_24_hours) && (now.hour & 0x80);
    now.hour &= 0x7f;
    if (!(mode & binary_mode))
        for (u8* field : {&now.second, &now.minute, &now.hour, &now.day, &now.month, &now.year})
            *field = from_bcd(*field);
    if (!(mode & mode_24_hours)) now.hour = static_cast<u8>(now.hour % 12 + (afternoon ? 12 : 0));
    // Where no clock is, the ports read all ones.
    if (now.second > 59 || now.minute > 59 || now.hour > 23 || now.day == 0 || now.day > 31 || now.month == 0 ||
        now.month > 12 || now.year > 99)
        return error(Errno::ENODEV);
    u32 year = now.year + (now.year < 70 ? 2000u : 1900u);
    u64 seconds = days_since_1970(year, now.month, now.day) * 86400 + now.hour * 3600u + now.minute * 60u + now.second;
    core::set_realtime_offset_ns(seconds * core::ns_per_second - core::monotonic_ns());
    core::log_info("cmos: time is {} s since 1970", seconds);
    return {};
}

} // namespace

constinit const Driver cmos_rtc_driver{
    .name = "cmos", .stage = Stage::Clock, .compatible = {}, .probe = nullptr, .probe_platform = probe};

} // namespace linnet::drivers
