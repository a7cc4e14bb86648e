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

Result<ProbeEvent::Texts> ProbeEvent::make_texts(const ProbeCommand& command, std::string_view group,
                                                 std::string_view name) {
    Texts made;
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
            if (offset > longest_fixed_part) return error(Errno::E2BIG);
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

ProbeEvent::ProbeEvent(Texts texts, bool is_return)
    : TraceEvent(texts.group, texts.name), texts_(std::move(texts)), is_return_(is_return) {}

void ProbeEvent::visit_fields(FieldVisitor visit) const {
    if (is_return_)
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
    if (is_return_) std::memcpy(&second, record.data() + sizeof(RecordHead) + sizeof first, sizeof second);
    print_place(sink, first, second);
    for (const ProbeValue& value : texts_.values.span()) print_value(sink, value, record);
}

void ProbeEvent::show_values(TextSink sink) const {
    for (const ProbeValue& value : texts_.values.span()) format_to(sink, " {}={}", value.what.name, value.what.text);
    sink("\n");
}

} // namespace linnet::trace
