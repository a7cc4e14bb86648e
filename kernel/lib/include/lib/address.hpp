// Strong types for addresses: a physical address can't be dereferenced, a user address is not a pointer.
#pragma once

#include <compare>
#include <lib/types.hpp>

namespace linnet {

/// A physical address, in bytes.
struct PhysAddr {
    u64 value = 0;
    constexpr auto operator<=>(const PhysAddr&) const = default;
    constexpr PhysAddr operator+(u64 offset) const { return {value + offset}; }
    constexpr PhysAddr operator-(u64 offset) const { return {value - offset}; }
    constexpr u64 operator-(PhysAddr other) const { return value - other.value; }
};

/// A virtual address, of user or kernel space, in bytes.
struct VirtAddr {
    u64 value = 0;
    constexpr auto operator<=>(const VirtAddr&) const = default;
    constexpr VirtAddr operator+(u64 offset) const { return {value + offset}; }
    constexpr VirtAddr operator-(u64 offset) const { return {value - offset}; }
    constexpr u64 operator-(VirtAddr other) const { return value - other.value; }
    constexpr VirtAddr& operator+=(u64 offset) { return value += offset, *this; }
};

} // namespace linnet
