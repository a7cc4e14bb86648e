// A small text formatter for the log and the generated files of /proc and /sys.
//
// Placeholders: {} (by the argument's type), {x} hex, {#x} hex with 0x, and a width: {08x}, {5}, {-20} (left-aligned
// text). {{ and }} print braces. A wrong placeholder prints as itself; a missing argument prints `{?}`.
#pragma once

#include <lib/address.hpp>
#include <lib/function_ref.hpp>
#include <lib/types.hpp>
#include <span>
#include <string_view>
#include <type_traits>

namespace linnet {

/// Where formatted text goes.
using TextSink = FunctionRef<void(std::string_view)>;

/// One argument, reduced to what the formatter can print.
struct FormatArg {
    enum class Kind : u8 { Unsigned, Signed, Text, Char, Pointer } kind;
    u64 number = 0;
    std::string_view text;

    template <typename T>
    static FormatArg of(const T& value) {
        if constexpr (std::is_same_v<T, bool>)
            return {Kind::Text, 0, value ? "true" : "false"};
        else if constexpr (std::is_same_v<T, char>)
            return {Kind::Char, static_cast<u8>(value), {}};
        else if constexpr (std::is_same_v<T, PhysAddr> || std::is_same_v<T, VirtAddr>)
            return {Kind::Pointer, value.value, {}};
        else if constexpr (std::is_enum_v<T>)
            return of(static_cast<std::underlying_type_t<T>>(value));
        else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>)
            return {Kind::Signed, static_cast<u64>(static_cast<i64>(value)), {}};
        else if constexpr (std::is_integral_v<T>)
            return {Kind::Unsigned, value, {}};
        else if constexpr (std::is_convertible_v<const T&, std::string_view>)
            return {Kind::Text, 0, std::string_view(value)};
        else if constexpr (std::is_pointer_v<T>)
            return {Kind::Pointer, reinterpret_cast<u64>(value), {}};
        else
            static_assert(sizeof(T) == 0, "this type has no text form");
    }
};

/// Formats with the arguments already reduced; never fails, never allocates.
void format_args(TextSink sink, std::string_view format, std::span<const FormatArg> args);

template <typename... Args>
void format_to(TextSink sink, std::string_view format, const Args&... args) {
    const FormatArg reduced[sizeof...(Args) + 1] = {FormatArg::of(args)..., FormatArg{FormatArg::Kind::Text, 0, {}}};
    format_args(sink, format, std::span(reduced, sizeof...(Args)));
}

/// Formats into a fixed buffer, cutting what doesn't fit; returns the text written.
template <typename... Args>
std::string_view format_into(std::span<char> buffer, std::string_view format, const Args&... args) {
    usize used = 0;
    format_to(
        [&](std::string_view piece) {
            for (char c : piece)
                if (used < buffer.size()) buffer[used++] = c;
        },
        format, args...);
    return {buffer.data(), used};
}

} // namespace linnet
