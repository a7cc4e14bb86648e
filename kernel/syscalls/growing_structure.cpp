// Looking at what a newer program has in a structure.
#include "growing_structure.hpp"

#include <algorithm>

namespace linnet::syscalls {

Result<bool> is_zero(VirtAddr address, u64 size) {
    u8 bytes[64];
    for (u64 at = 0; at < size; at += sizeof bytes) {
        const usize piece = std::min<u64>(sizeof bytes, size - at);
        TRY(mm::copy_from_user(bytes, address + at, piece));
        if (std::ranges::any_of(bytes, bytes + piece, [](u8 byte) { return byte != 0; })) return false;
    }
    return true;
}

} // namespace linnet::syscalls
