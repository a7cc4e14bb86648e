// Fixed-width names and small arithmetic helpers used everywhere.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace linnet {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
using usize = std::size_t;
using isize = std::ptrdiff_t;

/// Rounds down to a multiple of `alignment`, a power of two.
template <std::integral T>
constexpr T align_down(T value, std::type_identity_t<T> alignment) {
    return value & ~(alignment - 1);
}
/// Rounds up to a multiple of `alignment`, a power of two; wraps when the result doesn't fit.
template <std::integral T>
constexpr T align_up(T value, std::type_identity_t<T> alignment) {
    return static_cast<T>((value + (alignment - 1)) & ~(alignment - 1));
}
template <std::integral T>
constexpr bool is_aligned(T value, std::type_identity_t<T> alignment) {
    return (value & (alignment - 1)) == 0;
}
/// Never wraps, whatever the sizes.
template <std::integral T>
constexpr T divide_up(T value, std::type_identity_t<T> by) {
    return static_cast<T>(value / by + (value % by != 0 ? 1 : 0));
}
static_assert(divide_up(7u, 8u) == 1 && divide_up(8u, 8u) == 1 && divide_up(9u, 8u) == 2 && divide_up(0u, 8u) == 0);
static_assert(divide_up(4096u, ~0u) == 1 && divide_up(~u64{0}, 4096) == u64{1} << 52);

} // namespace linnet
