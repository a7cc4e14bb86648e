// The lines that make dynamic events (kprobe_events, uprobe_events of tracefs): Linux's documentation, "Kprobe-based
// Event Tracing" and "Uprobe-tracer". Needs nothing of the kernel: tests/unit parses good, bad and random lines.
#pragma once

#include <lib/array_list.hpp>
#include <lib/own_ptr.hpp>
#include <lib/result.hpp>
#include <string_view>

namespace linnet::trace {

inline constexpr usize longest_probe_name = 63, most_probe_arguments = 128, longest_probe_text = 512;

/// Why a line is refused; `position` is the column in it.
struct CommandError {
    const char* message = nullptr;
    usize position = 0;
};

/// The type of a fetched value.
struct FetchType {
    enum class Kind : u8 {
        Unsigned,
        Signed,
        Hexadecimal,
        Character,
        Symbol,
        String,
        UserString
    } kind = Kind::Hexadecimal;
    u8 size = 8;     // of one, in bytes; of a text, of the word that says where it is
    u8 bit_size = 0; // of a bit field; 0: none
    u8 bit_offset = 0;
    u8 count = 0; // of an array; 0: none
    [[nodiscard]] bool is_text() const { return kind == Kind::String || kind == Kind::UserString; }
};

/// What a probe fetches: a value from a source, memory it leads to, and how that is shown.
struct FetchArgument {
    enum class Source : u8 { Register, Returned, StackPointer, StackWord, Comm, Immediate, Text, Memory, FileMemory };
    static constexpr usize most_steps = 15;
    struct Step {
        i64 offset = 0;
        bool is_user = false;
    };

    std::string_view name;   // in the line
    std::string_view text;   // behind "name=": the type, too
    std::string_view symbol; // Memory: the value is an offset from it
    std::string_view literal;
    Source source = Source::Immediate;
    u64 value = 0; // register's number, index of the word, number, address
    u8 step_count = 0;
    Step steps[most_steps]; // in the order in which they are made
    FetchType type;
};

/// One line, taken apart. Everything is a part of the line. Of a removal, `target` is the whole word of the place, and
/// of the arguments there are only the texts, whole words too.
struct ProbeCommand {
    bool is_removal = false;
    bool is_return = false;
    u32 most_active = 0;
    std::string_view group, name; // empty: not given
    std::string_view target;      // function, or file
    u64 offset = 0;               // from it, or, without a target, the address
    ArrayList<FetchArgument> arguments;
};

/// What the two kinds of lines, and architectures, have different.
struct CommandSyntax {
    bool is_of_programs = false;
    /// The number that ProbeRegisters have for a register; negative: there is none.
    int (*register_number)(std::string_view name) = nullptr;
    /// The same for the n-th argument of a function, negative when it isn't in one.
    int (*argument_register)(unsigned number) = nullptr;
};

/// EINVAL, E2BIG, ENOMEM.
Result<void> parse_probe_command(std::string_view line, const CommandSyntax& syntax, ProbeCommand& command,
                                 CommandError& why);
/// Whether it may name an event, a group or an argument.
bool is_probe_name(std::string_view name);

} // namespace linnet::trace
