// Who gets the counters of a CPU, and what happens when they overflow.
#include "hardware_counters.hpp"

#include <algorithm>
#include <bit>
#include <core/sched.hpp>
#include <new>

#include "perf_moment.hpp"
#include "perf_records.hpp"
#include "recording.hpp"

namespace linnet::trace {

namespace {

constinit CpuCounters* of_cpus[core::CpuMask::max_cpus] = {};

constexpr u64 exclusions = abi::PERF_ATTR_EXCLUDE_USER | abi::PERF_ATTR_EXCLUDE_KERNEL | abi::PERF_ATTR_EXCLUDE_HV |
                           abi::PERF_ATTR_EXCLUDE_IDLE | abi::PERF_ATTR_EXCLUDE_HOST | abi::PERF_ATTR_EXCLUDE_GUEST;

/// For who it is: the upper half of a general event names a unit by its type.
bool is_for_hardware(const abi::perf_event_attr& asked) {
    if (asked.type == hardware_unit_type) return !arch::hardware_counters().is_raw_unit;
    if (asked.type == abi::PERF_TYPE_RAW) return true;
    if (asked.type != abi::PERF_TYPE_HARDWARE && asked.type != abi::PERF_TYPE_HW_CACHE) return false;
    const u64 unit = asked.config >> 32;
    return unit != abi::PERF_TYPE_SOFTWARE && unit != abi::PERF_TYPE_TRACEPOINT && !PerfProbe::is_type(unit);
}

} // namespace

Result<arch::CountedEvent> find_hardware_event(const abi::perf_event_attr& asked) {
    const arch::HardwareCounters& unit = arch::hardware_counters();
    if (unit.counters == 0 || !is_for_hardware(asked)) return error(Errno::ENOENT);
    const u32 type = asked.type == hardware_unit_type ? abi::PERF_TYPE_RAW : asked.type;
    const u64 code = TRY(arch::hardware_event_code(type, asked.config));
    if (asked.sample_period != 0 && !unit.interrupts) return error(Errno::EOPNOTSUPP);
    if ((asked.flags & exclusions) && !unit.tells_modes_apart) return error(Errno::EINVAL);
    if (asked.flags & abi::PERF_ATTR_EXCLUDE_IDLE) return error(Errno::EOPNOTSUPP);
    const bool counts_host = !(asked.flags & abi::PERF_ATTR_EXCLUDE_HOST); // which is all there is
    return arch::CountedEvent{.code = code,
                              .in_user = counts_host && !(asked.flags & abi::PERF_ATTR_EXCLUDE_USER),
                              .in_kernel = counts_host && !(asked.flags & abi::PERF_ATTR_EXCLUDE_KERNEL)};
}

CpuCounters& CpuCounters::here() { return *of_cpus[core::this_cpu().number]; }

Result<void> CpuCounters::make_all() {
    for (u32 i = 0; i < core::cpu_count(); ++i) {
        of_cpus[i] = new (std::nothrow) CpuCounters;
        if (!of_cpus[i]) return error(Errno::ENOMEM);
    }
    arch::counter_overflow_handler.store([](u64 counters) { CpuCounters::here().handle_overflow(counters); },
                                         std::memory_order_release);
    return {};
}

std::optional<unsigned> CpuCounters::take(PerfEvent& event) {
    const auto counter = arch::take_counter(*event.hardware, arch::hardware_counters().counters & ~taken_);
    if (!counter) return std::nullopt;
    taken_ |= u64{1} << *counter;
    owners_[*counter] = &event;
    return counter;
}

void CpuCounters::give_back(unsigned counter) {
    arch::give_back_counter(counter);
    taken_ &= ~(u64{1} << counter);
    owners_[counter] = nullptr;
    if (taken_ == 0) is_exclusive_ = false;
}

u64 CpuCounters::window(u64 now) {
    if (now - window_began_ >= rotation_ns) {
        window_began_ = now;
        spent_ns_ = 0;
        ++window_;
    }
    return window_;
}

void CpuCounters::distribute(PerfContext* of_thread) {
    PerfContext* contexts[2] = {PerfContext::find_cpu(core::this_cpu().number), of_thread};
    if (is_threads_turn_) std::swap(contexts[0], contexts[1]);
    const auto for_each = [&](auto act) {
        for (PerfContext* context : contexts) {
            if (!context) continue;
            RecordingGuard guard(context->lock);
            if (context->hardware_events != 0) act(*context);
        }
    };
    for_each([](PerfContext& context) { context.give_back_counters_guarded(); });
    has_waiting_ = false;
    for_each([](PerfContext& context) { context.place_groups_guarded(PerfContext::Groups::Pinned); });
    for_each([](PerfContext& context) { context.place_groups_guarded(PerfContext::Groups::Others); });
    arm();
}

void CpuCounters::arm() {
    if (has_waiting_ && turns_.queued_on.load(std::memory_order_relaxed) == ~0u)
        core::arm_timer(turns_, core::monotonic_ns() + rotation_ns);
}

void CpuCounters::on_turn() {
    if (!has_waiting_) return;
    PerfContext* const of_cpu = PerfContext::find_cpu(core::this_cpu().number);
    PerfContext* const of_thread = PerfContext::find(core::current_thread());
    // Each group comes first once with the CPU's events before the thread's, and once behind them.
    const bool are_both = of_cpu && of_cpu->hardware_events != 0 && of_thread && of_thread->hardware_events != 0;
    is_threads_turn_ = are_both && !is_threads_turn_;
    for (PerfContext* context : {of_cpu, of_thread}) {
        if (!context || is_threads_turn_) continue;
        RecordingGuard guard(context->lock);
        ++context->turn;
    }
    distribute(of_thread);
}

void CpuCounters::handle_overflow(u64 counters) {
    const u64 began = core::monotonic_ns();
    const u64 number = window(began);
    const Moment moment = Moment::of_interrupt();
    for (u64 rest = counters; rest; rest &= rest - 1) {
        // One that has been given back meanwhile interrupts for nothing.
        PerfEvent* event = owners_[std::countr_zero(rest)];
        if (!event) continue;
        RecordingGuard guard(event->context.lock);
        event->on_overflow_guarded(moment, number);
    }
    arm();
    spent_ns_ += core::monotonic_ns() - began;
}

// ---- an event and its counter ----

bool PerfEvent::sync_guarded() {
    if (!counter_) return true;
    if (counter_cpu_ != core::this_cpu().number) return false;
    const u64 now = arch::event_count(*counter_);
    const u64 passed = (now - count_then_) & arch::highest_count(*counter_);
    count_then_ = now;
    hits_ += passed;
    left_ = passed < left_ ? left_ - passed : 0;
    return true;
}

/// Lets the counter come to its end when the sample is due. Without one that is so far away that whoever reads it late
/// still knows how often it came round.
void PerfEvent::start_counter_guarded() {
    const u64 highest = arch::highest_count(*counter_), half = highest / 2 + 1;
    const u64 ahead = takes_samples() && !is_throttled_ ? std::clamp<u64>(left_, 1, half) : half;
    count_then_ = (0 - ahead) & highest;
    arch::start_counter(*counter_, count_then_);
}

bool PerfEvent::take_counter_guarded() {
    counter_ = CpuCounters::here().take(*this);
    if (!counter_) return false;
    counter_cpu_ = core::this_cpu().number;
    if (std::exchange(is_throttled_, false)) write_throttling_guarded(abi::PerfRecord::Unthrottle);
    start_counter_guarded();
    return true;
}

void PerfEvent::give_back_counter_guarded() {
    if (!counter_ || !sync_guarded()) return;
    settle_guarded();
    CpuCounters::here().give_back(*counter_);
    counter_.reset();
    settle_guarded();
}

bool PerfEvent::place_group_guarded() {
    CpuCounters& here = CpuCounters::here();
    const bool is_exclusive = has(abi::PERF_ATTR_EXCLUSIVE);
    bool has_all = !here.is_exclusive() && (!is_exclusive || here.is_all_free());
    const auto take = [&](PerfEvent& event) {
        if (has_all && event.is_hardware() && event.is_on_) has_all = event.take_counter_guarded();
    };
    take(*this);
    for (PerfEvent& member : members) take(member);
    is_placed_ = has_all;
    is_refused_ = !has_all;
    if (!has_all) return give_back_group_guarded(), false;
    here.set_exclusive(is_exclusive);
    settle_group_guarded();
    arm_guarded();
    for (PerfEvent& member : members) member.arm_guarded();
    return true;
}

void PerfEvent::give_back_group_guarded() {
    give_back_counter_guarded();
    for (PerfEvent& member : members) member.give_back_counter_guarded();
    is_placed_ = false;
    settle_group_guarded();
}

void PerfEvent::on_overflow_guarded(const Moment& moment, u64 window) {
    if (!counter_ || !sync_guarded() || !takes_samples()) return;
    if (left_ == 0 && !is_throttled_) {
        // The interrupt may come late, to where nothing is to be seen of what has been counted.
        if (!has(moment.in_kernel ? abi::PERF_ATTR_EXCLUDE_KERNEL : abi::PERF_ATTR_EXCLUDE_USER))
            take_sample_guarded(moment);
        if (has(abi::PERF_ATTR_FREQ)) adapt_period_guarded();
        left_ = period_;
        throttle_guarded(window);
    }
    if (!is_on_) return leader == this ? give_back_group_guarded() : give_back_counter_guarded();
    start_counter_guarded();
}

/// So that no period is short enough to keep a CPU from its work: what has had its samples for this while, or when
/// sampling took a quarter of it, goes on counting without them until the next turn.
void PerfEvent::throttle_guarded(u64 window) {
    CpuCounters& here = CpuCounters::here();
    if (window_ != window) samples_in_window_ = 0;
    window_ = window;
    const u64 most = std::max<u64>(highest_sample_rate() * rotation_ns / core::ns_per_second, 1);
    if (++samples_in_window_ < most && !here.is_used_up()) return;
    is_throttled_ = true;
    here.note_waiting();
    write_throttling_guarded(abi::PerfRecord::Throttle);
}

void PerfEvent::write_throttling_guarded(abi::PerfRecord type) {
    const u64 body[] = {time_of_record(), shown_id(), id};
    write_record_guarded(*this, {.type = type, .misc = 0, .body = body, .subject = core::current_thread()});
}

// ---- the events of a context ----

void PerfContext::give_back_counters_guarded() {
    for (PerfEvent& event : events)
        if (event.hardware_in_group != 0) event.give_back_group_guarded(); // it leads
}

void PerfContext::place_groups_guarded(Groups which) {
    usize groups = 0;
    const auto for_each = [&](auto act) {
        for (PerfEvent& event : events)
            if (event.leader == &event && event.wants_counters_guarded(core::this_cpu().number) &&
                event.has(abi::PERF_ATTR_PINNED) == (which == Groups::Pinned))
                act(event);
    };
    for_each([&](PerfEvent&) { ++groups; });
    if (groups == 0) return;
    const auto place = [&](PerfEvent& leader) {
        if (leader.place_group_guarded()) return;
        if (which == Groups::Pinned)
            leader.is_in_error = true;
        else
            CpuCounters::here().note_waiting();
    };
    const usize first = which == Groups::Pinned ? 0 : turn % groups;
    usize at = 0;
    for_each([&](PerfEvent& leader) { at++ >= first ? place(leader) : void(); });
    at = 0;
    for_each([&](PerfEvent& leader) { at++ < first ? place(leader) : void(); });
}

void PerfContext::sync_locked() {
    if (hardware_events == 0) return;
    call_where_it_runs_locked([](PerfContext& self) {
        RecordingGuard guard(self.lock);
        for (PerfEvent& event : self.events) (void)event.sync_guarded();
    });
}

} // namespace linnet::trace
