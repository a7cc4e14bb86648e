// Filters: a parser by recursive descent, and what it has made run over a record. Nesting is limited, for both recurse.
#include "filter.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace linnet::trace {

namespace {

constexpr usize deepest_nesting = 12; // three frames each, in evaluate() on whatever stack an event comes up
constexpr usize most_nodes = 512;

constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_word(char c) { return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// One character against "[…]" at the head of the pattern, which becomes what is behind it.
bool matches_class(std::string_view& pattern, char c) {
    usize at = 1;
    const bool is_inverted = at < pattern.size() && pattern[at] == '!';
    if (is_inverted) ++at;
    bool found = false;
    for (bool first = true; at < pattern.size() && (first || pattern[at] != ']'); first = false) {
        const char low = pattern[at];
        char high = low;
        if (at + 2 < pattern.size() && pattern[at + 1] == '-' && pattern[at + 2] != ']') high = pattern[at += 2];
        found |= low <= c && c <= high;
        ++at;
    }
    pattern.remove_prefix(std::min(at + 1, pattern.size()));
    return found != is_inverted;
}

/// One character against what the pattern begins with.
bool matches_one(std::string_view& pattern, char c) {
    if (pattern[0] == '[' && pattern.find(']', 2) != std::string_view::npos) return matches_class(pattern, c);
    if (pattern[0] == '\\' && pattern.size() > 1)
        pattern.remove_prefix(1);
    else if (pattern[0] == '?')
        return pattern.remove_prefix(1), true;
    const bool same = pattern[0] == c;
    pattern.remove_prefix(1);
    return same;
}

} // namespace

bool matches_glob(std::string_view pattern, std::string_view text) {
    // Only the last "*" needs to be tried anew.
    std::string_view pattern_behind_star, text_behind_star;
    bool has_star = false;
    for (;;) {
        if (!pattern.empty() && pattern[0] == '*') {
            pattern.remove_prefix(1);
            pattern_behind_star = pattern;
            text_behind_star = text;
            has_star = true;
            continue;
        }
        if (text.empty()) {
            if (pattern.empty()) return true;
        } else if (!pattern.empty() && matches_one(pattern, text[0])) {
            text.remove_prefix(1);
            continue;
        }
        if (!has_star || text_behind_star.empty()) return false;
        text_behind_star.remove_prefix(1);
        pattern = pattern_behind_star;
        text = text_behind_star;
    }
}

// ---- parsing ----

class FilterParser {
public:
    FilterParser(Filter& filter, Filter::FieldList fields, FilterError& why)
        : filter_(filter), text_(filter.text()), fields_(fields), why_(why) {}

    Result<void> run() {
        filter_.root_ = TRY(any(0));
        skip_blanks();
        if (at_ < text_.size()) return fail("Too many ')'");
        return {};
    }

private:
    using Node = Filter::Node;
    using Operator = Filter::Operator;
    using Source = Filter::Source;
    using Type = Filter::Type;

    std::unexpected<Errno> fail(const char* message) {
        why_ = {message, at_ + 1};
        return error(Errno::EINVAL);
    }
    void skip_blanks() {
        while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
    }
    bool take(std::string_view token) {
        if (!text_.substr(at_).starts_with(token)) return false;
        at_ += token.size();
        return true;
    }
    Result<u32> add(Node node) {
        if (filter_.nodes_.size() == most_nodes) return fail("Too many predicates");
        TRY(filter_.nodes_.try_push(node));
        return static_cast<u32>(filter_.nodes_.size() - 1);
    }

    /// One or more of `part`, with that between.
    Result<u32> list(Type type, std::string_view between, Result<u32> (FilterParser::*part)(usize), usize depth) {
        const u32 first = TRY((this->*part)(depth));
        u32 last = first;
        while (skip_blanks(), take(between)) {
            const u32 more = TRY((this->*part)(depth));
            filter_.nodes_[last].next = more;
            last = more;
        }
        if (last == first) return first;
        return add({.type = type, .first_child = first});
    }
    Result<u32> any(usize depth) { return list(Type::Any, "||", &FilterParser::all, depth); }
    Result<u32> all(usize depth) { return list(Type::All, "&&", &FilterParser::factor, depth); }

