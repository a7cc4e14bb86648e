// Panic: prints the reason, the thread, a symbolised backtrace, and stops every CPU (or reboots after `panic=`).
#pragma once

#include <lib/format.hpp>

namespace linnet::core {

[[noreturn]] void panic_args(std::string_view format, std::span<const FormatArg> args);

template <typename... Args>
[[noreturn]] void panic(std::string_view format, const Args&... args) {
    const FormatArg reduced[sizeof...(Args) + 1] = {FormatArg::of(args)..., FormatArg{FormatArg::Kind::Text, 0, {}}};
    panic_args(format, std::span(reduced, sizeof...(Args)));
}

/// True once a panic has begun on some CPU.
bool is_panicking();
/// Seconds after which a panic reboots: 0 never, negative at once (kernel parameter panic=).
void set_panic_timeout(i64 seconds);

/// The function that contains `address`: name and offset; an empty name when there is none.
struct Symbol {
    std::string_view name;
    u64 offset = 0;
    bool is_on_hit_way = false, is_on_record_way = false; // lib/hit_way.hpp
};
Symbol find_symbol(uintptr_t address);
/// The functions in order of address, by number: `offset` from the start of the text. Beyond the last one nameless.
Symbol symbol_at(u64 number);
/// Where the kernel's code lies.
struct TextRange {
    uintptr_t begin, end;
};
TextRange kernel_text();

} // namespace linnet::core
