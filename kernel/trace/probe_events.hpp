// Dynamic events: trace events that were made by lines in kprobe_events or uprobe_events, with a probe for each line.
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

/// What a command says, kept: the command's own texts are parts of a line that goes.
struct ProbeTexts {
    static Result<ProbeTexts> create(const ProbeCommand& command, std::string_view group, std::string_view name);

    OwnPtr<char[]> storage; // of all of the following
    std::string_view group, name, target;
    ArrayList<ProbeValue> values;
    u16 fixed_size = 0; // of a record, up to where texts begin
};

class ProbeEvent;

/// One probe of an event: a place, and where the event's values come from there.
class EventProbe {
public:
    /// Records that are longer are cut short: the last texts are empty.
    static constexpr usize longest_record = 2048, longest_fixed_part = 1536, longest_string = 255;

    virtual ~EventProbe() = default;
    EventProbe(const EventProbe&) = delete;

    /// Begins to record, and stops: afterwards nothing of it runs any more. It belongs to an event. trace_lock held.
    virtual Result<void> connect_locked() = 0;
    virtual void disconnect_locked() = 0;
    /// A line of kprobe_profile or uprobe_profile.
    virtual void show_profile(TextSink sink) const = 0;

    /// As a line that makes it.
    void show_command(TextSink sink) const;
    /// Whether a removal means it: all words of the listed line that the removal has are the same.
    [[nodiscard]] bool is_meant_by(const ProbeCommand& removal) const;
    [[nodiscard]] bool is_same_as(const EventProbe& other) const;
    [[nodiscard]] const ProbeTexts& texts() const { return texts_; }

    ProbeEvent* event = nullptr; // from when it is added to one
    ListNode node;               // in the event's list

protected:
    /// `object` and `offset` say where it is: of the kernel null and the address.
    EventProbe(ProbeTexts texts, bool is_return, const void* object, u64 offset)
        : texts_(std::move(texts)), is_return_(is_return), object_(object), offset_(offset) {}
    /// What its line begins with: p, or r and how many calls are followed.
    virtual void show_kind(TextSink sink) const { sink(is_return_ ? "r" : "p"); }
    /// What is behind the target in its line.
    virtual std::string_view place_suffix(std::span<char, 32> buffer) const = 0;
    /// Composes a record in the buffer, all but its head.
    std::span<u8> compose(std::span<u8> buffer, const FetchPlace& place, u64 where, u64 second) const;

    const ProbeTexts texts_;
    const bool is_return_;
    const void* const object_;
    const u64 offset_;
    std::atomic<u64> hits_{0};
};

/// An event that one line made, and its probes: that line's, and those of all later lines with its name.
class ProbeEvent final : public TraceEvent {
public:
    static Result<OwnPtr<ProbeEvent>> create(const ProbeCommand& command, std::string_view group, std::string_view name,
                                             bool is_of_programs);
    ~ProbeEvent() override;

    void visit_fields(FieldVisitor visit) const override;
    void show_print_format(TextSink sink) const override;
    void print(TextSink sink, std::span<const u8> record) const override;
    Result<void> connect_locked() override;
    void disconnect_locked() override;

    /// EEXIST: it records something else than the event, or one of the event's probes is the same.
    Result<void> check_fits_locked(const EventProbe& probe, const ProbeCommand& command, std::string_view line,
                                   CommandError& why);
    /// It records if the event is wanted. EINVAL and others: the place can't be probed.
    Result<void> add_probe_locked(OwnPtr<EventProbe> probe);
    /// Not the last one.
    void remove_probe_locked(EventProbe& probe);

    IntrusiveList<EventProbe, &EventProbe::node> probes; // trace_lock held
    ListNode node;                                       // in the list of such events
    const bool is_of_programs, is_return;

private:
    ProbeEvent(ProbeTexts texts, bool of_programs, bool of_returns)
        : TraceEvent(texts.group, texts.name), is_of_programs(of_programs), is_return(of_returns),
          texts_(std::move(texts)) {}

    const ProbeTexts texts_; // of the first probe's line; that one may be gone
};

/// By the lines' parsers: makes the probe that a command describes, with group and name. trace_lock held.
Result<OwnPtr<EventProbe>> make_kernel_probe(ProbeCommand& command, CommandError& why);
Result<OwnPtr<EventProbe>> make_user_probe(ProbeCommand& command, CommandError& why);

/// What is shown of where a record came up; `second` of returns: where to.
void print_kernel_place(TextSink sink, u64 first, u64 second, bool is_return);
void print_user_place(TextSink sink, u64 first, u64 second, bool is_return);

/// Part of what `print` shows of a value.
void print_value(TextSink sink, const ProbeValue& value, std::span<const u8> record);

} // namespace linnet::trace
