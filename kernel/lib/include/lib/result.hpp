// Errors are values: Result<T>, TRY and MUST.
#pragma once

#include <abi/linux/errno.hpp>
#include <expected>
#include <utility>

namespace linnet {

/// A value or the Linux error number that says why there is none.
template <typename T>
using Result = std::expected<T, Errno>;

/// Shorthand for returning an error from a function whose type is any Result.
[[nodiscard]] constexpr std::unexpected<Errno> error(Errno code) { return std::unexpected<Errno>(code); }

/// Prints `what` and panics; defined by core (kernel) and by the host tests.
[[noreturn]] void must_failed(const char* expression, Errno code, const char* file, int line);

namespace detail {
template <typename T>
constexpr decltype(auto) take_value(T&& result) {
    if constexpr (requires { *std::forward<T>(result); }) return *std::forward<T>(result);
}
} // namespace detail

} // namespace linnet

/// The value of a Result, or return its error from the enclosing function.
#define TRY(expression)                                                                                                \
    ({                                                                                                                 \
        auto&& try_result_ = (expression);                                                                             \
        if (!try_result_.has_value()) [[unlikely]]                                                                     \
            return ::std::unexpected<::linnet::Errno>(try_result_.error());                                            \
        ::linnet::detail::take_value(::std::move(try_result_));                                                        \
    })

/// The value of a Result that cannot be an error; say in a comment why it can't.
#define MUST(expression)                                                                                               \
    ({                                                                                                                 \
        auto&& must_result_ = (expression);                                                                            \
        if (!must_result_.has_value()) [[unlikely]]                                                                    \
            ::linnet::must_failed(#expression, must_result_.error(), __FILE__, __LINE__);                              \
        ::linnet::detail::take_value(::std::move(must_result_));                                                       \
    })