    Result<u32> factor(usize depth) {
        skip_blanks();
        if (depth == deepest_nesting) return fail("Too many '('");
        if (take("!")) {
            const u32 inner = TRY(factor(depth + 1));
            return add({.type = Type::Not, .first_child = inner});
        }
        if (!take("(")) return predicate();
        const u32 inner = TRY(any(depth + 1));
        skip_blanks();
        if (!take(")")) return fail("Missing closing ')'");
        // A node of its own, for what is inside may be linked to others already.
        return add({.type = Type::All, .first_child = inner});
    }

    /// Kept out of factor(), whose frame there are many of.
    [[gnu::noinline]] Result<u32> predicate() {
        const usize begin = at_;
        while (at_ < text_.size() && is_word(text_[at_])) ++at_;
        if (at_ == begin) return fail(at_ == text_.size() ? "Missing field name and/or value" : "Invalid filter");
        Node node;
        if (!find_field(text_.substr(begin, at_ - begin), node)) return fail("Field not found");
        skip_blanks();
        const Result<void> done =
            node.source == Source::Number || node.source == Source::Cpu ? number(node) : text(node);
        TRY(done);
        return add(node);
    }

    bool find_field(std::string_view name, Node& node) {
        bool found = false;
        const auto look = [&](const EventField& field) {
            if (found || field.name() != name || field.kind() == EventField::Kind::Other) return;
            found = true;
            node.offset = field.offset;
            node.size = field.size;
            node.is_signed = field.is_signed;
            if (field.kind() == EventField::Kind::Text) node.source = Source::Text;
            if (field.kind() == EventField::Kind::LocatedText) node.source = Source::LocatedText;
        };
        fields_(look);
        for (const EventField& field : common_fields) look(field);
        if (found) return true;
        if (name == "cpu" || name == "CPU") return node.source = Source::Cpu, true;
        if (name == "comm" || name == "COMM") return node.source = Source::Comm, true;
        return false;
    }

    Result<void> comparison(Node& node) {
        static constexpr struct {
            std::string_view token;
            Operator op;
        } all_operators[] = {{"==", Operator::Equal},       {"!=", Operator::NotEqual},
                             {"<=", Operator::LessOrEqual}, {">=", Operator::GreaterOrEqual},
                             {"<", Operator::Less},         {">", Operator::Greater},
                             {"~", Operator::Glob}};
        for (const auto& each : all_operators)
            if (take(each.token)) return node.op = each.op, Result<void>{};
        // "&&" is none.
        if (!text_.substr(at_).starts_with("&&") && take("&")) return node.op = Operator::And, Result<void>{};
        return fail("Invalid operator");
    }

    Result<void> number(Node& node) {
        TRY(comparison(node));
        skip_blanks();
        if (node.op == Operator::Glob) return fail("Expecting string field");
        if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) return fail("Expecting numeric field");
        const bool is_negative = take("-");
        u64 base = 10;
        if (take("0x") || take("0X"))
            base = 16;
        else if (at_ + 1 < text_.size() && text_[at_] == '0' && is_digit(text_[at_ + 1]))
            base = 8;
        const usize begin = at_;
        u64 value = 0;
        for (; at_ < text_.size() && is_word(text_[at_]); ++at_) {
            const char lower = static_cast<char>(text_[at_] | 0x20);
            u64 digit = is_digit(text_[at_]) ? static_cast<u64>(text_[at_] - '0') : ~u64{0};
            if (base == 16 && lower >= 'a' && lower <= 'f') digit = static_cast<u64>(lower - 'a') + 10;
            if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
                __builtin_add_overflow(value, digit, &value))
                return fail("Invalid value (did you forget quotes)?");
        }
        if (at_ == begin) return fail("Invalid value (did you forget quotes)?");
        node.value = is_negative ? -value : value;
        return {};
    }

    Result<void> text(Node& node) {
        TRY(comparison(node));
        skip_blanks();
        if (node.op != Operator::Equal && node.op != Operator::NotEqual && node.op != Operator::Glob)
            return fail("Invalid operator");
        const char quote = at_ < text_.size() ? text_[at_] : 0;
        if (quote != '"' && quote != '\'') {
            const bool is_number = is_digit(quote) || quote == '-';
            return fail(is_number ? "Expecting string field" : "Invalid value (did you forget quotes)?");
        }
        const usize end = text_.find(quote, at_ + 1);
        if (end == std::string_view::npos) return fail("Missing closing quote");
        node.text_begin = static_cast<u32>(at_ + 1);
        node.text_length = static_cast<u32>(end - at_ - 1);
        if (node.text_length > 256) return fail("String too long");
        at_ = end + 1;
        return {};
    }

    Filter& filter_;
    const std::string_view text_;
    const Filter::FieldList fields_;
    FilterError& why_;
    usize at_ = 0;
};

