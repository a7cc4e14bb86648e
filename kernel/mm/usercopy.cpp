// User copies: range checks, then the architecture's copy loops.
#include <arch/hooks.hpp>
#include <core/tracepoints.hpp>
#include <cstring>
#include <mm/address_space.hpp>
#include <mm/usercopy.hpp>

namespace linnet::mm {

namespace {
void* user_pointer(VirtAddr address) { return reinterpret_cast<void*>(address.value); }
} // namespace

Result<void> copy_from_user(void* to, VirtAddr from, usize size) {
    if (!arch::is_user_range(from, size)) return error(Errno::EFAULT);
    if (arch::arch_copy_from_user(to, user_pointer(from), size) != 0) return error(Errno::EFAULT);
    return {};
}

Result<void> copy_to_user(VirtAddr to, const void* from, usize size) {
    if (!arch::is_user_range(to, size)) return error(Errno::EFAULT);
    if (arch::arch_copy_to_user(user_pointer(to), from, size) != 0) return error(Errno::EFAULT);
    return {};
}

Result<void> clear_user(VirtAddr to, usize size) {
    if (!arch::is_user_range(to, size)) return error(Errno::EFAULT);
    if (arch::arch_clear_user(user_pointer(to), size) != 0) return error(Errno::EFAULT);
    return {};
}

Result<usize> copy_from_user_partial(void* to, VirtAddr from, usize size) {
    if (!arch::is_user_range(from, size)) return error(Errno::EFAULT);
    usize left = arch::arch_copy_from_user(to, user_pointer(from), size);
    if (left == size && size != 0) return error(Errno::EFAULT);
    return size - left;
}

Result<usize> copy_to_user_partial(VirtAddr to, const void* from, usize size) {
    if (!arch::is_user_range(to, size)) return error(Errno::EFAULT);
    usize left = arch::arch_copy_to_user(user_pointer(to), from, size);
    if (left == size && size != 0) return error(Errno::EFAULT);
    return size - left;
}

Result<void> UserSpan::copy_in(std::span<u8> to) const {
    if (to.size() > size_) return error(Errno::EFAULT);
    return copy_from_user(to.data(), address_, to.size());
}
Result<void> UserSpan::copy_out(std::span<const u8> from) const {
    if (from.size() > size_) return error(Errno::EFAULT);
    return copy_to_user(address_, from.data(), from.size());
}
Result<usize> UserSpan::copy_in_partial(std::span<u8> to) const {
    return copy_from_user_partial(to.data(), address_, to.size() < size_ ? to.size() : size_);
}
Result<usize> UserSpan::copy_out_partial(std::span<const u8> from) const {
    return copy_to_user_partial(address_, from.data(), from.size() < size_ ? from.size() : size_);
}

Result<OwnedString> OwnedString::from(std::string_view text) {
    OwnedString result;
    TRY(result.bytes_.try_resize(text.size() + 1));
    std::memcpy(result.bytes_.begin(), text.data(), text.size());
    result.bytes_[text.size()] = '\0';
    result.length_ = text.size();
    return result;
}

Result<std::string_view> UserString::copy_in(std::span<char> buffer) const {
    if (address_ >= arch::user_address_end) return error(Errno::EFAULT);
    usize room = arch::user_address_end - address_;
    usize limit = buffer.size() < room ? buffer.size() : room;
    isize length =
        arch::arch_copy_string_from_user(buffer.data(), static_cast<const char*>(user_pointer(address_)), limit);
    if (length < 0) return error(Errno::EFAULT);
    // No NUL: the string is too long, or it runs into the end of the user half.
    if (static_cast<usize>(length) == limit) return error(limit == room ? Errno::EFAULT : Errno::ENAMETOOLONG);
    return std::string_view(buffer.data(), static_cast<usize>(length));
}

Result<OwnedString> UserString::copy_in(usize limit) const {
    // Most names are short: a small buffer first, the full length only for who needs it.
    char small[128];
    auto first = copy_in(std::span<char>(small, limit < sizeof(small) ? limit : sizeof(small)));
    if (first) return OwnedString::from(*first);
    if (first.error() != Errno::ENAMETOOLONG || limit <= sizeof(small)) return error(first.error());
    OwnedString result;
    TRY(result.bytes_.try_resize(limit));
    result.length_ = TRY(copy_in(result.bytes_.span())).size();
    return result;
}

} // namespace linnet::mm

namespace linnet::hooks {

/// Only a user thread that may sleep gets pages for its copies; everything else ends in the exception table.
bool kernel_page_fault(VirtAddr address, arch::Access access) {
    if (address >= arch::user_address_end) return false;
    core::Thread& thread = core::current_thread();
    if (!thread.user_context || !core::may_sleep()) return false;
    mm::AddressSpace* space = mm::current_address_space();
    thread.faults_in_copies.fetch_add(1, std::memory_order_relaxed);
    static_cast<core::Cpu*>(thread.cpu)->copy_faults.fetch_add(1, std::memory_order_relaxed);
    core::tracepoints::page_fault(address, true);
    // What was given back must not be read as zeroes.
    return space && !space->is_released() && space->handle_fault(address, access) == mm::FaultResult::Resolved;
}

} // namespace linnet::hooks
