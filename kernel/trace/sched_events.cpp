// Events of the system "sched".
#include <core/tracepoints.hpp>
#include <process/process.hpp>
#include <process/tracepoints.hpp>

#include "record_events.hpp"
#include "tracer.hpp"

namespace linnet::trace {

using process::Thread;

namespace {

// ---- sched_switch ----

struct SwitchRecord {
    RecordHead head;
    char prev_comm[16];
    i32 prev_pid;
    i32 prev_prio;
    i64 prev_state;
    char next_comm[16];
    i32 next_pid;
    i32 next_prio;
};
constexpr EventField switch_fields[] = {
    TRACE_FIELD(SwitchRecord, prev_comm, "char prev_comm[16]"),
    TRACE_FIELD(SwitchRecord, prev_pid, "pid_t prev_pid"),
    TRACE_FIELD(SwitchRecord, prev_prio, "int prev_prio"),
    TRACE_FIELD(SwitchRecord, prev_state, "long prev_state"),
    TRACE_FIELD(SwitchRecord, next_comm, "char next_comm[16]"),
    TRACE_FIELD(SwitchRecord, next_pid, "pid_t next_pid"),
    TRACE_FIELD(SwitchRecord, next_prio, "int next_prio"),
};

/// Why a thread leaves the CPU, in the numbers of the format.
constexpr i64 state_sleeping = 0x01, state_deep = 0x02, state_stopped = 0x04, state_traced = 0x08, state_dead = 0x10,
              state_zombie = 0x20, state_preempted = 0x100, state_mask = 0xff;
constexpr struct {
    i64 bit;
    char letter;
} state_letters[] = {{0x01, 'S'}, {0x02, 'D'}, {0x04, 'T'}, {0x08, 't'},
                     {0x10, 'X'}, {0x20, 'Z'}, {0x40, 'P'}, {0x80, 'I'}};

i64 state_of(core::Thread& thread, bool is_preempted) {
    if (is_idle(thread)) return 0;
    if (is_preempted) return state_preempted;
    switch (thread.state.load(std::memory_order_relaxed)) {
    case core::ThreadState::Running:
        return 0;
    case core::ThreadState::Sleeping:
        return state_sleeping;
    case core::ThreadState::SleepingKillable:
    case core::ThreadState::SleepingDeep:
        return state_deep;
    case core::ThreadState::Stopped:
        return state_stopped;
    case core::ThreadState::Traced:
        return state_traced;
    case core::ThreadState::Dead:
        // The first thread of a process stays until somebody has waited for that.
        return thread.user_context && static_cast<Thread&>(thread).is_leader() ? state_zombie : state_dead;
    }
    return 0;
}

void print_switch(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<SwitchRecord>(bytes);
    format_to(sink, "prev_comm={} prev_pid={} prev_prio={} prev_state=", text_of(record.prev_comm), record.prev_pid,
              record.prev_prio);
    bool any = false;
    for (const auto& state : state_letters) {
        if (!(record.prev_state & state.bit)) continue;
        if (any) sink("|");
        any = true;
        sink({&state.letter, 1});
    }
    if (!(record.prev_state & state_mask)) sink("R");
    if (record.prev_state & state_preempted) sink("+");
    format_to(sink, " ==> next_comm={} next_pid={} next_prio={}", text_of(record.next_comm), record.next_pid,
              record.next_prio);
}

constexpr RecordEventInfo switch_info = {
    .system = "sched",
    .name = "sched_switch",
    .fields = switch_fields,
    .print_format =
        R"("prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s%s ==> next_comm=%s next_pid=%d next_prio=%d", )"
        R"(REC->prev_comm, REC->prev_pid, REC->prev_prio, (REC->prev_state & 0xff) ? )"
        R"(__print_flags(REC->prev_state & 0xff, "|", { 0x01, "S" }, { 0x02, "D" }, { 0x04, "T" }, { 0x08, "t" }, )"
        R"({ 0x10, "X" }, { 0x20, "Z" }, { 0x40, "P" }, { 0x80, "I" }) : "R", REC->prev_state & 0x100 ? "+" : "", )"
        R"(REC->next_comm, REC->next_pid, REC->next_prio)",
    .print = print_switch,
    .size = sizeof(SwitchRecord),
    .switch_source = switch_tracepoint<core::tracepoints::sched_switch>,
    .other_thread = [](const u8* record) { return reinterpret_cast<const SwitchRecord*>(record)->next_pid; },
};
constinit RecordEvent switch_event(switch_info);

void on_switch(core::Cpu&, core::Thread& previous, core::Thread& next, bool is_preempted) {
    if (!switch_event.is_wanted()) return;
    SwitchRecord record{};
    copy_comm(previous, record.prev_comm);
    record.prev_pid = pid_of(previous);
    record.prev_prio = priority_of(previous);
    record.prev_state = state_of(previous, is_preempted);
    copy_comm(next, record.next_comm);
    record.next_pid = pid_of(next);
    record.next_prio = priority_of(next);
    switch_event.emit_record(record);
}

// ---- sched_wakeup, sched_wakeup_new, sched_waking ----

struct WakeRecord {
    RecordHead head;
    char comm[16];
    i32 pid;
    i32 prio;
    i32 target_cpu;
};
constexpr EventField wake_fields[] = {
    TRACE_FIELD(WakeRecord, comm, "char comm[16]"),
    TRACE_FIELD(WakeRecord, pid, "pid_t pid"),
    TRACE_FIELD(WakeRecord, prio, "int prio"),
    TRACE_FIELD(WakeRecord, target_cpu, "int target_cpu"),
};

void print_wake(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<WakeRecord>(bytes);
    format_to(sink, "comm={} pid={} prio={} target_cpu={03}", text_of(record.comm), record.pid, record.prio,
              record.target_cpu);
}

constexpr RecordEventInfo wake_info(std::string_view name, void (*switch_source)(bool)) {
    return {
        .system = "sched",
        .name = name,
        .fields = wake_fields,
        .print_format = R"("comm=%s pid=%d prio=%d target_cpu=%03d", REC->comm, REC->pid, REC->prio, REC->target_cpu)",
        .print = print_wake,
        .size = sizeof(WakeRecord),
        .switch_source = switch_source,
        .other_thread = [](const u8* record) { return reinterpret_cast<const WakeRecord*>(record)->pid; },
    };
}
constexpr RecordEventInfo wakeup_info = wake_info("sched_wakeup", switch_tracepoint<core::tracepoints::sched_wakeup>);
constexpr RecordEventInfo wakeup_new_info =
    wake_info("sched_wakeup_new", switch_tracepoint<core::tracepoints::sched_wakeup_new>);
constexpr RecordEventInfo waking_info = wake_info("sched_waking", switch_tracepoint<core::tracepoints::sched_waking>);
constinit RecordEvent wakeup_event(wakeup_info), wakeup_new_event(wakeup_new_info), waking_event(waking_info);

void emit_wake(RecordEvent& event, core::Thread& thread, u32 cpu) {
    if (!event.is_wanted()) return;
    WakeRecord record{};
    copy_comm(thread, record.comm);
    record.pid = pid_of(thread);
    record.prio = priority_of(thread);
    record.target_cpu = static_cast<i32>(cpu);
    event.emit_record(record);
}

void on_wakeup(core::Thread& thread, u32 cpu) { emit_wake(wakeup_event, thread, cpu); }
void on_wakeup_new(core::Thread& thread, u32 cpu) { emit_wake(wakeup_new_event, thread, cpu); }
void on_waking(core::Thread& thread) { emit_wake(waking_event, thread, thread.last_cpu); }

// ---- sched_migrate_task ----

struct MigrateRecord {
    RecordHead head;
    char comm[16];
    i32 pid;
    i32 prio;
    i32 orig_cpu;
    i32 dest_cpu;
};
constexpr EventField migrate_fields[] = {
    TRACE_FIELD(MigrateRecord, comm, "char comm[16]"),    TRACE_FIELD(MigrateRecord, pid, "pid_t pid"),
    TRACE_FIELD(MigrateRecord, prio, "int prio"),         TRACE_FIELD(MigrateRecord, orig_cpu, "int orig_cpu"),
    TRACE_FIELD(MigrateRecord, dest_cpu, "int dest_cpu"),
};

void print_migrate(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<MigrateRecord>(bytes);
    format_to(sink, "comm={} pid={} prio={} orig_cpu={} dest_cpu={}", text_of(record.comm), record.pid, record.prio,
              record.orig_cpu, record.dest_cpu);
}

constexpr RecordEventInfo migrate_info = {
    .system = "sched",
    .name = "sched_migrate_task",
    .fields = migrate_fields,
    .print_format = R"("comm=%s pid=%d prio=%d orig_cpu=%d dest_cpu=%d", REC->comm, REC->pid, REC->prio, )"
                    R"(REC->orig_cpu, REC->dest_cpu)",
    .print = print_migrate,
    .size = sizeof(MigrateRecord),
    .switch_source = switch_tracepoint<core::tracepoints::sched_migrate>,
};
constinit RecordEvent migrate_event(migrate_info);

void on_migrate(core::Thread& thread, u32 from, u32 to) {
    if (!migrate_event.is_wanted()) return;
    MigrateRecord record{};
    copy_comm(thread, record.comm);
    record.pid = pid_of(thread);
    record.prio = priority_of(thread);
    record.orig_cpu = static_cast<i32>(from);
    record.dest_cpu = static_cast<i32>(to);
    migrate_event.emit_record(record);
}

// ---- sched_process_fork ----

struct ForkRecord {
    RecordHead head;
    char parent_comm[16];
    i32 parent_pid;
    char child_comm[16];
    i32 child_pid;
};
constexpr EventField fork_fields[] = {
    TRACE_FIELD(ForkRecord, parent_comm, "char parent_comm[16]"),
    TRACE_FIELD(ForkRecord, parent_pid, "pid_t parent_pid"),
    TRACE_FIELD(ForkRecord, child_comm, "char child_comm[16]"),
    TRACE_FIELD(ForkRecord, child_pid, "pid_t child_pid"),
};

void print_fork(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<ForkRecord>(bytes);
    format_to(sink, "comm={} pid={} child_comm={} child_pid={}", text_of(record.parent_comm), record.parent_pid,
              text_of(record.child_comm), record.child_pid);
}

constexpr RecordEventInfo fork_info = {
    .system = "sched",
    .name = "sched_process_fork",
    .fields = fork_fields,
    .print_format = R"("comm=%s pid=%d child_comm=%s child_pid=%d", REC->parent_comm, REC->parent_pid, )"
                    R"(REC->child_comm, REC->child_pid)",
    .print = print_fork,
    .size = sizeof(ForkRecord),
    .switch_source = switch_tracepoint<process::tracepoints::fork>,
    .other_thread = [](const u8* record) { return reinterpret_cast<const ForkRecord*>(record)->child_pid; },
};
constinit RecordEvent fork_event(fork_info);

void on_fork(Thread& parent, Thread& child) {
    if (!fork_event.is_wanted()) return;
    ForkRecord record{};
    copy_comm(parent, record.parent_comm);
    record.parent_pid = pid_of(parent);
    copy_comm(child, record.child_comm);
    record.child_pid = pid_of(child);
    fork_event.emit_record(record);
}

// ---- sched_process_exec ----

struct ExecRecord {
    static constexpr usize longest_name = 1024; // of the path; the rest is cut

