// Structures of programs that grow with time: each side may know more of one than the other.
#pragma once

#include <mm/usercopy.hpp>

namespace linnet::syscalls {

/// Whether all of the program's bytes there are 0. EFAULT.
Result<bool> is_zero(VirtAddr address, u64 size);

/// A structure of which the program has `size` bytes: what an older one lacks is 0, what a newer one has beyond ours
/// has to be 0. EINVAL: shorter than `oldest`, its first version; E2BIG: larger than a page, or it asks for what we
/// don't know; EFAULT.
template <typename T>
Result<T> copy_in_growing(VirtAddr address, u64 size, usize oldest = sizeof(T)) {
    if (size < oldest) return error(Errno::EINVAL);
    if (size > arch::page_size) return error(Errno::E2BIG);
    if (size > sizeof(T) && !TRY(is_zero(address + sizeof(T), size - sizeof(T)))) return error(Errno::E2BIG);
    T value{};
    TRY(mm::copy_from_user(&value, address, size < sizeof(T) ? size : sizeof(T)));
    return value;
}

} // namespace linnet::syscalls
