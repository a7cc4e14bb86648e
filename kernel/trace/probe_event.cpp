// What dynamic events of the kernel's and of programs' probes have in common: their texts and fields.
#include <algorithm>
#include <cstring>
#include <new>

#include "probe_events.hpp"

namespace linnet::trace {

namespace {

using Kind = FetchType::Kind;

/// Appends texts to a block; one that is too small only counts.
class Block {
public:
    explicit Block(std::span<char> to) : to_(to) {}
    std::string_view add(std::string_view text) {
        const usize begin = used_;
        if (used_ + text.size() <= to_.size()) std::copy(text.begin(), text.end(), to_.data() + used_);
        used_ += text.size();
        return used_ <= to_.size() ? std::string_view(to_.data() + begin, text.size()) : std::string_view();
    }
    [[nodiscard]] usize used() const { return used_; }

private:
    std::span<char> to_;
    usize used_ = 0;
};

/// What C calls the type of one.
std::string_view declared_type(const FetchType& type, std::span<char, 32> buffer) {
    if (type.is_text()) return "__data_loc char[]";
    if (type.kind == Kind::Character) return "char";
    return format_into(buffer, "{}{}", type.kind == Kind::Signed ? "s" : "u", type.size * 8);
}

std::string_view declare(const FetchArgument& what, std::span<char, 128> buffer) {
    char type[32];
    const std::string_view declared = declared_type(what.type, type);
    if (what.type.count) return format_into(buffer, "{} {}[{}]", declared, what.name, what.type.count);
    return format_into(buffer, "{} {}", declared, what.name);
}

constexpr EventField hit_fields[] = {{"unsigned long __probe_ip", sizeof(RecordHead), 8, false}};
constexpr EventField return_fields[] = {{"unsigned long __probe_func", sizeof(RecordHead), 8, false},
                                        {"unsigned long __probe_ret_ip", sizeof(RecordHead) + 8, 8, false}};

} // namespace

Result<ProbeTexts> ProbeTexts::create(const ProbeCommand& command, std::string_view group, std::string_view name) {
    ProbeTexts made;
    usize offset = sizeof(RecordHead) + (command.is_return ? 2 : 1) * sizeof(u64);
    TRY(made.values.try_reserve(command.arguments.size()));
    // First it is seen how much room they take.
    for (int pass = 0; pass < 2; ++pass) {
        Block block(made.storage ? std::span<char>(made.storage.get(), made.fixed_size) : std::span<char>());
        made.group = block.add(group);
        made.name = block.add(name);
        made.target = block.add(command.target);
        usize number = 0;
        for (const FetchArgument& argument : command.arguments.span()) {
            char usual[16], declaration[128];
            FetchArgument what = argument;
            ++number;
            if (what.name.empty()) what.name = format_into(usual, "arg{}", number);
            const std::string_view declared = block.add(declare(what, declaration));
            what.name = block.add(what.name);
            what.text = block.add(what.text);
            what.literal = block.add(what.literal);
            what.symbol = {};
            if (pass == 0) continue;
            const usize size = usize{what.type.size} * std::max<usize>(what.type.count, 1);
            MUST(made.values.try_push({.what = what,
                                       .offset = static_cast<u16>(offset),
                                       .size = static_cast<u16>(size),
                                       .declaration = declared})); // reserved
            offset += size;
            if (offset > EventProbe::longest_fixed_part) return error(Errno::E2BIG);
        }
        if (pass == 1) break;
        made.storage = OwnPtr<char[]>(new (std::nothrow) char[block.used()]);
        if (!made.storage) return error(Errno::ENOMEM);
        if (block.used() > 0xffff) return error(Errno::E2BIG);
        made.fixed_size = static_cast<u16>(block.used());
    }
    made.fixed_size = static_cast<u16>(offset);
    return made;
}

// ---- one probe ----

void EventProbe::show_command(TextSink sink) const {
    char suffix[32];
    show_kind(sink);
    format_to(sink, ":{}/{} {}{}", texts_.group, texts_.name, texts_.target, place_suffix(suffix));
    for (const ProbeValue& value : texts_.values.span()) format_to(sink, " {}={}", value.what.name, value.what.text);
    sink("\n");
}

bool EventProbe::is_meant_by(const ProbeCommand& removal) const {
    std::string_view place = removal.target;
    if (place.empty()) return true;
    char suffix[32];
    if (!place.starts_with(texts_.target)) return false;
    place.remove_prefix(texts_.target.size());
    if (place != place_suffix(suffix) || removal.arguments.size() > texts_.values.size()) return false;
    for (usize i = 0; i < removal.arguments.size(); ++i) {
        const std::string_view word = removal.arguments[i].text;
        const FetchArgument& mine = texts_.values[i].what;
        const usize name_size = mine.name.size();
        if (!word.starts_with(mine.name) || word.substr(name_size, 1) != "=" || word.substr(name_size + 1) != mine.text)
            return false;
    }
    return true;
}

bool EventProbe::is_same_as(const EventProbe& other) const {
    const auto same_value = [](const ProbeValue& a, const ProbeValue& b) {
        return a.what.name == b.what.name && a.what.text == b.what.text;
    };
    const auto &mine = texts_.values, &others = other.texts_.values;
    return is_return_ == other.is_return_ && object_ == other.object_ && offset_ == other.offset_ &&
           std::equal(mine.begin(), mine.end(), others.begin(), others.end(), same_value);
}

// ---- the event ----

Result<OwnPtr<ProbeEvent>> ProbeEvent::create(const ProbeCommand& command, std::string_view group,
                                              std::string_view name, bool is_of_programs) {
    ProbeTexts texts = TRY(ProbeTexts::create(command, group, name));
    auto* made = new (std::nothrow) ProbeEvent(std::move(texts), is_of_programs, command.is_return);
    if (!made) return error(Errno::ENOMEM);
    return OwnPtr<ProbeEvent>(made);
}

ProbeEvent::~ProbeEvent() {
    while (EventProbe* probe = probes.pop_front()) delete probe;
}

Result<void> ProbeEvent::connect_locked() {
    for (EventProbe& probe : probes) {
        const Result<void> connected = probe.connect_locked();
        if (connected) continue;
        for (EventProbe& earlier : probes) {
            if (&earlier == &probe) return connected;
            earlier.disconnect_locked();
        }
    }
    return {};
}

void ProbeEvent::disconnect_locked() {
    for (EventProbe& probe : probes) probe.disconnect_locked();
}

Result<void> ProbeEvent::check_fits_locked(const EventProbe& probe, const ProbeCommand& command, std::string_view line,
                                           CommandError& why) {
    if (command.is_return != is_return) {
        why = {.message = "Probe type is different from existing probe"};
        return error(Errno::EEXIST);
    }
    const std::span<const ProbeValue> mine = texts_.values.span(), fresh = probe.texts().values.span();
    const auto records_same = [](const ProbeValue& a, const ProbeValue& b) {
        const FetchType &of_a = a.what.type, &of_b = b.what.type;
        return a.what.name == b.what.name && of_a.kind == of_b.kind && of_a.size == of_b.size &&
               of_a.count == of_b.count;
    };
    const auto [differs, unlike] = std::mismatch(fresh.begin(), fresh.end(), mine.begin(), mine.end(), records_same);
    if (differs != fresh.end() || unlike != mine.end()) {
        const auto index = static_cast<usize>(differs - fresh.begin());
        why = {.message = "Argument type or name is different from existing probe", .position = line.size() + 1};
        if (index < command.arguments.size()) {
            const FetchArgument& argument = command.arguments[index];
            const std::string_view word = argument.name.empty() ? argument.text : argument.name;
            why.position = static_cast<usize>(word.data() - line.data());
        }
        return error(Errno::EEXIST);
    }
    for (const EventProbe& other : probes) {
        if (!other.is_same_as(probe)) continue;
        why = {.message = "There is already the exact same probe event"};
        return error(Errno::EEXIST);
    }
    return {};
}

Result<void> ProbeEvent::add_probe_locked(OwnPtr<EventProbe> probe) {
    probe->event = this;
    if (is_wanted()) TRY(probe->connect_locked());
    probes.push_back(*probe.release());
    return {};
}

void ProbeEvent::remove_probe_locked(EventProbe& probe) {
    if (is_wanted()) probe.disconnect_locked();
    probe.node.unlink();
    delete &probe;
}

void ProbeEvent::visit_fields(FieldVisitor visit) const {
    if (is_return)
        for (const EventField& field : return_fields) visit(field);
    else
        for (const EventField& field : hit_fields) visit(field);
    for (const ProbeValue& value : texts_.values.span())
        visit({value.declaration, value.offset, value.size, value.what.type.kind == Kind::Signed});
}

void ProbeEvent::print(TextSink sink, std::span<const u8> record) const {
    if (record.size() < texts_.fixed_size) return;
    u64 first, second = 0;
    std::memcpy(&first, record.data() + sizeof(RecordHead), sizeof first);
    if (is_return) std::memcpy(&second, record.data() + sizeof(RecordHead) + sizeof first, sizeof second);
    (is_of_programs ? print_user_place : print_kernel_place)(sink, first, second, is_return);
    for (const ProbeValue& value : texts_.values.span()) print_value(sink, value, record);
}

} // namespace linnet::trace
