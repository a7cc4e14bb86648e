// pkey_alloc(2), pkey_free(2): which keys a process has. What a key denies is each thread's own, in a register.
#include "space.hpp"

namespace linnet::mm {

Result<int> AddressSpace::allocate_protection_key(unsigned count) {
    core::WriteGuard guard(mmap_lock_);
    for (unsigned key = 1; key < count; ++key) {
        u16 bit = static_cast<u16>(1u << key);
        if (protection_keys_ & bit) continue;
        protection_keys_ |= bit;
        return static_cast<int>(key);
    }
    return error(Errno::ENOSPC);
}

/// Mappings that carry the key keep it (pkeys(7) warns of that).
Result<void> AddressSpace::free_protection_key(int key) {
    core::WriteGuard guard(mmap_lock_);
    if (!is_key_allocated(protection_keys_, key)) return error(Errno::EINVAL);
    protection_keys_ &= static_cast<u16>(~(1u << key));
    return {};
}

} // namespace linnet::mm
