// The handlers that clang's UndefinedBehaviorSanitizer calls in sanitizer builds (-DLINNET_SANITIZE=ON). Each is a
// panic with the place: undefined behaviour in a kernel is a bug at its first occurrence.
#ifdef LINNET_SANITIZE

#include <core/panic.hpp>

namespace linnet::core {
namespace {

/// Where in the source: the first member of every report the compiler makes.
struct SourceLocation {
    const char* file;
    u32 line;
    u32 column;
};

[[noreturn]] void report(const char* what, const void* data) {
    const auto& place = *static_cast<const SourceLocation*>(data);
    panic("undefined behaviour: {} at {}:{}:{}", std::string_view(what),
          std::string_view(place.file ? place.file : "?"), place.line, place.column);
}

} // namespace
} // namespace linnet::core

// The names are the compiler's; every handler's first argument points at its data, which begins with the location.
#define HANDLER(name, what)                                                                                            \
    extern "C" void __ubsan_handle_##name(void* data, void*, void*);                                                   \
    extern "C" void __ubsan_handle_##name(void* data, void*, void*) { linnet::core::report(what, data); }

HANDLER(add_overflow, "signed addition overflows")
HANDLER(sub_overflow, "signed subtraction overflows")
HANDLER(mul_overflow, "signed multiplication overflows")
HANDLER(negate_overflow, "negation overflows")
HANDLER(divrem_overflow, "division by zero or overflow")
HANDLER(shift_out_of_bounds, "shift out of bounds")
HANDLER(out_of_bounds, "index out of bounds")
HANDLER(type_mismatch_v1, "null or misaligned pointer, or object too small")
HANDLER(alignment_assumption, "alignment assumption fails")
HANDLER(vla_bound_not_positive, "array length is not positive")
HANDLER(load_invalid_value, "invalid value of a bool or enum")
HANDLER(builtin_unreachable, "unreachable code reached")
HANDLER(missing_return, "end of a function without a return")
HANDLER(nonnull_arg, "null passed where that is forbidden")
HANDLER(nonnull_return_v1, "null returned where that is forbidden")
HANDLER(nullability_arg, "null passed where that is forbidden")
HANDLER(nullability_return_v1, "null returned where that is forbidden")
HANDLER(pointer_overflow, "pointer arithmetic overflows")
HANDLER(invalid_builtin, "invalid argument of a builtin")
HANDLER(float_cast_overflow, "floating-point cast overflows")
HANDLER(implicit_conversion, "implicit conversion changes the value")

#endif
