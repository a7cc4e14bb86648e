// Taking lines apart that make and remove dynamic events.
#include "probe_command.hpp"

#include <algorithm>
#include <optional>

namespace linnet::trace {

namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Decimal, octal behind 0 or hexadecimal behind 0x, all of the text.
std::optional<u64> parse_number(std::string_view text) {
    unsigned base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        base = 16;
        text.remove_prefix(2);
    } else if (text.size() > 1 && text[0] == '0') {
        base = 8;
        text.remove_prefix(1);
    }
    if (text.empty()) return {};
    u64 value = 0;
    for (char c : text) {
        const unsigned digit = is_digit(c)            ? c - '0'
                               : c >= 'a' && c <= 'f' ? c - 'a' + 10
                               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                      : 99;
        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return {};
    }
    return value;
}

/// Behind a plus or a minus.
std::optional<i64> parse_offset(std::string_view text) {
    if (text.empty() || (text[0] != '+' && text[0] != '-')) return {};
    const auto number = parse_number(text.substr(1));
    if (!number || *number > u64{1} << 62) return {};
    return text[0] == '-' ? -static_cast<i64>(*number) : static_cast<i64>(*number);
}

class Parser {
public:
    Parser(std::string_view line, const CommandSyntax& syntax, ProbeCommand& command, CommandError& why)
        : line_(line), syntax_(syntax), command_(command), why_(why) {}
    Result<void> run();

private:
    std::unexpected<Errno> refuse(const char* message, std::string_view at, Errno code = Errno::EINVAL) {
        why_ = {.message = message, .position = at.data() ? static_cast<usize>(at.data() - line_.data()) : 0};
        return std::unexpected(code);
    }
    std::string_view next_word();
    Result<void> parse_head(std::string_view word);
    Result<void> parse_removed();
    Result<void> parse_event(std::string_view text);
    Result<void> parse_place(std::string_view word);
    Result<void> parse_kernel_place(std::string_view word);
    Result<void> parse_program_place(std::string_view word);
    Result<void> parse_argument(std::string_view word);
    Result<void> check_name(std::string_view name);
    Result<void> parse_fetch(std::string_view text, FetchArgument& to);
    Result<void> parse_source(std::string_view text, FetchArgument& to);
    Result<void> parse_variable(std::string_view text, FetchArgument& to);
    Result<void> parse_memory(std::string_view text, FetchArgument& to);
    Result<void> parse_immediate(std::string_view text, FetchArgument& to);
    Result<void> parse_type(std::string_view text, FetchArgument& to);
    Result<void> parse_bits(std::string_view text, FetchType& to);

    std::string_view line_;
    usize at_ = 0;
    const CommandSyntax& syntax_;
    ProbeCommand& command_;
    CommandError& why_;
};

std::string_view Parser::next_word() {
    while (at_ < line_.size() && is_blank(line_[at_])) ++at_;
    const usize begin = at_;
    // A text in quotes may have blanks.
    bool is_quoted = false;
    while (at_ < line_.size() && (is_quoted || !is_blank(line_[at_]))) {
        if (line_[at_] == '"' && at_ > begin && (is_quoted || line_[at_ - 1] == '\\')) is_quoted = !is_quoted;
        ++at_;
    }
    return line_.substr(begin, at_ - begin);
}

Result<void> Parser::parse_event(std::string_view text) {
    const usize slash = text.find_first_of("/.");
    if (slash != std::string_view::npos) {
        command_.group = text.substr(0, slash);
        if (command_.group.empty()) return refuse("Group name is not specified", text);
        if (command_.group.size() > longest_probe_name) return refuse("Group name is too long", command_.group);
        // As on Linux since 6.1, they may have hyphens.
        if (!is_probe_name(command_.group.substr(0, 1)) ||
            !std::all_of(command_.group.begin(), command_.group.end(),
                         [](char c) { return is_letter(c) || is_digit(c) || c == '-'; }))
            return refuse("Group name must follow the same rules as C identifiers", command_.group);
        text.remove_prefix(slash + 1);
    }
    command_.name = text;
    if (text.empty()) {
        if (command_.is_removal && command_.group.empty()) return refuse("Event name is not specified", text);
        return {};
    }
    if (text.size() > longest_probe_name) return refuse("Event name is too long", text);
    if (!is_probe_name(text)) return refuse("Event name must follow the same rules as C identifiers", text);
    return {};
}

