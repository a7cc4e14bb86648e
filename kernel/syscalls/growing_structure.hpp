// Structures of programs that grow with time: each side may know more of one than the other.
#pragma once

#include <mm/usercopy.hpp>

namespace linnet::syscalls {

/// Whether all of the program's bytes there are 0. EFAULT.
Result<bool> is_zero(VirtAddr address, u64 size);

/// EINVAL: shorter than `oldest`, a structure's first version; E2BIG: larger than a page.
inline Result<void> check_growing_size(u64 size, usize oldest) {
    if (size < oldest) return error(Errno::EINVAL);
    if (size > arch::page_size) return error(Errno::E2BIG);
    return {};
}

/// A structure of which the program has `size` bytes: what an older one lacks is 0, what a newer one has beyond ours
/// has to be 0, else E2BIG. EFAULT; errors of check_growing_size().
template <typename T>
Result<T> copy_in_growing(VirtAddr address, u64 size, usize oldest = sizeof(T)) {
    TRY(check_growing_size(size, oldest));
    if (size > sizeof(T) && !TRY(is_zero(address + sizeof(T), size - sizeof(T)))) return error(Errno::E2BIG);
    T value{};
    TRY(mm::copy_from_user(&value, address, size < sizeof(T) ? size : sizeof(T)));
    return value;
}

/// The way back, the size checked: zeros follow what we know. EFAULT.
template <typename T>
Result<void> copy_out_growing(VirtAddr address, u64 size, const T& value) {
    TRY(mm::copy_to_user(address, &value, size < sizeof(T) ? size : sizeof(T)));
    return size > sizeof(T) ? mm::clear_user(address + sizeof(T), size - sizeof(T)) : Result<void>{};
}

} // namespace linnet::syscalls
