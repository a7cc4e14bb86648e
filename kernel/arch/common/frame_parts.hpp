// What the signal frames of all architectures have in common. Each wants an open UserWindow.
#pragma once

#include <abi/linux/signal.hpp>
#include <arch/user_window.hpp>

/// For functions that name user memory by the structure that should lie there: a program may have put its stack pointer
/// anywhere, and the accesses of a window take any address.
#define LINNET_TRUSTS_NO_ADDRESS [[clang::no_sanitize("alignment", "null")]]

namespace linnet::arch {

/// siginfo, and zeros where Linux has no meaning yet.
[[gnu::always_inline]] inline bool store_signal_info(abi::user_siginfo_t* to, const abi::siginfo_t& info) {
    constexpr usize unused_words = sizeof(to->unused) / sizeof(u64);
    return store_user_object(&to->known, info) && clear_user_words<unused_words>(reinterpret_cast<u64*>(to->unused));
}

} // namespace linnet::arch
