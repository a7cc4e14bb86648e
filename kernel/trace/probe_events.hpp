// Dynamic events: trace events that were made by a line in kprobe_events or uprobe_events, each with a probe for
// source.
//
// A record is a RecordHead, where it was (one address, of returns two), and the values that the line asks for, one
// behind the other without gaps; a text is a word that says where behind all of them it stands.
#pragma once

#include <probe/kernel_probe.hpp>
#include <probe/user_probe.hpp>

#include "event.hpp"
#include "probe_command.hpp"

namespace linnet::trace {

/// Where values come from while a probe is hit.
class FetchPlace {
public:
    explicit FetchPlace(arch::ProbeRegisters at) : registers(at) {}
    /// False: not all of it is there.
    virtual bool read_kernel(u64 address, std::span<u8> to) const = 0;
    virtual bool read_user(u64 address, std::span<u8> to) const = 0;
    /// The word so many words up the stack.
    virtual bool read_stack(u64 index, u64& value) const = 0;
    arch::ProbeRegisters registers;
    u64 file_begins = 0; // where the file's byte 0 would be mapped

protected:
    ~FetchPlace() = default;
};

/// A value that an event fetches; its names are parts of the event's own text.
struct ProbeValue {
    FetchArgument what;
    u16 offset = 0; // in the record
    u16 size = 0;
    std::string_view declaration;
};

class ProbeEvent : public TraceEvent {
public:
    /// Records that are longer are cut short: the last texts are empty.
    static constexpr usize longest_record = 2048, longest_fixed_part = 1536, longest_string = 255;

    void visit_fields(FieldVisitor visit) const override;
    void show_print_format(TextSink sink) const override;
    void print(TextSink sink, std::span<const u8> record) const override;

    /// As a line that makes it.
    virtual void show_command(TextSink sink) const = 0;
    /// A line of kprobe_profile or uprobe_profile.
    virtual void show_profile(TextSink sink) const = 0;
    [[nodiscard]] virtual bool is_of_programs() const = 0;

    ListNode node; // in the list of them

protected:
    /// The texts that an event is made of; it owns them.
    struct Texts {
        OwnPtr<char[]> storage;
        std::string_view group, name, target;
        ArrayList<ProbeValue> values;
        u16 fixed_size = 0;
    };
    static Result<Texts> make_texts(const ProbeCommand& command, std::string_view group, std::string_view name);

    ProbeEvent(Texts texts, bool is_return);
    /// Composes a record in the buffer, all but its head.
    std::span<u8> compose(std::span<u8> buffer, const FetchPlace& place, u64 where, u64 second) const;
    void show_values(TextSink sink) const;
    virtual void print_place(TextSink sink, u64 first, u64 second) const = 0;
    [[nodiscard]] usize head_size() const { return sizeof(RecordHead) + (is_return_ ? 2 : 1) * sizeof(u64); }

    Texts texts_;
    const bool is_return_;
    std::atomic<u64> hits_{0};
};

/// By the lines' parsers: makes the event that a command describes. trace_lock held.
Result<ProbeEvent*> make_kernel_event(ProbeCommand& command, CommandError& why);
Result<ProbeEvent*> make_user_event(ProbeCommand& command, CommandError& why);

/// Part of what `print` shows of a value.
void print_value(TextSink sink, const ProbeValue& value, std::span<const u8> record);

} // namespace linnet::trace
