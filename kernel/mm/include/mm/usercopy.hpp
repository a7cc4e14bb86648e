// The only way to user memory: typed pointers whose direction is in the type. Every copy checks the range, may fault
// pages in (so it may sleep: no spinlock held, no mmap lock held) and gives EFAULT for a bad pointer. All work on the
// current thread's address space.
#pragma once

#include <arch/usercopy.hpp>
#include <lib/address.hpp>
#include <lib/array_list.hpp>
#include <lib/result.hpp>
#include <span>
#include <string_view>
#include <type_traits>

namespace linnet::mm {

/// Copies whole ranges or fails with EFAULT; on failure part of the range may have been copied.
Result<void> copy_from_user(void* to, VirtAddr from, usize size);
Result<void> copy_to_user(VirtAddr to, const void* from, usize size);
Result<void> clear_user(VirtAddr to, usize size);
/// The number of bytes that could be copied before a fault; EFAULT when that is 0 and `size` isn't.
Result<usize> copy_from_user_partial(void* to, VirtAddr from, usize size);
Result<usize> copy_to_user_partial(VirtAddr to, const void* from, usize size);

enum class Direction : u8 { In, Out, InOut };
inline constexpr Direction In = Direction::In;
inline constexpr Direction Out = Direction::Out;
inline constexpr Direction InOut = Direction::InOut;

/// Points at a T, or an array of T, in user memory.
template <Direction D, typename T>
class UserPtr {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    using Value = T;
    static constexpr Direction direction = D;

    constexpr UserPtr() = default;
    constexpr explicit UserPtr(VirtAddr address) : address_(address) {}

    [[nodiscard]] constexpr VirtAddr address() const { return address_; }
    [[nodiscard]] constexpr bool is_null() const { return address_.value == 0; }
    constexpr explicit operator bool() const { return !is_null(); }
    /// Element `index` of the array it points at. Wraps like pointer arithmetic would; the copy then fails.
    [[nodiscard]] constexpr UserPtr element(usize index) const {
        return UserPtr(VirtAddr{address_.value + index * sizeof(T)});
    }

    [[nodiscard]] Result<T> copy_in() const
        requires(D != Direction::Out)
    {
        T value;
        TRY(copy_from_user(&value, address_, sizeof(T)));
        return value;
    }
    [[nodiscard]] Result<void> copy_in(std::span<T> values) const
        requires(D != Direction::Out)
    {
        return copy_from_user(values.data(), address_, values.size_bytes());
    }
    [[nodiscard]] Result<void> copy_out(const T& value) const
        requires(D != Direction::In)
    {
        return copy_to_user(address_, &value, sizeof(T));
    }
    [[nodiscard]] Result<void> copy_out(std::span<const T> values) const
        requires(D != Direction::In)
    {
        return copy_to_user(address_, values.data(), values.size_bytes());
    }

private:
    VirtAddr address_{};
};

/// A range of bytes in user memory.
class UserSpan {
public:
    constexpr UserSpan() = default;
    constexpr UserSpan(VirtAddr address, usize size) : address_(address), size_(size) {}
    [[nodiscard]] constexpr VirtAddr address() const { return address_; }
    [[nodiscard]] constexpr usize size() const { return size_; }
    [[nodiscard]] constexpr bool is_empty() const { return size_ == 0; }
    /// False when part of it lies outside the user half: EFAULT before anything is done.
    [[nodiscard]] constexpr bool is_user_range() const { return arch::is_user_range(address_, size_); }
    /// The part from `offset`, at most `length` bytes.
    [[nodiscard]] constexpr UserSpan sub(usize offset, usize length = ~usize{0}) const {
        if (offset > size_) offset = size_;
        return {address_ + offset, length < size_ - offset ? length : size_ - offset};
    }
    /// Fills `to` from the start of the range (which must be as long).
    [[nodiscard]] Result<void> copy_in(std::span<u8> to) const;
    [[nodiscard]] Result<void> copy_out(std::span<const u8> from) const;
    [[nodiscard]] Result<usize> copy_in_partial(std::span<u8> to) const;
    [[nodiscard]] Result<usize> copy_out_partial(std::span<const u8> from) const;

private:
    VirtAddr address_{};
    usize size_ = 0;
};

/// A string copied in from user memory; owns its bytes, which end in a NUL beyond view().
class OwnedString {
public:
    OwnedString() = default;
    [[nodiscard]] std::string_view view() const { return {bytes_.begin(), length_}; }
    operator std::string_view() const { return view(); }
    [[nodiscard]] const char* c_str() const { return bytes_.begin(); }
    [[nodiscard]] usize length() const { return length_; }
    [[nodiscard]] bool is_empty() const { return length_ == 0; }
    /// A copy of `text`.
    static Result<OwnedString> from(std::string_view text);

private:
    friend class UserString;
    ArrayList<char> bytes_;
    usize length_ = 0;
};

/// A NUL-terminated string in user memory.
class UserString {
public:
    constexpr UserString() = default;
    constexpr explicit UserString(VirtAddr address) : address_(address) {}
    [[nodiscard]] constexpr VirtAddr address() const { return address_; }
    [[nodiscard]] constexpr bool is_null() const { return address_.value == 0; }
    /// The string, at most `limit` bytes with its NUL: ENAMETOOLONG when it is longer.
    [[nodiscard]] Result<OwnedString> copy_in(usize limit = 4096) const;
    /// The same into a buffer of the caller's; the view lies in it, a NUL follows.
    [[nodiscard]] Result<std::string_view> copy_in(std::span<char> buffer) const;

private:
    VirtAddr address_{};
};

} // namespace linnet::mm
