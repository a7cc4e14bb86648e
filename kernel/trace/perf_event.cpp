// Counting: where each number comes from, and what of it an event has seen.
#include "perf_event.hpp"

#include <core/time.hpp>

#include "perf_moment.hpp"
#include "recording.hpp"

namespace linnet::trace {

using abi::PerfSoftware;

namespace {

constinit core::LockClass events_class("performance events");
constinit std::atomic<u64> next_id{1};

u64 cpu_time(const process::Thread& thread) {
    const core::CpuTimes times = thread.cpu_times();
    return core::ticks_to_ns(times.user + times.system);
}

} // namespace

constinit core::Mutex events_lock(events_class);

PerfEvent::PerfEvent(const abi::perf_event_attr& asked, PerfTarget whose, PerfContext& where)
    : id(next_id.fetch_add(1, std::memory_order_relaxed)), attributes(asked), target(std::move(whose)), context(where),
      enables_on_exec(has(abi::PERF_ATTR_ENABLE_ON_EXEC)) {
    set_period_locked(asked.sample_period); // nobody else knows it yet
}

PerfEvent::~PerfEvent() {
    core::cancel_timer_sync(alarm_);
    delete filter_.load(std::memory_order_relaxed);
}

u64 PerfEvent::clock() const { return target.thread ? cpu_time(*target.thread) : core::monotonic_ns(); }

u64 PerfEvent::counter() const {
    if (!is_software()) return hits_; // of hardware what has been seen (sync_guarded)
    const bool sees_user = !has(abi::PERF_ATTR_EXCLUDE_USER);
    const bool sees_kernel = !has(abi::PERF_ATTR_EXCLUDE_KERNEL);
    const process::Thread* thread = target.thread.get();
    const core::Cpu& cpu = core::cpu(target.cpu);
    switch (static_cast<PerfSoftware>(attributes.config)) {
    case PerfSoftware::CpuClock:
    case PerfSoftware::TaskClock:
        return clock();
    case PerfSoftware::PageFaults:
    case PerfSoftware::PageFaultsMinor: {
        const u64 of_user = thread ? thread->minor_faults.load(std::memory_order_relaxed)
                                   : cpu.user_faults.load(std::memory_order_relaxed);
        const u64 of_kernel = thread ? thread->faults_in_copies.load(std::memory_order_relaxed)
                                     : cpu.copy_faults.load(std::memory_order_relaxed);
        return (sees_user ? of_user : 0) + (sees_kernel ? of_kernel : 0);
    }
    case PerfSoftware::ContextSwitches: // and migrations happen in the kernel
        if (!sees_kernel) return 0;
        return thread ? thread->voluntary_switches + thread->involuntary_switches : cpu.context_switches;
    case PerfSoftware::CpuMigrations:
        if (!sees_kernel) return 0;
        return thread ? thread->migrations : cpu.arrivals;
    default: // of these there are none: no file is read for a fault yet
        return 0;
    }
}

PerfEvent::Reading PerfEvent::read_guarded() const {
    Reading all = sum_;
    if (!is_enabled_) return all;
    const u64 passed = clock() - clock_then_;
    all.add({.value = counts_ ? counter() - counter_then_ : 0, .enabled_ns = passed, .running_ns = runs_ ? passed : 0});
    return all;
}

void PerfEvent::settle_guarded(Timers timers) {
    if (!sync_guarded()) return; // it settles there, when it gives its counter back
    sum_ = read_guarded();
    is_enabled_ = is_on_ && leader->is_on_;
    const bool has_counters = leader->hardware_in_group == 0 || (leader->is_placed_ && (counter_ || !is_hardware()));
    const bool is_where_it_counts = is_in_ || !target.thread || !target.is_on_one_cpu;
    runs_ = is_enabled_ && is_where_it_counts && !leader->is_refused_;
    counts_ = is_enabled_ && is_where_it_counts && has_counters;
    counter_then_ = counter();
    clock_then_ = clock();
    if (!counts_ && timers == Timers::Stop) stop_alarm_guarded();
}

void PerfEvent::settle_group_guarded(Timers timers) {
    settle_guarded(timers);
    for (PerfEvent& member : members) member.settle_guarded(timers);
}

void PerfEvent::switch_own_locked(bool on) {
    if (has_ended) return;
    {
        RecordingGuard guard(context.lock);
        is_on_ = on;
        if (on) is_in_error = is_refused_ = false;
        settle_group_guarded();
    }
    context.refresh_locked();
}

void PerfEvent::switch_locked(bool on) {
    switch_own_locked(on);
    for (PerfEvent& copy : copies) copy.switch_locked(on);
}

void PerfEvent::switch_on_for_locked(u64 samples) {
    {
        RecordingGuard guard(context.lock);
        samples_left_ += samples;
    }
    switch_own_locked(true);
}

void PerfEvent::reset_locked() {
    context.sync_locked();
    {
        RecordingGuard guard(context.lock);
        settle_guarded();
        sum_.value = 0;
        counter_then_ = counter();
    }
    context.refresh_locked();
    for (PerfEvent& copy : copies) copy.reset_locked();
}

PerfEvent::Reading PerfEvent::read_locked() const {
    Reading all;
    context.sync_locked();
    {
        RecordingGuard guard(context.lock);
        all = read_guarded();
    }
    for (const PerfEvent& copy : const_cast<PerfEvent*>(this)->copies) {
        all.add(copy.read_locked());
    }
    return all;
}

void PerfEvent::direct_locked(NullableRefPtr<PerfBuffer> to) {
    for (PerfEvent& copy : copies) copy.direct_locked(to);
    if (!original && buffer) buffer->remove_listener(listener);
    if (!original && to) to->add_listener(listener);
    RecordingGuard guard(context.lock);
    std::swap(buffer, to); // the old one goes without the lock
    guard.unlock();
}

void PerfEvent::join_locked(PerfEvent& leads, bool on) {
    watch_locked(watches_now_ = watches());
    begin_tracing_locked();
    {
        RecordingGuard guard(context.lock);
        context.events.push_back(*this);
        leader = &leads;
        if (leader != this) leader->members.push_back(*this), ++leader->member_count;
        is_on_ = on;
        if (is_hardware()) ++leader->hardware_in_group, ++context.hardware_events;
        settle_guarded();
        leader->settle_group_guarded(); // which may need counters from now on
    }
    context.refresh_locked();
}

void PerfEvent::stop_for_good_locked() {
    switch_own_locked(false);
    has_ended = true;
    RecordingGuard guard(context.lock);
    leave_context_guarded();
}

void PerfEvent::leave_context_guarded() {
    if (!context_node.is_linked()) return;
    context_node.unlink();
    if (is_hardware()) --context.hardware_events;
}

void PerfEvent::begin_as_copy_locked(PerfEvent& from) {
    original = from.original ? from.original : &from;
    original->copies.push_back(*this);
    probe = original->probe;
    hardware = original->hardware;
    set_period_locked(attributes.sample_period);
    enables_on_exec = from.enables_on_exec;
    buffer = original->buffer;
}

void PerfEvent::give_back_locked() {
    Reading seen;
    {
        RecordingGuard guard(context.lock);
        settle_guarded();
        seen = sum_;
    }
    {
        RecordingGuard guard(original->context.lock);
        original->sum_.add(seen);
    }
    remove_locked();
}

void PerfEvent::remove_locked() {
    direct_locked({});
    if (leader->hardware_in_group != 0) switch_own_locked(false); // no counter is its group's any more, if it leads
    {
        RecordingGuard guard(context.lock);
        is_on_ = false;
        settle_guarded();
        while (PerfEvent* member = members.pop_front()) {
            member->leader = member;
            member->hardware_in_group = member->is_hardware();
            member->settle_guarded();
        }
        member_count = 0;
        if (leader != this) --leader->member_count, leader->hardware_in_group -= is_hardware();
        member_node.unlink();
        leader = this;
        leave_context_guarded();
    }
    context.refresh_locked(); // members that count by themselves now
    opened_node.unlink();
    copy_node.unlink();
    unwatch_locked(std::exchange(watches_now_, 0));
    end_tracing_locked();
}

void PerfEvent::begin_tracing_locked() {
    if (attributes.type != abi::PERF_TYPE_TRACEPOINT) return;
    core::MutexGuard guard(trace_lock);
    TraceEvent* event = find_event_locked(static_cast<u16>(attributes.config));
    // One that has gone since it was looked up counts nothing.
    if (event && event->use_for_perf_locked()) traced_ = event;
}

void PerfEvent::end_tracing_locked() {
    if (!traced_) return;
    core::MutexGuard guard(trace_lock);
    std::exchange(traced_, nullptr)->stop_using_for_perf_locked();
}

Result<void> PerfEvent::set_filter_locked(std::string_view text) {
    if (!traced_) return error(Errno::EINVAL);
    if (filter_.load(std::memory_order_relaxed)) return error(Errno::EEXIST);
    FilterError why;
    filter_ = TRY(Filter::parse(text, [this](FieldVisitor visit) { traced_->visit_fields(visit); }, why)).release();
    return {};
}

void PerfEvent::count_record_guarded(const Moment& moment, const FilterContext& where) {
    if (!counts_ || !is_live_guarded(where.cpu)) return;
    const Filter* filter = (original ? original : this)->filter_.load(std::memory_order_acquire);
    if (filter && !filter->matches(moment.raw, where)) return;
    hit_guarded(moment);
}

void delete_all(RemovedEvents& events) {
    while (PerfEvent* event = events.pop_front()) delete event;
}

} // namespace linnet::trace
