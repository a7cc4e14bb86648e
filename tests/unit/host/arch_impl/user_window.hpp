// arch/user_window.hpp on the host: there is no user memory of others.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

inline void open_user_memory() {}
inline void close_user_memory() {}

template <typename T>
bool store_user(T* to, T value) {
    *to = value;
    return true;
}

template <typename T>
bool load_user(T& into, const T* from) {
    into = *from;
    return true;
}

} // namespace linnet::arch
