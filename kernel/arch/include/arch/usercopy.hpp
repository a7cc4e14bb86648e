// Contract: raw copies between kernel and user memory, backed by the exception table.
//
// Implemented in assembly. A fault inside runs hooks::kernel_page_fault (which may resolve it and retry); if that
// fails, the exception table (section __ex_table: pairs of 32-bit place-relative offsets, fault address and fix-up
// address) makes the function return what is left. SMAP/PAN/SUM are opened only inside. Ranges have been checked to lie
// below user_address_end by the caller; page faults must be allowed (interrupts enabled, no spinlock held), except for
// the
// `_nofault` forms, which never sleep and fail on any page that isn't mapped.
#pragma once

#include <arch/page.hpp>

namespace linnet::arch {

/// Whether [address, +size) lies wholly in the user half.
constexpr bool is_user_range(VirtAddr address, usize size) {
    return address <= user_address_end && size <= user_address_end - address;
}

/// Once, on the boot CPU, before there are others: makes the search for those fix-ups fast.
void index_exception_table();

extern "C" {
/// Each returns the number of bytes NOT copied: 0 is success.
usize arch_copy_from_user(void* to, const void* from, usize size);
usize arch_copy_to_user(void* to, const void* from, usize size);
usize arch_clear_user(void* to, usize size);
/// Copies up to and including the NUL, at most `limit` bytes. Returns the string's length without NUL, `limit` when
/// there was no NUL within it, or -1 on a fault.
isize arch_copy_string_from_user(char* to, const char* from, usize limit);
/// Atomic 32-bit operations for futexes; 0 or -1 on a fault. `address` is 4-byte aligned.
int arch_load_user_u32(u32* value, const u32* address);
int arch_compare_exchange_user_u32(u32* observed, u32* address, u32 expected, u32 desired);
}

} // namespace linnet::arch
