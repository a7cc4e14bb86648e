// Events of the systems "raw_syscalls" and "syscalls". The first are two for all calls, the second two for each call of
// the table, with what it takes. Either makes every call look for tracers (process::watched_threads), and nothing else
// does: the way of calls that nobody watches knows nothing of events.
#include <process/ptrace.hpp>
#include <process/tracepoints.hpp>
#include <trace/tracing.hpp>

#include "record_events.hpp"
#include "syscall_arguments.hpp"

namespace linnet::trace {

using process::Thread;

namespace {

constexpr usize most_arguments = 6;

template <auto& Point>
void switch_calls(bool on) {
    switch_tracepoint<Point>(on);
    if (on)
        process::watched_threads.fetch_add(1);
    else
        process::watched_threads.fetch_sub(1);
}
void switch_entries(bool on) { switch_calls<process::tracepoints::sys_enter>(on); }
void switch_exits(bool on) { switch_calls<process::tracepoints::sys_exit>(on); }

// ---- raw_syscalls ----

struct EnterRecord {
    RecordHead head;
    i64 id;
    u64 args[most_arguments];
};
constexpr EventField enter_fields[] = {
    TRACE_FIELD(EnterRecord, id, "long id"),
    {"unsigned long args[6]", offsetof(EnterRecord, args), sizeof(EnterRecord::args), false},
};

void print_enter(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<EnterRecord>(bytes);
    format_to(sink, "NR {} ({x}, {x}, {x}, {x}, {x}, {x})", record.id, record.args[0], record.args[1], record.args[2],
              record.args[3], record.args[4], record.args[5]);
}

constexpr RecordEventInfo enter_info = {
    .system = "raw_syscalls",
    .name = "sys_enter",
    .fields = enter_fields,
    .print_format = R"f("NR %ld (%lx, %lx, %lx, %lx, %lx, %lx)", REC->id, REC->args[0], REC->args[1], )f"
                    R"f(REC->args[2], REC->args[3], REC->args[4], REC->args[5])f",
    .print = print_enter,
    .size = sizeof(EnterRecord),
    .switch_source = switch_entries,
};
constinit RecordEvent enter_event(enter_info);

struct ExitRecord {
    RecordHead head;
    i64 id;
    i64 ret;
};
constexpr EventField exit_fields[] = {TRACE_FIELD(ExitRecord, id, "long id"), TRACE_FIELD(ExitRecord, ret, "long ret")};

void print_exit(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<ExitRecord>(bytes);
    format_to(sink, "NR {} = {}", record.id, record.ret);
}

constexpr RecordEventInfo exit_info = {
    .system = "raw_syscalls",
    .name = "sys_exit",
    .fields = exit_fields,
    .print_format = R"("NR %ld = %ld", REC->id, REC->ret)",
    .print = print_exit,
    .size = sizeof(ExitRecord),
    .switch_source = switch_exits,
};
constinit RecordEvent exit_event(exit_info);

// ---- syscalls ----

constexpr EventField number_field = {"int __syscall_nr", sizeof(RecordHead), sizeof(i32), true};
/// Where the first of the arguments stands, or what the call returns.
constexpr u16 first_value = 16;

/// Calls `visit` with each argument's declaration.
void visit_arguments(std::string_view arguments, FunctionRef<void(std::string_view)> visit) {
    while (!arguments.empty()) {
        const usize end = std::min(arguments.find(", "), arguments.size());
        visit(arguments.substr(0, end));
        arguments.remove_prefix(std::min(end + 2, arguments.size()));
    }
}

class EnterEvent final : public TraceEvent {
public:
    EnterEvent(std::string_view name, std::string_view arguments)
        : TraceEvent("syscalls", name), arguments_(arguments) {
        visit_arguments(arguments_, [this](std::string_view) { ++count_; });
    }
    void visit_fields(FieldVisitor visit) const override {
        visit(number_field);
        u16 offset = first_value;
        visit_arguments(arguments_, [&](std::string_view declaration) {
            visit({declaration, offset, sizeof(u64), false});
            offset += sizeof(u64);
        });
    }
    void show_print_format(TextSink sink) const override {
        sink("\"");
        bool is_first = true;
        visit_arguments(arguments_, [&](std::string_view declaration) {
            format_to(sink, "{}{}: 0x%08lx", is_first ? "" : ", ", EventField{.declaration = declaration}.name());
            is_first = false;
        });
        sink("\"");
        visit_arguments(arguments_, [&](std::string_view declaration) {
            format_to(sink, ", ((unsigned long)(REC->{}))", EventField{.declaration = declaration}.name());
        });
    }
    void print(TextSink, std::span<const u8>) const override {}
    void print_lines(TextSink sink, std::span<const u8> record) const override {
        sink("sys_");
        sink(name.substr(std::string_view("sys_enter_").size()));
        sink("(");
        usize at = first_value;
        visit_arguments(arguments_, [&](std::string_view declaration) {
            u64 value = 0;
            if (at + sizeof value <= record.size()) memcpy(&value, record.data() + at, sizeof value);
            format_to(sink, "{}{}: {x}", at == first_value ? "" : ", ", EventField{.declaration = declaration}.name(),
                      value);
            at += sizeof value;
        });
        sink(")\n");
    }
    Result<void> connect_locked() override { return switch_entries(true), Result<void>{}; }
    void disconnect_locked() override { switch_entries(false); }

