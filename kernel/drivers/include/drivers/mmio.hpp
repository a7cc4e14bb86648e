// Access to memory-mapped device registers: volatile, of the register's own width, never torn or merged.
// Ordering against ordinary memory is the caller's business (arch barriers or atomics), except that device
// accesses stay in program order among themselves.
#pragma once

#include <lib/address.hpp>
#include <lib/types.hpp>

namespace linnet::drivers {

template <typename T>
T mmio_read(VirtAddr address) {
    return *reinterpret_cast<const volatile T*>(address.value);
}
template <typename T>
void mmio_write(VirtAddr address, T value) {
    *reinterpret_cast<volatile T*>(address.value) = value;
}

} // namespace linnet::drivers
