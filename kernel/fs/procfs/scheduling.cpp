// /proc/sys/kernel/sched_*: the share and the turns of real-time threads (sched(7)).
#include <core/sched.hpp>
#include <vfs/pseudo/node.hpp>

#include "procfs.hpp"

namespace linnet::fs {
namespace {

constexpr u64 ns_per_us = 1000, ns_per_ms = 1'000'000;
constexpr u64 largest = 0x7fff'ffff;

Result<void> show_period(TextSink sink) {
    format_to(sink, "{}\n", core::realtime_limits().period_ns / ns_per_us);
    return {};
}

Result<void> show_runtime(TextSink sink) {
    const u64 ns = core::realtime_limits().runtime_ns;
    format_to(sink, "{}\n", ns == ~u64{0} ? i64{-1} : static_cast<i64>(ns / ns_per_us));
    return {};
}

Result<void> set_limits(core::RealtimeLimits limits) {
    if (limits.period_ns == 0) return error(Errno::EINVAL);
    if (limits.runtime_ns != ~u64{0} && limits.runtime_ns > limits.period_ns) return error(Errno::EINVAL);
    return core::set_realtime_limits(limits);
}

Result<void> store_period(std::string_view text) {
    core::RealtimeLimits limits = core::realtime_limits();
    limits.period_ns = TRY(vfs::pseudo::parse_number(text, largest)) * ns_per_us;
    return set_limits(limits);
}

Result<void> store_runtime(std::string_view text) {
    core::RealtimeLimits limits = core::realtime_limits();
    if (text == "-1" || text == "-1\n")
        limits.runtime_ns = ~u64{0};
    else
        limits.runtime_ns = TRY(vfs::pseudo::parse_number(text, largest)) * ns_per_us;
    return set_limits(limits);
}

Result<void> show_turn(TextSink sink) {
    format_to(sink, "{}\n", core::round_robin_slice_ns() / ns_per_ms);
    return {};
}

Result<void> store_turn(std::string_view text) {
    // 0 or less asks for the usual length.
    constexpr u64 usual_ms = 100;
    u64 ms = 0;
    if (!text.starts_with("-")) ms = TRY(vfs::pseudo::parse_number(text, largest));
    core::set_round_robin_slice_ns((ms != 0 ? ms : usual_ms) * ns_per_ms);
    return {};
}

} // namespace

Result<void> add_scheduling_files(vfs::pseudo::Directory& root) {
    vfs::pseudo::Directory& kernel = *TRY(root.add_path("sys/kernel"));
    TRY(kernel.add_text("sched_rt_period_us", show_period, 0644, store_period));
    TRY(kernel.add_text("sched_rt_runtime_us", show_runtime, 0644, store_runtime));
    return kernel.add_text("sched_rr_timeslice_ms", show_turn, 0644, store_turn);
}

} // namespace linnet::fs
