// The list of events, who wants them, and the way of a record.
#include "event.hpp"

#include <algorithm>
#include <core/sched.hpp>
#include <cstring>

#include "perf_tracepoint.hpp"
#include "recording.hpp"
#include "tracer.hpp"
#include "trigger.hpp"

namespace linnet::trace {

namespace {

constinit core::LockClass trace_class("tracing");
constexpr u16 first_free_id = 20; // those below are ftrace's own

struct EventList {
    ArrayList<TraceEvent*> all; // events with ids from first_free_id on by id; null: gone
    ArrayList<TraceEvent*> own; // ftrace's
};
constinit EventList* list = nullptr;

} // namespace

constinit core::Mutex trace_lock(trace_class);

TraceEvent::~TraceEvent() { delete filter_.load(std::memory_order_relaxed); }

void TraceEvent::print_lines(TextSink sink, std::span<const u8> record) const {
    sink(name);
    sink(": ");
    print(sink, record);
    sink("\n");
}

// ---- emission ----

void TraceEvent::emit(std::span<u8> record, const Moment* at) {
    const bool irqs_were_on = arch::interrupts_enabled();
    const arch::InterruptState state = arch::save_and_disable_interrupts();
    if (!is_recording_here()) {
        RecordingScope scope;
        const RecordHead head = make_head(id, irqs_were_on);
        memcpy(record.data(), &head, sizeof head);
        emit_guarded(record, at);
    }
    arch::restore_interrupts(state);
}

void TraceEvent::emit_guarded(std::span<u8> record, const Moment* at) {
    core::Cpu& cpu = core::this_cpu();
    core::Thread& thread = core::current_thread();
    const FilterContext context{.cpu = cpu.number, .comm = thread.name()};
    if (perf_users_.load(std::memory_order_relaxed) != 0) emit_to_perf(*this, record, context, at);
    const bool is_recorded = is_recorded_.load(std::memory_order_relaxed);
    TriggerList* list_of_triggers = triggers.load(std::memory_order_acquire);
    if (!is_recorded && !list_of_triggers) return;
    if (!(tracer.cpus.load(std::memory_order_relaxed) >> cpu.number & 1)) return;
    const i32 pid = pid_of(thread);
    const auto concerns = [&](const PidSet& pids) { return pids.has(pid) || pids.has(other_thread(record)); };
    if (const PidSet* pids = tracer.pids.load(std::memory_order_acquire); pids && !concerns(*pids)) return;
    if (const PidSet* pids = tracer.excluded_pids.load(std::memory_order_acquire); pids && pids->has(pid)) return;
    if (list_of_triggers) list_of_triggers->run(TriggerList::When::Before, record, context);
    // A trigger may have just switched the records on, or off.
    const Filter* filter = filter_.load(std::memory_order_acquire);
    if (is_recorded_.load(std::memory_order_relaxed) && (!filter || filter->matches(record, context)) &&
        tracer.is_on.load(std::memory_order_relaxed)) {
        remember_thread(thread);
        write_record_here(record);
        if (has_option(option_stacktrace)) write_stack_here();
    }
    if (list_of_triggers) list_of_triggers->run(TriggerList::When::Behind, record, context);
}

void wait_for_emissions() {
    core::run_on_cpus(~u64{0}, [](void*) {}, nullptr);
}

// ---- who wants it ----

Result<void> TraceEvent::use_locked() {
    if (!is_switchable()) return error(Errno::EINVAL);
    if (connections_.load(std::memory_order_relaxed) == 0) TRY(connect_locked());
    connections_.fetch_add(1);
    return {};
}

void TraceEvent::stop_using_locked() {
    if (connections_.fetch_sub(1) == 1) disconnect_locked();
}

Result<void> TraceEvent::use_for_perf_locked() {
    TRY(use_locked());
    perf_users_.fetch_add(1);
    return {};
}

void TraceEvent::stop_using_for_perf_locked() {
    perf_users_.fetch_sub(1);
    stop_using_locked();
}

Result<void> TraceEvent::enable_locked() {
    if (is_enabled_) {
        is_recorded_ = true;
        return {};
    }
    TRY(expand_buffers_locked());
    TRY(use_locked());
    is_enabled_ = true;
    is_recorded_ = true;
    return {};
}

void TraceEvent::disable_locked() {
    is_recorded_ = false;
    if (!std::exchange(is_enabled_, false)) return;
    stop_using_locked();
}

Result<void> TraceEvent::hold_locked() {
    TRY(expand_buffers_locked());
    TRY(use_locked());
    ++holders_;
    return {};
}

void TraceEvent::let_go_locked() {
    if (--holders_ == 0 && !is_enabled_) is_recorded_ = false;
    stop_using_locked();
}

void TraceEvent::show_state_locked(TextSink sink) const {
    sink(is_enabled_ || is_recorded() ? "1" : "0");
    if (holders_ || triggers.load(std::memory_order_relaxed)) sink("*");
}

Result<void> TraceEvent::set_filter_locked(std::string_view text, FilterError& why) {
    if (!is_switchable()) return error(Errno::EINVAL);
    Result<OwnPtr<Filter>> fresh = OwnPtr<Filter>();
    if (text != "0") fresh = Filter::parse(text, [this](FieldVisitor visit) { visit_fields(visit); }, why);
    if (!fresh && fresh.error() != Errno::EINVAL) return error(fresh.error());
    refused_filter_ = nullptr;
    if (!fresh && text.size() <= Filter::longest_text) {
        refused_filter_ = OwnPtr<char[]>(new (std::nothrow) char[text.size() + 1]);
        if (refused_filter_) *std::copy(text.begin(), text.end(), refused_filter_.get()) = '\0';
        refused_why_ = why;
    }
    OwnPtr<Filter> old(filter_.exchange(fresh ? fresh->release() : nullptr));
    if (old) wait_for_emissions();
    return fresh ? Result<void>{} : error(fresh.error());
}

bool TraceEvent::would_take_filter(std::string_view text, FilterError& why) const {
    return text == "0" || Filter::parse(text, [this](FieldVisitor visit) { visit_fields(visit); }, why).has_value();
}

void TraceEvent::show_filter_locked(TextSink sink) const {
    if (!refused_filter_ || !refused_why_.message)
        return format_to(sink, "{}\n", filter_locked() ? filter_locked()->text() : std::string_view("none"));
    format_to(sink, "{}\n", std::string_view(refused_filter_.get()));
    for (usize column = 0; column < refused_why_.position; ++column) sink(" ");
    format_to(sink, "^\nparse_error: {}\n", refused_why_.message);
}

// ---- the list ----

Result<void> register_event_locked(TraceEvent& event) {
    if (!list) list = new (std::nothrow) EventList;
    if (!list) return error(Errno::ENOMEM);
    if (find_event_locked(event.system, event.name)) return error(Errno::EEXIST);
    static constinit u64 last_serial = 0;
    event.serial = ++last_serial;
    if (event.id != 0) return list->own.try_push(&event);
    if (list->all.size() + first_free_id > 0xffff) return error(Errno::ENOSPC);
    // The trace was emptied when an event with this id went.
    TRY(list->all.try_push(&event));
    event.id = static_cast<u16>(first_free_id + list->all.size() - 1);
    return {};
}

Result<void> unregister_event_locked(TraceEvent& event) {
    if (event.is_wanted() || event.triggers.load(std::memory_order_relaxed)) return error(Errno::EBUSY);
    list->all[event.id - first_free_id] = nullptr;
    while (!list->all.is_empty() && !list->all.back()) MUST(list->all.try_resize(list->all.size() - 1)); // shrinks
    clear_buffers_locked();
    wait_for_emissions();
    return {};
}

TraceEvent* find_event_locked(u16 id) {
    if (!list) return nullptr;
    if (id >= first_free_id) return id - first_free_id < list->all.size() ? list->all[id - first_free_id] : nullptr;
    for (TraceEvent* event : list->own)
        if (event->id == id) return event;
    return nullptr;
}

TraceEvent* find_event_locked(std::string_view system, std::string_view name) {
    if (!list) return nullptr;
    for (const auto* events : {&list->own, &list->all})
        for (TraceEvent* event : *events)
            if (event && event->name == name && event->system == system) return event;
    return nullptr;
}

std::span<TraceEvent* const> all_events_locked() {
    if (!list) return {};
    return list->all.span();
}

std::span<TraceEvent* const> own_events_locked() {
    if (!list) return {};
    return list->own.span();
}

} // namespace linnet::trace
