// The only way to user memory: typed pointers whose direction is in the type. Every copy checks the range, may fault
// pages in (so it may sleep: no spinlock held, no mmap lock held) and gives EFAULT for a bad pointer. All work on the
// current thread's address space.
#pragma once

#include <arch/user_window.hpp>
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

/// Small structures of whole words, which most calls take and give, go word by word; the loops of the copies above
/// would cost several times as much.
template <typename T>
inline constexpr bool is_copied_by_words = sizeof(T) % sizeof(u64) == 0 && sizeof(T) <= 4 * sizeof(u64);

template <typename T>
[[gnu::always_inline]] inline Result<void> copy_words_from_user(T& to, VirtAddr from) {
    if (from.value % sizeof(u64) != 0) [[unlikely]]
        return copy_from_user(&to, from, sizeof(T));
    if (!arch::is_user_range(from, sizeof(T))) return error(Errno::EFAULT);
    arch::UserWindow window;
    if (!arch::load_user_object(to, reinterpret_cast<const T*>(from.value))) return error(Errno::EFAULT);
    return {};
}
template <typename T>
[[gnu::always_inline]] inline Result<void> copy_words_to_user(VirtAddr to, const T& from) {
    if (to.value % sizeof(u64) != 0) [[unlikely]]
        return copy_to_user(to, &from, sizeof(T));
    if (!arch::is_user_range(to, sizeof(T))) return error(Errno::EFAULT);
    arch::UserWindow window;
    if (!arch::store_user_object(reinterpret_cast<T*>(to.value), from)) return error(Errno::EFAULT);
    return {};
}

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
        if constexpr (is_copied_by_words<T>)
            TRY(copy_words_from_user(value, address_));
        else
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
        if constexpr (is_copied_by_words<T>)
            return copy_words_to_user(address_, value);
        else
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
