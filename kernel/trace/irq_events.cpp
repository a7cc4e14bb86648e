// Events of the system "irq": handlers of devices' interrupts. There are no softirqs.
#include <core/tracepoints.hpp>

#include "record_events.hpp"

namespace linnet::trace {

namespace {

struct EntryRecord {
    static constexpr usize longest_name = 32;

    RecordHead head;
    i32 irq;
    u32 name; // where in the record, and its length above
};
constexpr EventField entry_fields[] = {
    TRACE_FIELD(EntryRecord, irq, "int irq"),
    {"__data_loc char[] name", offsetof(EntryRecord, name), sizeof(u32), false},
};

void print_entry(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<EntryRecord>(bytes);
    format_to(sink, "irq={} name={}", record.irq, located_text(bytes, record.name));
}

constexpr RecordEventInfo entry_info = {
    .system = "irq",
    .name = "irq_handler_entry",
    .fields = entry_fields,
    .print_format = R"("irq=%d name=%s", REC->irq, __get_str(name))",
    .print = print_entry,
    .size = sizeof(EntryRecord),
    .switch_source = switch_tracepoint<core::tracepoints::irq_entry>,
};
constinit RecordEvent entry_event(entry_info);

void on_entry(core::Irq irq, const char* device) {
    if (!entry_event.is_wanted()) return;
    const usize length = strnlen(device, EntryRecord::longest_name - 1);
    struct {
        EntryRecord fixed;
        char name[EntryRecord::longest_name];
    } record{};
    record.fixed.irq = static_cast<i32>(irq);
    record.fixed.name = static_cast<u32>(sizeof(EntryRecord) | (length + 1) << 16);
    memcpy(record.name, device, length);
    entry_event.emit({reinterpret_cast<u8*>(&record), sizeof(EntryRecord) + length + 1});
}

struct LeaveRecord {
    RecordHead head;
    i32 irq;
    i32 ret;
};
constexpr EventField leave_fields[] = {
    TRACE_FIELD(LeaveRecord, irq, "int irq"),
    TRACE_FIELD(LeaveRecord, ret, "int ret"),
};

void print_leave(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<LeaveRecord>(bytes);
    format_to(sink, "irq={} ret={}", record.irq, record.ret ? "handled" : "unhandled");
}

constexpr RecordEventInfo leave_info = {
    .system = "irq",
    .name = "irq_handler_exit",
    .fields = leave_fields,
    .print_format = R"("irq=%d ret=%s", REC->irq, REC->ret ? "handled" : "unhandled")",
    .print = print_leave,
    .size = sizeof(LeaveRecord),
    .switch_source = switch_tracepoint<core::tracepoints::irq_exit>,
};
constinit RecordEvent leave_event(leave_info);

void on_leave(core::Irq irq, bool handled) {
    if (!leave_event.is_wanted()) return;
    LeaveRecord record{.head = {}, .irq = static_cast<i32>(irq), .ret = handled ? 1 : 0};
    leave_event.emit_record(record);
}

constinit decltype(core::tracepoints::irq_entry)::Probe entry_probe{on_entry};
constinit decltype(core::tracepoints::irq_exit)::Probe leave_probe{on_leave};

} // namespace

Result<void> register_irq_events_locked() {
    core::tracepoints::irq_entry.add(entry_probe);
    core::tracepoints::irq_exit.add(leave_probe);
    TRY(register_event_locked(entry_event));
    return register_event_locked(leave_event);
}

} // namespace linnet::trace