    RecordHead head;
    u32 filename; // where in the record, and its length above
    i32 pid;
    i32 old_pid;
};
constexpr EventField exec_fields[] = {
    {"__data_loc char[] filename", offsetof(ExecRecord, filename), sizeof(u32), false},
    TRACE_FIELD(ExecRecord, pid, "pid_t pid"),
    TRACE_FIELD(ExecRecord, old_pid, "pid_t old_pid"),
};

void print_exec(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<ExecRecord>(bytes);
    format_to(sink, "filename={} pid={} old_pid={}", located_text(bytes, record.filename), record.pid, record.old_pid);
}

constexpr RecordEventInfo exec_info = {
    .system = "sched",
    .name = "sched_process_exec",
    .fields = exec_fields,
    .print_format = R"("filename=%s pid=%d old_pid=%d", __get_str(filename), REC->pid, REC->old_pid)",
    .print = print_exec,
    .size = sizeof(ExecRecord),
    .switch_source = switch_tracepoint<process::tracepoints::exec>,
};
constinit RecordEvent exec_event(exec_info);

void on_exec(Thread& thread, std::string_view path, process::Pid old_tid) {
    if (!exec_event.is_wanted()) return;
    path = path.substr(0, ExecRecord::longest_name - 1);
    const usize size = sizeof(ExecRecord) + path.size() + 1;
    OwnPtr<u8[]> bytes(new (std::nothrow) u8[size]);
    if (!bytes) return; // as on Linux
    const ExecRecord record{.head = {},
                            .filename = static_cast<u32>(sizeof record | (path.size() + 1) << 16),
                            .pid = pid_of(thread),
                            .old_pid = static_cast<i32>(old_tid)};
    memcpy(bytes.get(), &record, sizeof record);
    memcpy(bytes.get() + sizeof record, path.data(), path.size());
    bytes[size - 1] = 0;
    exec_event.emit({bytes.get(), size});
}

// ---- sched_process_exit, sched_process_free, sched_process_wait ----

struct ThreadRecord {
    RecordHead head;
    char comm[16];
    i32 pid;
    i32 prio;
};
constexpr EventField thread_fields[] = {
    TRACE_FIELD(ThreadRecord, comm, "char comm[16]"),
    TRACE_FIELD(ThreadRecord, pid, "pid_t pid"),
    TRACE_FIELD(ThreadRecord, prio, "int prio"),
};

void print_thread(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<ThreadRecord>(bytes);
    format_to(sink, "comm={} pid={} prio={}", text_of(record.comm), record.pid, record.prio);
}

constexpr RecordEventInfo thread_info(std::string_view name, void (*switch_source)(bool)) {
    return {
        .system = "sched",
        .name = name,
        .fields = thread_fields,
        .print_format = R"("comm=%s pid=%d prio=%d", REC->comm, REC->pid, REC->prio)",
        .print = print_thread,
        .size = sizeof(ThreadRecord),
        .switch_source = switch_source,
    };
}
constexpr RecordEventInfo exit_info = thread_info("sched_process_exit", switch_tracepoint<process::tracepoints::exit>);
constexpr RecordEventInfo wait_info = thread_info("sched_process_wait", switch_tracepoint<process::tracepoints::wait>);
constinit RecordEvent exit_event(exit_info), wait_event(wait_info);

void emit_thread(RecordEvent& event, Thread& thread, i32 pid) {
    if (!event.is_wanted()) return;
    ThreadRecord record{};
    copy_comm(thread, record.comm);
    record.pid = pid;
    record.prio = priority_of(thread);
    event.emit_record(record);
}

void on_exit(Thread& thread) { emit_thread(exit_event, thread, pid_of(thread)); }
void on_wait(process::Pid pid) { emit_thread(wait_event, process::current(), static_cast<i32>(pid)); }

// ---- the probes ----

constinit decltype(core::tracepoints::sched_switch)::Probe switch_probe{on_switch};
constinit decltype(core::tracepoints::sched_wakeup)::Probe wakeup_probe{on_wakeup}, wakeup_new_probe{on_wakeup_new};
constinit decltype(core::tracepoints::sched_waking)::Probe waking_probe{on_waking};
constinit decltype(core::tracepoints::sched_migrate)::Probe migrate_probe{on_migrate};
constinit decltype(process::tracepoints::fork)::Probe fork_probe{on_fork};
constinit decltype(process::tracepoints::exec)::Probe exec_probe{on_exec};
constinit decltype(process::tracepoints::exit)::Probe exit_probe{on_exit};
constinit decltype(process::tracepoints::wait)::Probe wait_probe{on_wait};

} // namespace

std::string_view located_text(std::span<const u8> record, u32 where) {
    const usize begin = std::min<usize>(where & 0xffff, record.size());
    const usize size = std::min<usize>(where >> 16, record.size() - begin);
    const auto* text = reinterpret_cast<const char*>(record.data()) + begin;
    return {text, strnlen(text, size)};
}

Result<void> register_sched_events_locked() {
    core::tracepoints::sched_switch.add(switch_probe);
    core::tracepoints::sched_wakeup.add(wakeup_probe);
    core::tracepoints::sched_wakeup_new.add(wakeup_new_probe);
    core::tracepoints::sched_waking.add(waking_probe);
    core::tracepoints::sched_migrate.add(migrate_probe);
    process::tracepoints::fork.add(fork_probe);
    process::tracepoints::exec.add(exec_probe);
    process::tracepoints::exit.add(exit_probe);
    process::tracepoints::wait.add(wait_probe);
    for (RecordEvent* event : {&switch_event, &wakeup_event, &wakeup_new_event, &waking_event, &migrate_event,
                               &fork_event, &exec_event, &exit_event, &wait_event})
        TRY(register_event_locked(*event));
    return {};
}

} // namespace linnet::trace
