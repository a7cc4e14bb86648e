// The formatter behind format_to: see lib/format.hpp for the placeholders.
#include <algorithm>
#include <lib/format.hpp>

namespace linnet {
namespace {

constexpr usize max_width = 255;

struct Spec {
    bool hex = false;
    bool prefix = false;
    bool zero_fill = false;
    bool left = false;
    usize width = 0;
};

Spec parse_spec(std::string_view text) {
    Spec spec;
    for (char c : text) {
        if (c == '#')
            spec.prefix = true;
        else if (c == '-')
            spec.left = true;
        else if (c == 'x')
            spec.hex = true;
        else if (c == '0' && spec.width == 0)
            spec.zero_fill = true;
        else if (c >= '0' && c <= '9')
            spec.width = std::min(spec.width * 10 + static_cast<usize>(c - '0'), max_width);
    }
    return spec;
}

void pad(TextSink sink, char fill, usize count) {
    for (; count > 0; --count) sink(std::string_view(&fill, 1));
}

void put_text(TextSink sink, std::string_view text, const Spec& spec) {
    usize missing = spec.width > text.size() ? spec.width - text.size() : 0;
    if (!spec.left) pad(sink, ' ', missing);
    sink(text);
    if (spec.left) pad(sink, ' ', missing);
}

void put_number(TextSink sink, u64 number, bool negative, const Spec& spec) {
    char digits[24];
    usize at = sizeof(digits);
    const unsigned base = spec.hex ? 16 : 10;
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    std::string_view text(digits + at, sizeof(digits) - at);
    if (spec.zero_fill) {
        usize signs = (negative ? 1 : 0) + (spec.prefix ? 2 : 0);
        if (negative) sink("-");
        if (spec.prefix) sink("0x");
        if (spec.width > text.size() + signs) pad(sink, '0', spec.width - text.size() - signs);
        return sink(text);
    }
    if (spec.prefix) digits[--at] = 'x', digits[--at] = '0';
    if (negative) digits[--at] = '-';
    put_text(sink, std::string_view(digits + at, sizeof(digits) - at), spec);
}

void put_argument(TextSink sink, const FormatArg& arg, Spec spec) {
    switch (arg.kind) {
    case FormatArg::Kind::Text:
        return put_text(sink, arg.text, spec);
    case FormatArg::Kind::Char: {
        char c = static_cast<char>(arg.number);
        return put_text(sink, std::string_view(&c, 1), spec);
    }
    case FormatArg::Kind::Pointer:
        spec.hex = spec.prefix = true;
        return put_number(sink, arg.number, false, spec);
    case FormatArg::Kind::Unsigned:
        return put_number(sink, arg.number, false, spec);
    case FormatArg::Kind::Signed: {
        bool negative = !spec.hex && static_cast<i64>(arg.number) < 0;
        return put_number(sink, negative ? 0 - arg.number : arg.number, negative, spec);
    }
    }
}

} // namespace

void format_args(TextSink sink, std::string_view format, std::span<const FormatArg> args) {
    usize next = 0;
    while (!format.empty()) {
        usize brace = format.find_first_of("{}");
        if (brace == std::string_view::npos) return sink(format);
        if (brace > 0) sink(format.substr(0, brace));
        format.remove_prefix(brace);
        if (format.size() > 1 && format[1] == format[0]) {
            sink(format.substr(0, 1));
            format.remove_prefix(2);
            continue;
        }
        usize close = format.find('}');
        if (format[0] != '{' || close == std::string_view::npos) return sink(format);
        if (next < args.size())
            put_argument(sink, args[next++], parse_spec(format.substr(1, close - 1)));
        else
            sink("{?}");
        format.remove_prefix(close + 1);
    }
}

} // namespace linnet
