// The word of a futex: which memory it is, and looking at it and changing it where no fault can be served.
#pragma once

#include <arch/usercopy.hpp>
#include <mm/address_space.hpp>
#include <process/futex.hpp>

namespace linnet::process {

/// What tells a word from all others; EINVAL (misaligned), EFAULT.
Result<mm::MemoryIdentity> futex_key(VirtAddr address, FutexScope scope);

inline u32* futex_word(VirtAddr address) { return reinterpret_cast<u32*>(address.value); }

/// With locks held a word that isn't in memory reads as EFAULT; without, its page is brought in.
inline Result<u32> load_futex_word(VirtAddr address) {
    u32 value;
    if (arch::arch_load_user_u32(&value, futex_word(address)) != 0) return error(Errno::EFAULT);
    return value;
}

/// Exchanges the word if it is `expected`; what it was. EFAULT as above.
inline Result<u32> exchange_futex_word(VirtAddr address, u32 expected, u32 desired) {
    u32 observed;
    if (arch::arch_compare_exchange_user_u32(&observed, futex_word(address), expected, desired) != 0)
        return error(Errno::EFAULT);
    return observed;
}

/// Brings the word's page in, writable, without changing it. No spinlock is held.
inline Result<void> make_futex_word_writable(VirtAddr address) {
    const u32 value = TRY(load_futex_word(address));
    TRY(exchange_futex_word(address, value, value));
    return {};
}

} // namespace linnet::process
