// RecordEvent: an event of a tracepoint in the kernel, whose record is a struct.
//
// An event is a struct that begins with a RecordHead, a table of its fields, a function that prints it, and a probe
// that composes it; see sched_events.cpp.
#pragma once

#include <cstddef>
#include <cstring>

#include "event.hpp"

namespace linnet::trace {

/// One line of a table of fields: `declared` is what C calls it, with the name.
#define TRACE_FIELD(record, member, declared)                                                                          \
    linnet::trace::EventField {                                                                                        \
        declared, offsetof(record, member), sizeof(record::member),                                                    \
            linnet::trace::is_signed_field<decltype(record::member)>                                                   \
    }
/// Arrays of char count as unsigned, as Linux has it.
template <typename T>
inline constexpr bool is_signed_field = std::is_signed_v<T> && !std::is_same_v<T, char>;

struct RecordEventInfo {
    std::string_view system, name;
    std::span<const EventField> fields;
    std::string_view print_format;
    void (*print)(TextSink sink, std::span<const u8> record); // the whole struct is there
    usize size = 0;                                           // of the struct, without texts that follow
    void (*switch_source)(bool on) = nullptr;
    i32 (*other_thread)(const u8* record) = nullptr;
};

class RecordEvent final : public TraceEvent {
public:
    constexpr explicit RecordEvent(const RecordEventInfo& info) : TraceEvent(info.system, info.name), info_(info) {}

    void visit_fields(FieldVisitor visit) const override {
        for (const EventField& field : info_.fields) visit(field);
    }
    void show_print_format(TextSink sink) const override { sink(info_.print_format); }
    void print(TextSink sink, std::span<const u8> record) const override {
        if (record.size() >= info_.size) info_.print(sink, record);
    }
    Result<void> connect_locked() override {
        info_.switch_source(true);
        return {};
    }
    void disconnect_locked() override { info_.switch_source(false); }
    [[nodiscard]] i32 other_thread(std::span<const u8> record) const override {
        return info_.other_thread ? info_.other_thread(record.data()) : -1;
    }

    template <typename Record>
    void emit_record(Record& record) {
        static_assert(std::is_trivially_copyable_v<Record>);
        emit({reinterpret_cast<u8*>(&record), sizeof record});
    }

private:
    const RecordEventInfo& info_;
};

/// RecordEventInfo::switch_source of one tracepoint.
template <auto& Point>
void switch_tracepoint(bool on) {
    if (on)
        Point.switch_on();
    else
        Point.switch_off();
}

/// The struct that a record is.
template <typename Record>
Record record_of(std::span<const u8> bytes) {
    Record record;
    memcpy(&record, bytes.data(), sizeof record);
    return record;
}

/// A text in a record that may lack its NUL.
template <usize Size>
std::string_view text_of(const char (&text)[Size]) {
    return {text, strnlen(text, Size)};
}

/// The text that a word of type __data_loc says; empty when that leads out of the record.
std::string_view located_text(std::span<const u8> record, u32 where);

/// Boot: events that are there from the beginning. ENOMEM. trace_lock held.
Result<void> register_sched_events_locked();
Result<void> register_signal_events_locked();
Result<void> register_irq_events_locked();
Result<void> register_exception_events_locked();
Result<void> register_timer_events_locked();
Result<void> register_task_events_locked();
Result<void> register_raw_syscall_events_locked();
Result<void> register_ftrace_events_locked();

} // namespace linnet::trace
