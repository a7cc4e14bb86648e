// Events of the system "timer": the kernel's timers, all of which are what Linux calls high-resolution timers.
#include <core/timer.hpp>
#include <core/tracepoints.hpp>

#include "record_events.hpp"
#include "trace_text.hpp"

namespace linnet::trace {

namespace {

u64 address_of(const core::Timer& timer) { return reinterpret_cast<u64>(&timer); }
u64 function_of(const core::Timer& timer) { return reinterpret_cast<u64>(timer.callback); }

// ---- hrtimer_start ----

struct StartRecord {
    RecordHead head;
    u64 hrtimer;
    u64 function;
    i64 expires;
    i64 soft_expires;
    u32 mode;
};
constexpr EventField start_fields[] = {
    TRACE_FIELD(StartRecord, hrtimer, "void * hrtimer"),      TRACE_FIELD(StartRecord, function, "void * function"),
    TRACE_FIELD(StartRecord, expires, "s64 expires"),         TRACE_FIELD(StartRecord, soft_expires, "s64 softexpires"),
    TRACE_FIELD(StartRecord, mode, "enum hrtimer_mode mode"),
};

void print_start(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<StartRecord>(bytes);
    format_to(sink, "hrtimer={016x} function=", record.hrtimer);
    print_function(sink, record.function);
    // Deadlines are of the monotonic clock, and there is no other mode.
    format_to(sink, " expires={} softexpires={} mode=ABS", record.expires, record.soft_expires);
}

constexpr RecordEventInfo start_info = {
    .system = "timer",
    .name = "hrtimer_start",
    .fields = start_fields,
    .print_format = R"("hrtimer=%p function=%ps expires=%llu softexpires=%llu mode=%s", REC->hrtimer, )"
                    R"(REC->function, (unsigned long long) REC->expires, (unsigned long long) REC->softexpires, )"
                    R"(__print_symbolic(REC->mode, { 0, "ABS" }))",
    .print = print_start,
    .size = sizeof(StartRecord),
    .switch_source = switch_tracepoint<core::tracepoints::timer_start>,
};
constinit RecordEvent start_event(start_info);

void on_start(const core::Timer& timer, u64 deadline_ns) {
    if (!start_event.is_wanted()) return;
    const i64 deadline = static_cast<i64>(deadline_ns);
    StartRecord record{.head = {},
                       .hrtimer = address_of(timer),
                       .function = function_of(timer),
                       .expires = deadline,
                       .soft_expires = deadline,
                       .mode = 0};
    start_event.emit_record(record);
}

// ---- hrtimer_expire_entry ----

struct ExpireRecord {
    RecordHead head;
    u64 hrtimer;
    i64 now;
    u64 function;
};
constexpr EventField expire_fields[] = {
    TRACE_FIELD(ExpireRecord, hrtimer, "void * hrtimer"),
    TRACE_FIELD(ExpireRecord, now, "s64 now"),
    TRACE_FIELD(ExpireRecord, function, "void * function"),
};

void print_expire(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<ExpireRecord>(bytes);
    format_to(sink, "hrtimer={016x} function=", record.hrtimer);
    print_function(sink, record.function);
    format_to(sink, " now={}", record.now);
}

constexpr RecordEventInfo expire_info = {
    .system = "timer",
    .name = "hrtimer_expire_entry",
    .fields = expire_fields,
    .print_format = R"("hrtimer=%p function=%ps now=%llu", REC->hrtimer, REC->function, )"
                    R"((unsigned long long) REC->now)",
    .print = print_expire,
    .size = sizeof(ExpireRecord),
    .switch_source = switch_tracepoint<core::tracepoints::timer_expire_entry>,
};
constinit RecordEvent expire_event(expire_info);

void on_expire(const core::Timer& timer, u64 now_ns) {
    if (!expire_event.is_wanted()) return;
    ExpireRecord record{
        .head = {}, .hrtimer = address_of(timer), .now = static_cast<i64>(now_ns), .function = function_of(timer)};
    expire_event.emit_record(record);
}

// ---- hrtimer_expire_exit, hrtimer_cancel ----

struct TimerRecord {
    RecordHead head;
    u64 hrtimer;
};
constexpr EventField timer_fields[] = {
    TRACE_FIELD(TimerRecord, hrtimer, "void * hrtimer"),
};

void print_timer(TextSink sink, std::span<const u8> bytes) {
    format_to(sink, "hrtimer={016x}", record_of<TimerRecord>(bytes).hrtimer);
}

constexpr RecordEventInfo timer_info(std::string_view name, void (*switch_source)(bool)) {
    return {
        .system = "timer",
        .name = name,
        .fields = timer_fields,
        .print_format = R"("hrtimer=%p", REC->hrtimer)",
        .print = print_timer,
        .size = sizeof(TimerRecord),
        .switch_source = switch_source,
    };
}
constexpr RecordEventInfo expired_info =
    timer_info("hrtimer_expire_exit", switch_tracepoint<core::tracepoints::timer_expire_exit>);
constexpr RecordEventInfo cancel_info =
    timer_info("hrtimer_cancel", switch_tracepoint<core::tracepoints::timer_cancel>);
constinit RecordEvent expired_event(expired_info), cancel_event(cancel_info);

void on_expired(const core::Timer& timer) {
    if (!expired_event.is_wanted()) return;
    TimerRecord record{.head = {}, .hrtimer = address_of(timer)};
    expired_event.emit_record(record);
}

void on_cancel(const core::Timer& timer) {
    if (!cancel_event.is_wanted()) return;
    TimerRecord record{.head = {}, .hrtimer = address_of(timer)};
    cancel_event.emit_record(record);
}

// ---- the probes ----

constinit decltype(core::tracepoints::timer_start)::Probe start_probe{on_start};
constinit decltype(core::tracepoints::timer_cancel)::Probe cancel_probe{on_cancel};
constinit decltype(core::tracepoints::timer_expire_entry)::Probe expire_probe{on_expire};
constinit decltype(core::tracepoints::timer_expire_exit)::Probe expired_probe{on_expired};

} // namespace

Result<void> register_timer_events_locked() {
    core::tracepoints::timer_start.add(start_probe);
    core::tracepoints::timer_cancel.add(cancel_probe);
    core::tracepoints::timer_expire_entry.add(expire_probe);
    core::tracepoints::timer_expire_exit.add(expired_probe);
    for (RecordEvent* event : {&start_event, &expire_event, &expired_event, &cancel_event})
        TRY(register_event_locked(*event));
    return {};
}

} // namespace linnet::trace
