// Events of the system "task": threads that come up and change their names.
#include <process/process.hpp>
#include <process/tracepoints.hpp>

#include "record_events.hpp"
#include "tracer.hpp"

namespace linnet::trace {

using process::Thread;

namespace {

i16 oom_score_adj_of(Thread& thread) {
    return static_cast<i16>(thread.process().oom_score_adj.load(std::memory_order_relaxed));
}

// ---- task_newtask ----

struct NewRecord {
    RecordHead head;
    i32 pid;
    char comm[16];
    u32 unused;
    u64 clone_flags;
    i16 oom_score_adj;
};
constexpr EventField new_fields[] = {
    TRACE_FIELD(NewRecord, pid, "pid_t pid"),
    TRACE_FIELD(NewRecord, comm, "char comm[16]"),
    TRACE_FIELD(NewRecord, clone_flags, "unsigned long clone_flags"),
    TRACE_FIELD(NewRecord, oom_score_adj, "short oom_score_adj"),
};

void print_new(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<NewRecord>(bytes);
    format_to(sink, "pid={} comm={} clone_flags={x} oom_score_adj={}", record.pid, text_of(record.comm),
              record.clone_flags, record.oom_score_adj);
}

constexpr RecordEventInfo new_info = {
    .system = "task",
    .name = "task_newtask",
    .fields = new_fields,
    .print_format = R"("pid=%d comm=%s clone_flags=%lx oom_score_adj=%hd", REC->pid, REC->comm, )"
                    R"(REC->clone_flags, REC->oom_score_adj)",
    .print = print_new,
    .size = sizeof(NewRecord),
    .switch_source = switch_tracepoint<process::tracepoints::new_task>,
};
constinit RecordEvent new_event(new_info);

void on_new(Thread& child, u64 clone_flags) {
    if (!new_event.is_wanted()) return;
    NewRecord record{};
    record.pid = pid_of(child);
    copy_comm(child, record.comm);
    record.clone_flags = clone_flags;
    record.oom_score_adj = oom_score_adj_of(child);
    new_event.emit_record(record);
}

// ---- task_rename ----

struct RenameRecord {
    RecordHead head;
    i32 pid;
    char old_comm[16];
    char new_comm[16];
    i16 oom_score_adj;
};
constexpr EventField rename_fields[] = {
    TRACE_FIELD(RenameRecord, pid, "pid_t pid"),
    TRACE_FIELD(RenameRecord, old_comm, "char oldcomm[16]"),
    TRACE_FIELD(RenameRecord, new_comm, "char newcomm[16]"),
    TRACE_FIELD(RenameRecord, oom_score_adj, "short oom_score_adj"),
};

void print_rename(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<RenameRecord>(bytes);
    format_to(sink, "pid={} oldcomm={} newcomm={} oom_score_adj={}", record.pid, text_of(record.old_comm),
              text_of(record.new_comm), record.oom_score_adj);
}

constexpr RecordEventInfo rename_info = {
    .system = "task",
    .name = "task_rename",
    .fields = rename_fields,
    .print_format = R"("pid=%d oldcomm=%s newcomm=%s oom_score_adj=%hd", REC->pid, REC->oldcomm, REC->newcomm, )"
                    R"(REC->oom_score_adj)",
    .print = print_rename,
    .size = sizeof(RenameRecord),
    .switch_source = switch_tracepoint<process::tracepoints::renaming>,
};
constinit RecordEvent rename_event(rename_info);

void on_renaming(Thread& thread, std::string_view name) {
    if (!rename_event.is_wanted()) return;
    RenameRecord record{};
    record.pid = pid_of(thread);
    copy_comm(thread, record.old_comm);
    name.substr(0, sizeof record.new_comm - 1).copy(record.new_comm, sizeof record.new_comm - 1);
    record.oom_score_adj = oom_score_adj_of(thread);
    rename_event.emit_record(record);
}

constinit decltype(process::tracepoints::new_task)::Probe new_probe{on_new};
constinit decltype(process::tracepoints::renaming)::Probe renaming_probe{on_renaming};

} // namespace

Result<void> register_task_events_locked() {
    process::tracepoints::new_task.add(new_probe);
    process::tracepoints::renaming.add(renaming_probe);
    TRY(register_event_locked(new_event));
    return register_event_locked(rename_event);
}

} // namespace linnet::trace
