// EventField: where in an event's record something stands, and what it is; as events/*/format says it.
#pragma once

#include <lib/function_ref.hpp>
#include <lib/types.hpp>
#include <string_view>

namespace linnet::trace {

/// What every record begins with.
struct RecordHead {
    u16 type = 0;
    u8 flags = 0;
    u8 preempt_count = 0;
    i32 pid = 0;
};

struct EventField {
    std::string_view declaration; // as C declares it: "char comm[16]", "pid_t pid", "__data_loc char[] name"
    u16 offset = 0;               // in the record
    u16 size = 0;                 // of what stands there; 0: the rest of the record
    bool is_signed = false;

    enum class Kind : u8 {
        Number,
        Text,        // an array of characters, ended by a NUL if there is room for it
        LocatedText, // a word that says where in the record the text is, and how long (its upper half)
        Other,       // arrays of numbers and the like, which nothing is compared with
    };
    [[nodiscard]] constexpr std::string_view name() const {
        std::string_view rest = declaration;
        if (!rest.starts_with("__data_loc")) rest = rest.substr(0, rest.find('['));
        return rest.substr(rest.find_last_of(" *") + 1);
    }
    [[nodiscard]] constexpr Kind kind() const {
        if (declaration.starts_with("__data_loc char[]")) return Kind::LocatedText;
        const bool is_array = declaration.ends_with(']');
        if (is_array && declaration.starts_with("char ")) return Kind::Text;
        const bool is_number = !is_array && (size == 1 || size == 2 || size == 4 || size == 8);
        return is_number && !declaration.starts_with("__data_loc") ? Kind::Number : Kind::Other;
    }
};

using FieldVisitor = FunctionRef<void(const EventField&)>;

/// The fields of RecordHead.
inline constexpr EventField common_fields[] = {
    {"unsigned short common_type", 0, 2, false},
    {"unsigned char common_flags", 2, 1, false},
    {"unsigned char common_preempt_count", 3, 1, false},
    {"int common_pid", 4, 4, true},
};

} // namespace linnet::trace