Result<void> Parser::parse_head(std::string_view word) {
    const char kind = word[0];
    std::string_view rest = word.substr(1);
    const usize colon = rest.find(':');
    const std::string_view number = rest.substr(0, colon);
    if (kind == '-') {
        command_.is_removal = true;
        if (!number.empty() || colon == std::string_view::npos) return error(Errno::EINVAL);
        return parse_event(rest.substr(1));
    }
    if (kind != 'p' && kind != 'r') return error(Errno::EINVAL);
    command_.is_return = kind == 'r';
    if (!number.empty()) {
        const auto most = parse_number(number);
        if (kind == 'p') return refuse("Maxactive is not for kprobe", rest);
        if (syntax_.is_of_programs || !most) return refuse("Invalid maxactive number", rest);
        if (*most == 0 || *most > 4096)
            return refuse("Maxactive is too big", rest, *most ? Errno::E2BIG : Errno::EINVAL);
        command_.most_active = static_cast<u32>(*most);
    }
    if (colon == std::string_view::npos) return {};
    if (colon + 1 == rest.size()) return refuse("Event name is not specified", rest.substr(colon));
    return parse_event(rest.substr(colon + 1));
}

Result<void> Parser::parse_kernel_place(std::string_view word) {
    if (word.ends_with("%return")) {
        if (command_.is_return) return refuse("Invalid probed address or symbol", word);
        command_.is_return = true;
        word.remove_suffix(7);
    } else if (word.find('%') != std::string_view::npos) {
        return refuse("Invalid probed address suffix", word.substr(word.find('%')));
    }
    if (const auto address = parse_number(word)) {
        if (command_.is_return) return refuse("Return probe must be on function entry", word);
        command_.offset = *address;
        return {};
    }
    // A module stands before a single colon; names of C++ have pairs of them.
    for (usize i = 0; i < word.size(); ++i) {
        if (word[i] != ':') continue;
        if (i + 1 < word.size() && word[i + 1] == ':') {
            ++i;
            continue;
        }
        return refuse("Invalid probed address or symbol", word, Errno::ENOENT); // there are no modules
    }
    // The last plus that digits follow; operators of C++ have others.
    const usize plus = word.find_last_of('+');
    command_.target = word;
    if (plus != std::string_view::npos && plus != 0) {
        const auto offset = parse_number(word.substr(plus + 1));
        if (!offset || *offset > 0xffff'ffff) return refuse("Invalid probed address or symbol", word);
        command_.target = word.substr(0, plus);
        command_.offset = *offset;
    }
    if (command_.target.empty()) return refuse("Invalid probed address or symbol", word);
    return {};
}

Result<void> Parser::parse_program_place(std::string_view word) {
    const usize colon = word.find_last_of(':');
    if (colon == std::string_view::npos || word[0] != '/') return refuse("This must start with an absolute path", word);
    command_.target = word.substr(0, colon);
    std::string_view offset = word.substr(colon + 1);
    if (offset.ends_with("%return")) {
        command_.is_return = true;
        offset.remove_suffix(7);
    } else if (offset.find('%') != std::string_view::npos) {
        return refuse("Invalid probed address suffix", offset.substr(offset.find('%')));
    }
    if (offset.find('(') != std::string_view::npos) return refuse("Reference counters are not there", offset);
    const auto number = parse_number(offset);
    if (!number) return refuse("Invalid uprobe offset", offset);
    command_.offset = *number;
    return {};
}

Result<void> Parser::parse_place(std::string_view word) {
    if (word.empty()) return error(Errno::EINVAL);
    return syntax_.is_of_programs ? parse_program_place(word) : parse_kernel_place(word);
}

Result<void> Parser::check_name(std::string_view name) {
    constexpr std::string_view reserved[] = {"common_type", "common_flags", "common_preempt_count", "common_pid",
                                             "common_tgid", "__probe_ip",   "__probe_func",         "__probe_ret_ip"};
    if (name.empty()) return refuse("Argument name is not specified", name);
    if (name.size() > 32) return refuse("Argument name is too long", name);
    if (!is_probe_name(name)) return refuse("Argument name must follow the same rules as C identifiers", name);
    for (std::string_view other : reserved)
        if (name == other) return refuse("Argument name is already used", name);
    for (const FetchArgument& other : command_.arguments)
        if (name == other.name) return refuse("Argument name is already used", name);
    return {};
}

Result<void> Parser::parse_argument(std::string_view word) {
    if (command_.arguments.size() == most_probe_arguments) return refuse("Too many arguments", word, Errno::E2BIG);
    FetchArgument made;
    const usize equals = word.find('=');
    // In "\"a=b" it names nothing.
    if (equals != std::string_view::npos && word[0] != '\\') {
        made.name = word.substr(0, equals);
        made.text = word.substr(equals + 1);
        TRY(check_name(made.name));
    } else {
        made.text = word; // the event calls it argN
    }
    if (made.text.empty()) return refuse("No argument value", word);
    if (made.text.size() > longest_probe_text) return refuse("Argument expression is too long", made.text);
    TRY(parse_fetch(made.text, made));
    return command_.arguments.try_push(made);
}

Result<void> Parser::parse_fetch(std::string_view text, FetchArgument& to) {
    // The type stands behind the last single colon, but those of names of C++, which come in pairs, and of texts.
    usize colon = std::string_view::npos;
    const usize from = text.starts_with("\\\"") ? std::max(text.find_last_of('"'), usize{1}) : 0;
    for (usize i = from; i < text.size(); ++i) {
        if (text[i] != ':') continue;
        if (i + 1 < text.size() && text[i + 1] == ':')
            ++i;
        else
            colon = i;
    }
    const std::string_view type = colon == std::string_view::npos ? "" : text.substr(colon + 1);
    std::string_view value = text.substr(0, colon);
    // From the outside to the inside; the innermost is fetched first.
    while (!value.empty() && (value[0] == '+' || value[0] == '-')) {
        const usize open = value.find('(');
        if (open == std::string_view::npos) return refuse("No matching open parenthesis", value);
        if (value.back() != ')') return refuse("No matching close parenthesis", value);
        const bool is_user = value.size() > 1 && value[1] == 'u';
        const char sign = value[0];
        const auto offset = parse_number(value.substr(is_user ? 2 : 1, open - (is_user ? 2 : 1)));
        if (!offset || *offset > u64{1} << 62) return refuse("Invalid memory access offset", value);
        if (to.step_count == FetchArgument::most_steps) return refuse("Too many nested memory accesses", value);
        const i64 distance = sign == '-' ? -static_cast<i64>(*offset) : static_cast<i64>(*offset);
        to.steps[to.step_count++] = {.offset = distance, .is_user = is_user};
        value = value.substr(open + 1, value.size() - open - 2);
    }
    std::reverse(to.steps, to.steps + to.step_count);
    TRY(parse_source(value, to));
    if (colon == std::string_view::npos) {
        if (to.source == FetchArgument::Source::Comm || to.source == FetchArgument::Source::Text)
            to.type = {.kind = FetchType::Kind::String, .size = 4};
        return {};
    }
    return parse_type(type, to);
}

Result<void> Parser::parse_source(std::string_view text, FetchArgument& to) {
    if (text.empty()) return refuse("Invalid fetch argument", to.text);
    switch (text[0]) {
    case '%': {
        const int number = syntax_.register_number(text.substr(1));
        if (number < 0) return refuse("Invalid register name", text);
        to.source = FetchArgument::Source::Register;
        to.value = static_cast<u64>(number);
        return {};
    }
    case '$':
        return parse_variable(text, to);
    case '@':
        return parse_memory(text, to);
    case '\\':
        return parse_immediate(text, to);
    default:
        return refuse("Invalid fetch argument", text);
    }
}

Result<void> Parser::parse_variable(std::string_view text, FetchArgument& to) {
    using Source = FetchArgument::Source;
    const std::string_view name = text.substr(1);
    if (name == "retval") {
        if (!command_.is_return) return refuse("$retval is only for return probes", text);
        to.source = Source::Returned;
        return {};
    }
    if (name == "comm" || name == "COMM") return to.source = Source::Comm, Result<void>{};
    if (name == "stack") return to.source = Source::StackPointer, Result<void>{};
    if (name.starts_with("stack")) {
        const auto index = parse_number(name.substr(5));
        if (!index || *index > 1024) return refuse("Invalid stack number", text);
        to.source = Source::StackWord;
        to.value = *index;
        return {};
    }
    if (name.starts_with("arg") && !syntax_.is_of_programs && !command_.is_return && command_.offset == 0) {
        const auto index = parse_number(name.substr(3));
        const int number =
            index && *index >= 1 && *index <= 16 ? syntax_.argument_register(static_cast<unsigned>(*index) - 1) : -1;
        if (number < 0) return refuse("Invalid argument number", text);
        to.source = Source::Register;
        to.value = static_cast<u64>(number);
        return {};
    }
    return refuse("Invalid $-variable specified", text);
}

Result<void> Parser::parse_memory(std::string_view text, FetchArgument& to) {
    const std::string_view place = text.substr(1);
    to.source = FetchArgument::Source::Memory;
    // What is there is wanted, not where it is: the last step, or the one before the others, is a load.
    if (to.step_count == FetchArgument::most_steps) return refuse("Too many nested memory accesses", text);
    std::copy_backward(to.steps, to.steps + to.step_count, to.steps + to.step_count + 1);
    to.steps[0] = {};
    ++to.step_count;
    if (const auto address = parse_number(place)) {
        to.value = *address;
        if (syntax_.is_of_programs) to.steps[0].is_user = true;
        return {};
    }
    if (place.starts_with("+")) {
        const auto offset = parse_number(place.substr(1));
        if (!syntax_.is_of_programs) return refuse("File offset is not available with kprobe", text);
        if (!offset) return refuse("Invalid file offset value", text);
        to.source = FetchArgument::Source::FileMemory;
        to.value = *offset;
        to.steps[0].is_user = true;
        return {};
    }
    if (syntax_.is_of_programs) return refuse("Symbol is not available with uprobe", text);
    const usize sign = place.find_last_of("+-");
    to.symbol = place;
    if (sign != std::string_view::npos && sign != 0) {
        const auto offset = parse_offset(place.substr(sign));
        if (!offset) return refuse("Invalid memory address", text);
        to.symbol = place.substr(0, sign);
        to.value = static_cast<u64>(*offset);
    }
    return to.symbol.empty() ? Result<void>(refuse("Invalid memory address", text)) : Result<void>{};
}

Result<void> Parser::parse_immediate(std::string_view text, FetchArgument& to) {
    std::string_view value = text.substr(1);
    if (value.starts_with('"')) {
        if (value.size() < 2 || value.back() != '"') return refuse("Immediate string is not terminated", text);
        to.source = FetchArgument::Source::Text;
        to.literal = value.substr(1, value.size() - 2);
        return {};
    }
    to.source = FetchArgument::Source::Immediate;
    const bool is_signed = value.starts_with('-') || value.starts_with('+');
    const auto number = is_signed ? std::optional<u64>() : parse_number(value);
    const auto offset = is_signed ? parse_offset(value) : std::optional<i64>();
    if (!number && !offset) return refuse("Invalid immediate value", text);
    to.value = number ? *number : static_cast<u64>(*offset);
    return {};
}

/// bWIDTH@OFFSET/SIZE.
Result<void> Parser::parse_bits(std::string_view text, FetchType& to) {
    const usize at = text.find('@'), slash = text.find('/');
    if (at == std::string_view::npos || slash == std::string_view::npos || slash < at)
        return refuse("Invalid bitfield", text);
    const auto width = parse_number(text.substr(1, at - 1)), offset = parse_number(text.substr(at + 1, slash - at - 1)),
               size = parse_number(text.substr(slash + 1));
    const bool fits = width && offset && size && (*size == 8 || *size == 16 || *size == 32 || *size == 64) &&
                      *width > 0 && *width <= *size && *offset < *size && *width + *offset <= *size;
    if (!fits) return refuse("Invalid bitfield", text);
    to = {.kind = FetchType::Kind::Unsigned,
          .size = static_cast<u8>(*size / 8),
          .bit_size = static_cast<u8>(*width),
          .bit_offset = static_cast<u8>(*offset)};
    return {};
}

Result<void> Parser::parse_type(std::string_view text, FetchArgument& to) {
    using Kind = FetchType::Kind;
    using Source = FetchArgument::Source;
    std::string_view base = text;
    u8 count = 0;
    if (const usize open = text.find('['); open != std::string_view::npos) {
        if (text.back() != ']') return refuse("Array has no closing bracket", text);
        const auto number = parse_number(text.substr(open + 1, text.size() - open - 2));
        if (!number || *number == 0) return refuse("Invalid array size", text);
        if (*number > 64) return refuse("Array number is too big", text);
        count = static_cast<u8>(*number);
        base = text.substr(0, open);
    }
    constexpr struct {
        std::string_view name;
        FetchType type;
    } types[] = {
        {"u8", {Kind::Unsigned, 1}},        {"u16", {Kind::Unsigned, 2}},    {"u32", {Kind::Unsigned, 4}},
        {"u64", {Kind::Unsigned, 8}},       {"s8", {Kind::Signed, 1}},       {"s16", {Kind::Signed, 2}},
        {"s32", {Kind::Signed, 4}},         {"s64", {Kind::Signed, 8}},      {"x8", {Kind::Hexadecimal, 1}},
        {"x16", {Kind::Hexadecimal, 2}},    {"x32", {Kind::Hexadecimal, 4}}, {"x64", {Kind::Hexadecimal, 8}},
        {"char", {Kind::Character, 1}},     {"symbol", {Kind::Symbol, 8}},   {"string", {Kind::String, 4}},
        {"ustring", {Kind::UserString, 4}},
    };
    const auto* found = std::find_if(std::begin(types), std::end(types), [&](const auto& t) { return t.name == base; });
    if (found != std::end(types))
        to.type = found->type;
    else if (base.starts_with('b') && count == 0)
        TRY(parse_bits(base, to.type));
    else
        return refuse("Unknown type is specified", text);
    const bool is_literal = to.source == Source::Comm || to.source == Source::Text;
    if (is_literal && (to.type.kind != Kind::String || count))
        return refuse("$comm and immediate-string only accepts string type", text);
    if (to.type.is_text() && !is_literal && to.step_count == 0)
        return refuse("String type can accept only memory argument", text);
    if (to.type.is_text() && count) return refuse("Invalid array size", text);
    if (count && to.step_count == 0) return refuse("Array type can accept only memory argument", text);
    if (to.type.kind == Kind::Symbol && syntax_.is_of_programs) return refuse("Unknown type is specified", text);
    to.type.count = count;
    return {};
}

/// What the probe that goes was made of, as it is listed.
Result<void> Parser::parse_removed() {
    command_.target = next_word();
    for (std::string_view word = next_word(); !word.empty(); word = next_word()) {
        if (command_.arguments.size() == most_probe_arguments) return refuse("Too many arguments", word, Errno::E2BIG);
        FetchArgument listed;
        listed.text = word;
        TRY(command_.arguments.try_push(listed));
    }
    return {};
}

Result<void> Parser::run() {
    const std::string_view head = next_word();
    if (head.empty()) return error(Errno::EINVAL);
    TRY(parse_head(head));
    if (command_.is_removal) return parse_removed();
    TRY(parse_place(next_word()));
    for (std::string_view word = next_word(); !word.empty(); word = next_word()) TRY(parse_argument(word));
    return {};
}

} // namespace

bool is_probe_name(std::string_view name) {
    if (name.empty() || !is_letter(name[0])) return false;
    return std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || is_digit(c); });
}

Result<void> parse_probe_command(std::string_view line, const CommandSyntax& syntax, ProbeCommand& command,
                                 CommandError& why) {
    return Parser(line, syntax, command, why).run();
}

} // namespace linnet::trace