    void record(Thread& thread, long number) {
        struct {
            RecordHead head;
            i32 number;
            u32 unused = 0;
            u64 arguments[most_arguments];
        } record;
        record.number = static_cast<i32>(number);
        const usize count = std::min<usize>(count_, most_arguments);
        for (unsigned i = 0; i < count; ++i) record.arguments[i] = thread.registers.syscall_argument(i);
        emit({reinterpret_cast<u8*>(&record), first_value + count * sizeof(u64)});
    }

private:
    const std::string_view arguments_;
    usize count_ = 0;
};

class LeaveEvent final : public TraceEvent {
public:
    explicit LeaveEvent(std::string_view name) : TraceEvent("syscalls", name) {}
    void visit_fields(FieldVisitor visit) const override {
        visit(number_field);
        visit({"long ret", first_value, sizeof(i64), true});
    }
    void show_print_format(TextSink sink) const override { sink(R"("0x%lx", REC->ret)"); }
    void print(TextSink, std::span<const u8>) const override {}
    void print_lines(TextSink sink, std::span<const u8> record) const override {
        u64 value = 0;
        if (record.size() >= first_value + sizeof value) memcpy(&value, record.data() + first_value, sizeof value);
        format_to(sink, "sys_{} -> {#x}\n", name.substr(std::string_view("sys_exit_").size()), value);
    }
    Result<void> connect_locked() override { return switch_exits(true), Result<void>{}; }
    void disconnect_locked() override { switch_exits(false); }

    void record(long number, long result) {
        struct {
            RecordHead head;
            i32 number;
            u32 unused = 0;
            i64 result;
        } record{.head = {}, .number = static_cast<i32>(number), .result = result};
        emit({reinterpret_cast<u8*>(&record), sizeof record});
    }
};

/// By number; what isn't there is null.
constexpr usize most_calls = 512;
constinit EnterEvent* enter_events[most_calls] = {};
constinit LeaveEvent* leave_events[most_calls] = {};

void on_enter(Thread& thread, long number) {
    if (number < 0) return; // skipped by a tracer
    if (enter_event.is_wanted()) {
        EnterRecord record{.head = {}, .id = number, .args = {}};
        for (unsigned i = 0; i < most_arguments; ++i) record.args[i] = thread.registers.syscall_argument(i);
        enter_event.emit_record(record);
    }
    EnterEvent* own = static_cast<u64>(number) < most_calls ? enter_events[number] : nullptr;
    if (own && own->is_wanted()) own->record(thread, number);
}

void on_exit(Thread&, long number, long result) {
    if (number < 0) return;
    if (exit_event.is_wanted()) {
        ExitRecord record{.head = {}, .id = number, .ret = result};
        exit_event.emit_record(record);
    }
    LeaveEvent* own = static_cast<u64>(number) < most_calls ? leave_events[number] : nullptr;
    if (own && own->is_wanted()) own->record(number, result);
}

constinit decltype(process::tracepoints::sys_enter)::Probe enter_probe{on_enter};
constinit decltype(process::tracepoints::sys_exit)::Probe exit_probe{on_exit};

/// A name that stays.
Result<std::string_view> make_name(std::string_view prefix, std::string_view name) {
    char* text = new (std::nothrow) char[prefix.size() + name.size()];
    if (!text) return error(Errno::ENOMEM);
    std::copy(name.begin(), name.end(), std::copy(prefix.begin(), prefix.end(), text));
    return std::string_view(text, prefix.size() + name.size());
}

Result<void> add_call_locked(std::string_view called, long number) {
    if (number < 0 || static_cast<u64>(number) >= most_calls) return {};
    const SyscallArguments call = find_syscall_arguments(called);
    auto* enter = new (std::nothrow) EnterEvent(TRY(make_name("sys_enter_", call.name)), call.arguments);
    auto* leave = new (std::nothrow) LeaveEvent(TRY(make_name("sys_exit_", call.name)));
    if (!enter || !leave) return error(Errno::ENOMEM);
    TRY(register_event_locked(*leave));
    TRY(register_event_locked(*enter));
    enter_events[number] = enter;
    leave_events[number] = leave;
    return {};
}

} // namespace

Result<void> register_raw_syscall_events_locked() {
    process::tracepoints::sys_enter.add(enter_probe);
    process::tracepoints::sys_exit.add(exit_probe);
    TRY(register_event_locked(enter_event));
    return register_event_locked(exit_event);
}

Result<void> add_syscall_events(FunctionRef<void(FunctionRef<void(std::string_view, long)>)> visit_calls) {
    core::MutexGuard guard(trace_lock);
    Result<void> result{};
    visit_calls([&](std::string_view name, long number) {
        if (result) result = add_call_locked(name, number);
    });
    return result;
}

} // namespace linnet::trace
