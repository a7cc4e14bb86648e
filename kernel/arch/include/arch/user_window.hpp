// Contract: words of user memory, read and written one by one by compiled code. For structures that would else be built
// first and copied then (signal frames); everything else takes mm/usercopy.hpp.
//
// <arch_impl/user_window.hpp> has `open_user_memory()`, `close_user_memory()`, and `store_user(to, value)` and
// `load_user(into, from)` of 4 or 8 bytes, which are false when there is no such memory. They may sleep in a page
// fault: no locks held. The caller has checked that the addresses are user space's (is_user_range).
#pragma once

#include <arch/usercopy.hpp>
#include <arch_impl/user_window.hpp>

namespace linnet::arch {

/// While one lives the kernel may touch user memory, by the functions here alone.
class UserWindow {
public:
    UserWindow() { open_user_memory(); }
    ~UserWindow() { close_user_memory(); }
    UserWindow(const UserWindow&) = delete;
    UserWindow& operator=(const UserWindow&) = delete;
};

/// `Count` words one after the other, without a loop.
template <usize Count>
[[gnu::always_inline]] inline bool store_user_words(u64* to, const u64* from) {
    if constexpr (Count == 0)
        return true;
    else
        return store_user(to, *from) && store_user_words<Count - 1>(to + 1, from + 1);
}
template <usize Count>
[[gnu::always_inline]] inline bool load_user_words(u64* to, const u64* from) {
    if constexpr (Count == 0)
        return true;
    else
        return load_user(*to, from) && load_user_words<Count - 1>(to + 1, from + 1);
}
template <usize Count>
[[gnu::always_inline]] inline bool clear_user_words(u64* to) {
    if constexpr (Count == 0)
        return true;
    else
        return store_user(to, u64{0}) && clear_user_words<Count - 1>(to + 1);
}

/// A structure of whole words.
template <typename T>
[[gnu::always_inline]] inline bool store_user_object(T* to, const T& value) {
    static_assert(sizeof(T) % sizeof(u64) == 0);
    return store_user_words<sizeof(T) / sizeof(u64)>(reinterpret_cast<u64*>(to), reinterpret_cast<const u64*>(&value));
}
template <typename T>
[[gnu::always_inline]] inline bool load_user_object(T& into, const T* from) {
    static_assert(sizeof(T) % sizeof(u64) == 0);
    return load_user_words<sizeof(T) / sizeof(u64)>(reinterpret_cast<u64*>(&into), reinterpret_cast<const u64*>(from));
}

} // namespace linnet::arch
