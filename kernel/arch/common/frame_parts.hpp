// What the signal frames of all architectures have in common. Each wants an open UserWindow.
#pragma once

#include <abi/linux/signal.hpp>
#include <arch/user_window.hpp>

namespace linnet::arch {

/// siginfo, and zeros where Linux has no meaning yet.
[[gnu::always_inline]] inline bool store_signal_info(abi::user_siginfo_t* to, const abi::siginfo_t& info) {
    constexpr usize unused_words = sizeof(to->unused) / sizeof(u64);
    return store_user_object(&to->known, info) && clear_user_words<unused_words>(reinterpret_cast<u64*>(to->unused));
}

} // namespace linnet::arch
