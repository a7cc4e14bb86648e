// Events of the system "signal".
#include <process/process.hpp>
#include <process/signal.hpp>
#include <process/tracepoints.hpp>

#include "record_events.hpp"
#include "tracer.hpp"

namespace linnet::trace {

using process::tracepoints::SignalResult;

namespace {

// ---- signal_generate ----

struct GenerateRecord {
    RecordHead head;
    i32 sig;
    i32 error;
    i32 code;
    char comm[16];
    i32 pid;
    i32 group;
    i32 result;
};
constexpr EventField generate_fields[] = {
    TRACE_FIELD(GenerateRecord, sig, "int sig"),       TRACE_FIELD(GenerateRecord, error, "int errno"),
    TRACE_FIELD(GenerateRecord, code, "int code"),     TRACE_FIELD(GenerateRecord, comm, "char comm[16]"),
    TRACE_FIELD(GenerateRecord, pid, "pid_t pid"),     TRACE_FIELD(GenerateRecord, group, "int group"),
    TRACE_FIELD(GenerateRecord, result, "int result"),
};

void print_generate(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<GenerateRecord>(bytes);
    format_to(sink, "sig={} errno={} code={} comm={} pid={} grp={} res={}", record.sig, record.error, record.code,
              text_of(record.comm), record.pid, record.group, record.result);
}

constexpr RecordEventInfo generate_info = {
    .system = "signal",
    .name = "signal_generate",
    .fields = generate_fields,
    .print_format = R"("sig=%d errno=%d code=%d comm=%s pid=%d grp=%d res=%d", REC->sig, REC->errno, REC->code, )"
                    R"(REC->comm, REC->pid, REC->group, REC->result)",
    .print = print_generate,
    .size = sizeof(GenerateRecord),
    .switch_source = switch_tracepoint<process::tracepoints::signal_generate>,
    .other_thread = [](const u8* record) { return reinterpret_cast<const GenerateRecord*>(record)->pid; },
};
constinit RecordEvent generate_event(generate_info);

void on_generate(process::Thread& thread, const abi::siginfo_t& info, bool is_group, SignalResult result) {
    if (!generate_event.is_wanted()) return;
    GenerateRecord record{};
    record.sig = info.si_signo;
    record.error = info.si_errno;
    record.code = info.si_code;
    copy_comm(thread, record.comm);
    record.pid = pid_of(thread);
    record.group = is_group ? 1 : 0;
    record.result = static_cast<i32>(result);
    generate_event.emit_record(record);
}

// ---- signal_deliver ----

struct DeliverRecord {
    RecordHead head;
    i32 sig;
    i32 error;
    i32 code;
    u32 unused;
    u64 sa_handler;
    u64 sa_flags;
};
constexpr EventField deliver_fields[] = {
    TRACE_FIELD(DeliverRecord, sig, "int sig"),
    TRACE_FIELD(DeliverRecord, error, "int errno"),
    TRACE_FIELD(DeliverRecord, code, "int code"),
    TRACE_FIELD(DeliverRecord, sa_handler, "unsigned long sa_handler"),
    TRACE_FIELD(DeliverRecord, sa_flags, "unsigned long sa_flags"),
};

void print_deliver(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<DeliverRecord>(bytes);
    format_to(sink, "sig={} errno={} code={} sa_handler={x} sa_flags={x}", record.sig, record.error, record.code,
              record.sa_handler, record.sa_flags);
}

constexpr RecordEventInfo deliver_info = {
    .system = "signal",
    .name = "signal_deliver",
    .fields = deliver_fields,
    .print_format = R"("sig=%d errno=%d code=%d sa_handler=%lx sa_flags=%lx", REC->sig, REC->errno, REC->code, )"
                    R"(REC->sa_handler, REC->sa_flags)",
    .print = print_deliver,
    .size = sizeof(DeliverRecord),
    .switch_source = switch_tracepoint<process::tracepoints::signal_deliver>,
};
constinit RecordEvent deliver_event(deliver_info);

void on_deliver(const abi::siginfo_t& info, const process::SignalAction& action) {
    if (!deliver_event.is_wanted()) return;
    DeliverRecord record{.head = {},
                         .sig = info.si_signo,
                         .error = info.si_errno,
                         .code = info.si_code,
                         .unused = 0,
                         .sa_handler = action.handler,
                         .sa_flags = action.flags};
    deliver_event.emit_record(record);
}

constinit decltype(process::tracepoints::signal_generate)::Probe generate_probe{on_generate};
constinit decltype(process::tracepoints::signal_deliver)::Probe deliver_probe{on_deliver};

} // namespace

Result<void> register_signal_events_locked() {
    process::tracepoints::signal_generate.add(generate_probe);
    process::tracepoints::signal_deliver.add(deliver_probe);
    TRY(register_event_locked(generate_event));
    return register_event_locked(deliver_event);
}

} // namespace linnet::trace
