// adjtimex(2) and clock_adjtime(2): who may, and which values; the rest is core's.
#include <core/clock_discipline.hpp>
#include <limits>
#include <process/process.hpp>
#include <syscalls/time.hpp>
#include <vfs/credentials.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

/// EPERM and EINVAL, in Linux's order.
Result<void> check(Thread& thread, const abi::timex& values) {
    constexpr i64 user_hz = 100, ns_per_s = 1'000'000'000, us_per_s = 1'000'000;
    constexpr i64 most_frequency = std::numeric_limits<i64>::max() / (1000 << 16);
    const u32 modes = values.modes;
    const auto may = [&] { return thread.own_credentials().has(vfs::Capability::SysTime); };
    if (modes & abi::ADJ_ADJTIME) {
        if (!(modes & abi::ADJ_OFFSET)) return error(Errno::EINVAL);
        if (!(modes & abi::ADJ_OFFSET_READONLY) && !may()) return error(Errno::EPERM);
    } else {
        if (modes != 0 && !may()) return error(Errno::EPERM);
        if ((modes & abi::ADJ_TICK) && (values.tick < 900'000 / user_hz || values.tick > 1'100'000 / user_hz))
            return error(Errno::EINVAL);
    }
    if (modes & abi::ADJ_SETOFFSET) {
        if (!may()) return error(Errno::EPERM);
        const i64 limit = (modes & abi::ADJ_NANO) ? ns_per_s : us_per_s;
        if (values.time.tv_usec < 0 || values.time.tv_usec >= limit) return error(Errno::EINVAL);
    }
    if ((modes & abi::ADJ_FREQUENCY) && (values.freq > most_frequency || values.freq < -most_frequency))
        return error(Errno::EINVAL);
    return {};
}

} // namespace

Result<long> sys_clock_adjtime(Thread& thread, int clock, TimexInOut timex) {
    abi::timex values = TRY(timex.copy_in());
    if (clock != abi::CLOCK_REALTIME) {
        TRY(check_clock(thread, clock));
        return error(Errno::EOPNOTSUPP);
    }
    TRY(check(thread, values));
    const int state = TRY(core::adjust_clock(values));
    TRY(timex.copy_out(values));
    return state;
}

Result<long> sys_adjtimex(Thread& thread, TimexInOut timex) {
    return sys_clock_adjtime(thread, abi::CLOCK_REALTIME, timex);
}

} // namespace linnet::syscalls
