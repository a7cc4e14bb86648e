// The events of ftrace itself: functions, what programs write into the trace, and stacks.
#include "ftrace_events.hpp"

#include <core/panic.hpp>

#include "function_tracer.hpp"
#include "record_events.hpp"
#include "trace_text.hpp"

namespace linnet::trace {

namespace {

/// An event that nobody can switch.
class OwnEvent : public TraceEvent {
public:
    constexpr OwnEvent(std::string_view called, u16 number, std::span<const EventField> fields, std::string_view format)
        : TraceEvent("ftrace", called), fields_(fields), format_(format) {
        id = number;
    }
    void visit_fields(FieldVisitor visit) const override {
        for (const EventField& field : fields_) visit(field);
    }
    void show_print_format(TextSink sink) const override { sink(format_); }
    void print(TextSink, std::span<const u8>) const override {}
    Result<void> connect_locked() override { return error(Errno::EINVAL); }
    void disconnect_locked() override {}
    [[nodiscard]] bool is_switchable() const override { return false; }

private:
    const std::span<const EventField> fields_;
    const std::string_view format_;
};

constexpr EventField function_fields[] = {
    {"unsigned long ip", offsetof(FunctionRecord, ip), sizeof(u64), false},
    {"unsigned long parent_ip", offsetof(FunctionRecord, parent_ip), sizeof(u64), false},
};
class FunctionEvent final : public OwnEvent {
public:
    constexpr FunctionEvent()
        : OwnEvent("function", function_id, function_fields,
                   R"(" %ps <-- %ps", (void *)REC->ip, (void *)REC->parent_ip)") {}
    void print_lines(TextSink sink, std::span<const u8> bytes) const override {
        if (bytes.size() < sizeof(FunctionRecord)) return;
        const auto record = record_of<FunctionRecord>(bytes);
        print_function(sink, record.ip);
        sink(" <-");
        print_function(sink, record.parent_ip);
        sink("\n");
    }
};
constinit FunctionEvent function_event;

constexpr EventField print_fields[] = {
    {"unsigned long ip", offsetof(PrintRecord, ip), sizeof(u64), false},
    {"char buf[]", sizeof(PrintRecord), 0, false},
};
class PrintEvent final : public OwnEvent {
public:
    constexpr PrintEvent() : OwnEvent("print", print_id, print_fields, R"("%ps: %s", (void *)REC->ip, REC->buf)") {}
    void print_lines(TextSink sink, std::span<const u8> bytes) const override {
        if (bytes.size() < sizeof(PrintRecord)) return;
        const auto record = record_of<PrintRecord>(bytes);
        print_function(sink, record.ip);
        sink(": ");
        const auto* text = reinterpret_cast<const char*>(bytes.data()) + sizeof record;
        const std::string_view line(text, strnlen(text, bytes.size() - sizeof record));
        sink(line);
        if (!line.ends_with('\n')) sink("\n");
    }
};
constinit PrintEvent print_event;

constexpr EventField raw_fields[] = {
    TRACE_FIELD(RawRecord, id, "unsigned int id"),
    {"char buf[]", sizeof(RawRecord), 0, false},
};
class RawEvent final : public OwnEvent {
public:
    constexpr RawEvent()
        : OwnEvent("raw_data", raw_data_id, raw_fields, R"("id:%04x %08x", REC->id, (int)REC->buf[0])") {}
    void print_lines(TextSink sink, std::span<const u8> bytes) const override {
        if (bytes.size() < sizeof(RawRecord)) return;
        format_to(sink, "# {x} buf:", record_of<RawRecord>(bytes).id);
        for (u8 byte : bytes.subspan(sizeof(RawRecord))) format_to(sink, " {02x}", byte);
        sink("\n");
    }
};
constinit RawEvent raw_event;

struct StackRecord {
    RecordHead head;
    i32 size;
    u32 unused;
};
constexpr EventField stack_fields[] = {
    TRACE_FIELD(StackRecord, size, "int size"),
    {"unsigned long caller[8]", sizeof(StackRecord), 8 * sizeof(u64), false},
};
class StackEvent final : public OwnEvent {
public:
    constexpr StackEvent()
        : OwnEvent("kernel_stack", kernel_stack_id, stack_fields,
                   R"("\t=> %ps\n\t=> %ps\n\t=> %ps\n" "\t=> %ps\n\t=> %ps\n\t=> %ps\n" "\t=> %ps\n\t=> %ps\n", )"
                   R"((void *)REC->caller[0], (void *)REC->caller[1], (void *)REC->caller[2], )"
                   R"((void *)REC->caller[3], (void *)REC->caller[4], (void *)REC->caller[5], )"
                   R"((void *)REC->caller[6], (void *)REC->caller[7])") {}
    void print_lines(TextSink sink, std::span<const u8> bytes) const override {
        sink("<stack trace>\n");
        for (usize at = sizeof(StackRecord); at + sizeof(u64) <= bytes.size(); at += sizeof(u64)) {
            u64 address;
            memcpy(&address, bytes.data() + at, sizeof address);
            sink(" => ");
            print_function(sink, address);
            sink("\n");
        }
    }
};
constinit StackEvent stack_event;

/// Hands over a record that begins with `head`; its text follows.
Result<usize> write_marker(std::span<u8> record, u16 id) {
    const bool irqs_were_on = arch::interrupts_enabled();
    const arch::InterruptState state = arch::save_and_disable_interrupts();
    const RecordHead head = make_head(id, irqs_were_on);
    memcpy(record.data(), &head, sizeof head);
    remember_thread(core::current_thread());
    write_record_here(record);
    arch::restore_interrupts(state);
    return record.size();
}

/// EBADF while nothing is recorded, EINVAL when nobody wants to.
Result<void> check_markers() {
    if (!tracer.is_on.load(std::memory_order_relaxed)) return error(Errno::EBADF);
    if (!has_option(option_markers)) return error(Errno::EINVAL);
    return {};
}

} // namespace

Result<usize> take_marker(vfs::IoBuffer& from, MarkerKind kind) {
    TRY(check_markers());
    const usize asked = from.remaining();
    const bool is_text = kind == MarkerKind::Text;
    const usize head = is_text ? sizeof(PrintRecord) : sizeof(RecordHead);
    if (!is_text && (asked < sizeof(u32) || asked > longest_marker)) return error(Errno::EINVAL);
    if (asked == 0) return 0;
    const usize size = std::min(asked, longest_marker);
    OwnPtr<u8[]> record(new (std::nothrow) u8[head + size + 2]);
    if (!record) return error(Errno::ENOMEM);
    if (TRY(from.copy_in({record.get() + head, size})) != size) return error(Errno::EFAULT);
    usize end = head + size;
    if (is_text) {
        if (record[end - 1] != '\n') record[end++] = '\n';
        record[end++] = 0;
        const PrintRecord print{.head = {}, .ip = reinterpret_cast<u64>(&tracing_mark_write)};
        memcpy(record.get(), &print, sizeof print);
    }
    (void)TRY(write_marker({record.get(), end}, is_text ? print_id : raw_data_id));
    return size;
}

} // namespace linnet::trace

/// The address of this function is what marks of programs are said to come from, so programs that read the trace find
/// Linux's name for it in /proc/kallsyms.
extern "C" [[gnu::noinline]] long tracing_mark_write(linnet::vfs::IoBuffer& from, linnet::trace::MarkerKind kind) {
    const auto written = linnet::trace::take_marker(from, kind);
    return written ? static_cast<long>(*written) : -static_cast<long>(written.error());
}

namespace linnet::trace {

Result<void> register_ftrace_events_locked() {
    TRY(register_event_locked(function_event));
    TRY(register_event_locked(print_event));
    TRY(register_event_locked(raw_event));
    return register_event_locked(stack_event);
}

} // namespace linnet::trace
