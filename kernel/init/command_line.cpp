// Splits the command line into words (double quotes protect blanks) and recognises ours.
#include "command_line.hpp"

#include <algorithm>
#include <core/log.hpp>
#include <core/panic.hpp>

namespace linnet::init {
namespace {

/// Takes the next word off `rest`, with the quotes that surround it or its value removed; empty at the end.
std::string_view next_word(std::string_view& rest) {
    while (!rest.empty() && (rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\n')) rest.remove_prefix(1);
    bool quoted = false;
    usize length = 0;
    for (; length < rest.size(); ++length) {
        char c = rest[length];
        if (c == '"') quoted = !quoted;
        if (!quoted && (c == ' ' || c == '\t' || c == '\n')) break;
    }
    std::string_view word = rest.substr(0, length);
    rest.remove_prefix(length);
    if (word.size() >= 2 && word.front() == '"' && word.back() == '"') word = word.substr(1, word.size() - 2);
    return word;
}

std::string_view unquote(std::string_view value) {
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') return value.substr(1, value.size() - 2);
    return value;
}

bool parse_number(std::string_view text, i64& out) {
    bool negative = !text.empty() && text[0] == '-';
    if (negative) text.remove_prefix(1);
    u64 value;
    if (!parse_size(text, value) || value > INT64_MAX) return false;
    out = negative ? -static_cast<i64>(value) : static_cast<i64>(value);
    return true;
}

/// Words without a value. False: not one of ours.
bool apply_flag(CommandLine& line, std::string_view word) {
    if (word == "quiet") return core::set_console_log_level(4), true;
    if (word == "debug") return core::set_console_log_level(10), true;
    if (word == "ignore_loglevel") return core::set_console_log_level(255), true;
    if (word == "ro") return line.root.is_read_only = true;
    if (word == "rw") return line.root.is_read_only = false, true;
    if (word == "rootwait") return line.root.waits = true;
    if (word == "nosmp") return line.max_cpus = 1, true;
    return word == "nokaslr";
}

/// Those that say where the root is. False: not one of them.
bool apply_root_value(RootOptions& root, std::string_view name, std::string_view value) {
    i64 number = 0;
    const bool is_number = parse_number(value, number) && number >= 0;
    if (name == "root") return root.device = value, true;
    if (name == "rootfstype") return root.types = value, true;
    if (name == "rootflags") return root.flags = value, true;
    if (name == "rootdelay" && is_number) return root.delay_seconds = number, true;
    if (name == "rootwait" && is_number) return root.wait_seconds = number, root.waits = true;
    return false;
}

/// NAME=VALUE words. False: not one of ours.
bool apply_value(CommandLine& line, std::string_view name, std::string_view value) {
    i64 number = 0;
    bool is_number = parse_number(value, number);
    if (name == "rdinit") return line.rdinit = value, line.rdinit_given = true;
    if (name == "init") return line.init = value, true;
    if (name == "console") return line.console = value, true;
    if (name == "linnet.fault") return line.planted_fault = value, true;
    if (name == "transparent_hugepage") return line.transparent_hugepage = value, true;
    if (name == "hugepages" && is_number) return line.huge_pages = number > 0 ? static_cast<u64>(number) : 0, true;
    if (name == "linnet.fail_allocations") return line.fail_allocations = value, true;
    if (name == "linnet.strace") return line.strace = value == "1", true;
    if (name == "loglevel" && is_number)
        return core::set_console_log_level(static_cast<u8>(std::clamp<i64>(number, 0, 255))), true;
    if (name == "panic" && is_number) return core::set_panic_timeout(number), true;
    if (name == "maxcpus" && is_number) return line.max_cpus = number > 0 ? static_cast<u64>(number) : 1, true;
    if (name == "mem") return parse_size(value, line.memory_limit);
    if (apply_root_value(line.root, name, value)) return true;
    return name == "earlycon" || name == "initrd" || name == "BOOT_IMAGE";
}

} // namespace

bool parse_size(std::string_view text, u64& out) {
    u64 value = 0;
    usize at = 0;
    unsigned base = 10;
    if (text.size() > 2 && text[0] == '0' && (text[1] | 32) == 'x') base = 16, at = 2;
    usize first = at;
    for (; at < text.size(); ++at) {
        char c = static_cast<char>(text[at] | 32);
        unsigned digit = c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
                         : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a' + 10)
                                                : 99;
        if (digit >= base) break;
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value)) return false;
    }
    if (at == first) return false;
    unsigned shift = 0;
    if (at < text.size()) {
        char suffix = static_cast<char>(text[at++] | 32);
        shift = suffix == 'k' ? 10 : suffix == 'm' ? 20 : suffix == 'g' ? 30 : 99;
    }
    if (at != text.size() || shift == 99 || (shift && value >> (64 - shift))) return false;
    out = value << shift;
    return true;
}

u64 early_memory_limit(std::string_view text) {
    u64 limit = ~u64{0};
    for (std::string_view word = next_word(text); !word.empty() && word != "--"; word = next_word(text))
        if (word.starts_with("mem=")) (void)parse_size(word.substr(4), limit);
    return limit;
}

void apply_early_words(std::string_view text) {
    i64 seconds = 0;
    for (std::string_view word = next_word(text); !word.empty() && word != "--"; word = next_word(text))
        if (word.starts_with("panic=") && parse_number(unquote(word.substr(6)), seconds))
            core::set_panic_timeout(seconds);
}

Result<CommandLine> CommandLine::parse(std::string_view text) {
    CommandLine line;
    for (std::string_view word = next_word(text); !word.empty(); word = next_word(text)) {
        if (word == "--") {
            for (word = next_word(text); !word.empty(); word = next_word(text)) TRY(line.init_arguments.try_push(word));
            break;
        }
        usize equals = word.find('=');
        if (equals == std::string_view::npos) {
            if (!apply_flag(line, word)) TRY(line.init_arguments.try_push(word));
            continue;
        }
        std::string_view name = word.substr(0, equals);
        if (apply_value(line, name, unquote(word.substr(equals + 1)))) continue;
        // Parameters of modules that aren't there: not for init either.
        if (name.find('.') == std::string_view::npos) TRY(line.environment.try_push(word));
    }
    return line;
}

} // namespace linnet::init