Result<OwnPtr<Filter>> Filter::parse(std::string_view text, FieldList fields, FilterError& why) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    if (text.size() > longest_text) return error(Errno::EINVAL);
    OwnPtr<Filter> filter(new (std::nothrow) Filter);
    if (!filter) return error(Errno::ENOMEM);
    filter->text_.bytes = OwnPtr<char[]>(new (std::nothrow) char[text.size() + 1]);
    if (!filter->text_.bytes) return error(Errno::ENOMEM);
    std::copy(text.begin(), text.end(), filter->text_.bytes.get());
    filter->text_.size = text.size();
    FilterParser parser(*filter, fields, why);
    TRY(parser.run());
    return filter;
}

// ---- matching ----

bool Filter::matches(std::span<const u8> record, const FilterContext& context) const {
    return evaluate(root_, record, context);
}

bool Filter::evaluate(u32 number, std::span<const u8> record, const FilterContext& context) const {
    const Node& node = nodes_[number];
    switch (node.type) {
    case Type::Predicate:
        return holds(node, record, context);
    case Type::Not:
        return !evaluate(node.first_child, record, context);
    case Type::Any:
        for (u32 child = node.first_child; child != none; child = nodes_[child].next)
            if (evaluate(child, record, context)) return true;
        return false;
    case Type::All:
        for (u32 child = node.first_child; child != none; child = nodes_[child].next)
            if (!evaluate(child, record, context)) return false;
        return true;
    }
    return false;
}

/// Kept out of evaluate(), likewise.
[[gnu::noinline]] bool Filter::holds(const Node& node, std::span<const u8> record, const FilterContext& context) const {
    std::string_view found;
    const auto piece = [&](usize offset, usize size) {
        offset = std::min(offset, record.size());
        size = std::min(size, record.size() - offset);
        const auto* begin = reinterpret_cast<const char*>(record.data()) + offset;
        return std::string_view(begin, std::find(begin, begin + size, '\0'));
    };
    switch (node.source) {
    case Source::Cpu:
        return holds_for_number(node, context.cpu);
    case Source::Number: {
        u64 value = 0;
        if (usize{node.offset} + node.size > record.size()) return false;
        memcpy(&value, record.data() + node.offset, node.size);
        const u32 unused = 64 - 8 * node.size;
        if (node.is_signed && unused) value = static_cast<u64>(static_cast<i64>(value << unused) >> unused);
        return holds_for_number(node, value);
    }
    case Source::Text:
        found = piece(node.offset, node.size ? node.size : record.size());
        break;
    case Source::LocatedText: {
        u32 where = 0;
        if (node.offset + sizeof where > record.size()) return false;
        memcpy(&where, record.data() + node.offset, sizeof where);
        found = piece(where & 0xffff, where >> 16);
        break;
    }
    case Source::Comm:
        found = context.comm;
        break;
    }
    const std::string_view wanted = text().substr(node.text_begin, node.text_length);
    if (node.op == Operator::Glob) return matches_glob(wanted, found);
    return (found == wanted) == (node.op == Operator::Equal);
}

bool Filter::holds_for_number(const Node& node, u64 value) const {
    const auto order = [&](auto left, auto right) {
        switch (node.op) {
        case Operator::Less:
            return left < right;
        case Operator::LessOrEqual:
            return left <= right;
        case Operator::Greater:
            return left > right;
        default:
            return left >= right;
        }
    };
    // A field of four bytes or fewer is compared as far as it goes.
    const u64 mask = node.source == Source::Number && node.size < 8 ? (u64{1} << (8 * node.size)) - 1 : ~u64{0};
    switch (node.op) {
    case Operator::Equal:
        return ((value ^ node.value) & mask) == 0;
    case Operator::NotEqual:
        return ((value ^ node.value) & mask) != 0;
    case Operator::And:
        return (value & node.value & mask) != 0;
    default:
        return node.is_signed ? order(static_cast<i64>(value), static_cast<i64>(node.value)) : order(value, node.value);
    }
}

} // namespace linnet::trace
