// When samples are due: timers for clocks, counting down for what happens.
#include <core/sched.hpp>

#include "perf_records.hpp"
#include "recording.hpp"

namespace linnet::trace {

using abi::PerfSoftware;

namespace {

/// What watches() answers while something of it is to be seen; and how many events want each bit.
constinit u32 watchers[32] = {};
constinit std::atomic<u32> watched{0};

/// The first period of what hardware counts at a frequency; a few samples later it is right.
constexpr u64 first_guess = 10'000;

bool is_clock(u64 config) {
    return config == static_cast<u64>(PerfSoftware::CpuClock) || config == static_cast<u64>(PerfSoftware::TaskClock);
}

} // namespace

void watch_locked(u32 what) {
    u32 fresh = 0;
    for (u32 rest = what; rest; rest &= rest - 1) {
        if (watchers[std::countr_zero(rest)]++ != 0) continue;
        fresh |= rest & -rest;
        switch_tracepoints(rest & -rest, true);
    }
    if (!fresh) return;
    watched.fetch_or(fresh);
    // Every CPU sees it once it has answered: whoever is switched to from now on is seen.
    core::run_on_cpus(~u64{0}, [](void*) {}, nullptr);
}

void unwatch_locked(u32 what) {
    for (u32 rest = what; rest; rest &= rest - 1) {
        if (--watchers[std::countr_zero(rest)] != 0) continue;
        watched.fetch_and(~(rest & -rest));
        switch_tracepoints(rest & -rest, false);
    }
}

bool is_watched(u32 what) { return watched.load(std::memory_order_relaxed) & what; }

bool PerfEvent::samples_time() const { return takes_samples() && is_software() && is_clock(attributes.config); }

u32 PerfEvent::watches() const {
    u32 what = 0;
    if (target.thread && (target.is_on_one_cpu || samples_time() || is_hardware())) what |= watch_switches;
    if (has(abi::PERF_ATTR_CONTEXT_SWITCH)) what |= watch_switches;
    if (has(abi::PERF_ATTR_MMAP | abi::PERF_ATTR_MMAP2 | abi::PERF_ATTR_MMAP_DATA))
        what |= watch_mappings | watch_threads;
    if (has(abi::PERF_ATTR_COMM | abi::PERF_ATTR_TASK)) what |= watch_threads;
    if (!takes_samples() || !is_software()) return what;
    switch (static_cast<PerfSoftware>(attributes.config)) {
    case PerfSoftware::PageFaults:
    case PerfSoftware::PageFaultsMinor:
        return what | watch_faults;
    case PerfSoftware::ContextSwitches:
    case PerfSoftware::CpuMigrations:
        return what | watch_switches;
    default:
        return what;
    }
}

void PerfEvent::set_period_locked(u64 asked) {
    {
        RecordingGuard guard(context.lock);
        period_ = asked;
        if (has(abi::PERF_ATTR_FREQ) && asked)
            period_ = samples_time() ? core::ns_per_second / asked : is_hardware() ? first_guess : 1;
        if (samples_time()) period_ = std::max(period_, core::shortest_period_ns);
        left_ = period_;
        core::cancel_timer(alarm_);
    }
    if (context_node.is_linked()) context.refresh_locked();
}

void PerfEvent::arm_guarded() {
    if (!counts_ || !samples_time() || alarm_.queued_on.load(std::memory_order_relaxed) != ~0u) return;
    core::arm_timer(alarm_, core::monotonic_ns() + left_);
}

/// What is left of its time is waited for when it goes on.
void PerfEvent::stop_alarm_guarded() {
    if (!core::cancel_timer(alarm_)) return;
    const u64 now = core::monotonic_ns();
    left_ = alarm_.deadline_ns > now ? alarm_.deadline_ns - now : 1;
}

void PerfEvent::enter_guarded(u32 cpu) {
    const bool is_in = !target.is_on_one_cpu || target.cpu == cpu;
    if (is_in != is_in_) {
        is_in_ = is_in;
        settle_guarded();
    }
    arm_guarded();
}

void PerfEvent::leave_guarded() {
    if (hardware_in_group != 0) give_back_group_guarded(); // it leads
    stop_alarm_guarded();
    is_in_ = false;
    if (target.is_on_one_cpu) settle_guarded();
}

void PerfEvent::on_timer() {
    RecordingGuard guard(context.lock);
    if (!counts_) return;
    left_ = period_;
    const Moment moment = Moment::of_interrupt();
    const bool is_idle = &moment.thread == core::this_cpu().idle_thread;
    if (!has(moment.in_kernel ? abi::PERF_ATTR_EXCLUDE_KERNEL : abi::PERF_ATTR_EXCLUDE_USER) &&
        !(is_idle && has(abi::PERF_ATTR_EXCLUDE_IDLE)))
        take_sample_guarded(moment);
    if (!counts_) return;
    const u64 now = core::monotonic_ns(), next = alarm_.deadline_ns + period_;
    core::arm_timer(alarm_, next > now ? next : now + period_);
}

void PerfEvent::count_guarded(PerfSoftware what, u64 times, const Moment& moment) {
    if (!counts_ || !takes_samples() || !is_software() ||
        has(moment.in_kernel ? abi::PERF_ATTR_EXCLUDE_KERNEL : abi::PERF_ATTR_EXCLUDE_USER))
        return;
    const auto mine = static_cast<PerfSoftware>(attributes.config);
    const bool is_fault = what == PerfSoftware::PageFaults && mine == PerfSoftware::PageFaultsMinor;
    if (mine != what && !is_fault) return;
    count_for_samples_guarded(times, moment);
}

void PerfEvent::hit_guarded(const Moment& moment) {
    if (!counts_ || (moment.in_kernel && has(abi::PERF_ATTR_EXCLUDE_KERNEL))) return;
    ++hits_;
    if (takes_samples()) count_for_samples_guarded(1, moment);
}

void PerfEvent::count_for_samples_guarded(u64 times, const Moment& moment) {
    const bool is_rate = has(abi::PERF_ATTR_FREQ);
    // As on Linux, who wants to see the period is told of each single one.
    if (!is_rate && (attributes.sample_type & abi::PERF_SAMPLE_PERIOD)) period_ = left_ = 1;
    for (; times != 0 && counts_; --times) {
        if (--left_ != 0) continue;
        take_sample_guarded(moment);
        if (is_rate) adapt_period_guarded();
        left_ = period_;
    }
}

/// So that the next sample comes about 1/frequency after this one; at most eight times as much as before.
void PerfEvent::adapt_period_guarded() {
    const u64 now = core::monotonic_ns(), then = std::exchange(sampled_at_, now);
    if (then == 0 && is_hardware()) return; // nothing is known of how fast it goes
    const u64 passed = std::max<u64>(now - then, 1);
    const u64 wanted = core::ns_per_second / attributes.sample_period;
    const u64 factor_in_16ths = std::clamp<u64>(wanted * 16 / passed, 2, 128);
    const u64 better = std::clamp<u64>(period_ * factor_in_16ths / 16, 1, u64{1} << 40);
    // Interrupts come late at times, and hardware's events in great numbers: no single one decides.
    period_ = is_hardware() ? (3 * period_ + better + 3) / 4 : better;
}

void PerfEvent::take_sample_guarded(const Moment& moment) {
    if (buffer && !context.takes_no_samples) {
        if (!write_sample_guarded(*this, moment, period_))
            lost.fetch_add(1, std::memory_order_relaxed);
        else if (!has(abi::PERF_ATTR_WATERMARK) && attributes.wakeup_events)
            buffer->count_sample(attributes.wakeup_events);
    }
    if (samples_left_ == 0 || --samples_left_ != 0) return;
    is_on_ = false;
    settle_group_guarded(Timers::Leave);
    if (buffer) buffer->wake();
}

u64 PerfEvent::time_of_record() const {
    if (!has(abi::PERF_ATTR_USE_CLOCKID)) return core::monotonic_ns();
    constexpr int clock_realtime = 0, clock_tai = 11;
    switch (attributes.clockid) {
    case clock_realtime:
        return core::realtime_ns();
    case clock_tai:
        return core::tai_ns();
    default: // MONOTONIC, MONOTONIC_RAW and BOOTTIME, which are one here
        return core::monotonic_ns();
    }
}

} // namespace linnet::trace
