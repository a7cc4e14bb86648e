// Filter: which records of an event are wanted, in the language of events/*/filter (Linux's documentation, "Event
// Tracing", section 5).
#pragma once

#include <lib/array_list.hpp>
#include <lib/own_ptr.hpp>
#include <lib/result.hpp>
#include <span>
#include <string_view>

#include "event_field.hpp"

namespace linnet::trace {

/// What of a record does not stand in it.
struct FilterContext {
    u32 cpu = 0;
    std::string_view comm; // of the current thread
};

/// Why a text is no filter, and where.
struct FilterError {
    const char* message = nullptr;
    usize position = 0;
};

class Filter {
public:
    using FieldList = FunctionRef<void(FieldVisitor)>;
    static constexpr usize longest_text = 4096;

    /// EINVAL, with the reason; ENOMEM. `fields` visits the event's own ones.
    static Result<OwnPtr<Filter>> parse(std::string_view text, FieldList fields, FilterError& why);

    [[nodiscard]] bool matches(std::span<const u8> record, const FilterContext& context) const;
    /// As it was given.
    [[nodiscard]] std::string_view text() const { return text_.span_text(); }

private:
    friend class FilterParser;
    enum class Operator : u8 { Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual, And, Glob };
    enum class Source : u8 { Number, Text, LocatedText, Cpu, Comm };
    enum class Type : u8 { Any, All, Not, Predicate };
    static constexpr u32 none = ~0u;
    /// One of a tree: children hang on their parent by the first, and on one another.
    struct Node {
        Type type = Type::Predicate;
        u32 first_child = none;
        u32 next = none;
        Operator op = Operator::Equal;
        Source source = Source::Number;
        bool is_signed = false;
        u16 offset = 0, size = 0;
        u64 value = 0;
        u32 text_begin = 0, text_length = 0; // in text_
    };
    struct Text {
        OwnPtr<char[]> bytes;
        usize size = 0;
        [[nodiscard]] std::string_view span_text() const { return {bytes.get(), size}; }
    };

    [[nodiscard]] bool evaluate(u32 node, std::span<const u8> record, const FilterContext& context) const;
    [[nodiscard]] bool holds(const Node& node, std::span<const u8> record, const FilterContext& context) const;
    [[nodiscard]] bool holds_for_number(const Node& node, u64 value) const;

    Text text_;
    ArrayList<Node> nodes_;
    u32 root_ = none;
};

/// Whether the text is what the pattern describes: "*" is anything, "?" one character, "[a-c]" one of some.
bool matches_glob(std::string_view pattern, std::string_view text);

} // namespace linnet::trace
