// Collecting the argument and environment strings of execve(2), within its limits.
#include <algorithm>
#include <arch/usercopy.hpp>
#include <mm/usercopy.hpp>
#include <process/exec.hpp>

namespace linnet::process {
namespace {

constexpr usize max_string = 32 * arch::page_size; // MAX_ARG_STRLEN
constexpr usize first_capacity = 1024;
constexpr usize max_total = 6 << 20; // three quarters of the default stack limit, whatever the limit is now
constexpr usize min_total = 131072;

} // namespace

StringBlock::Budget string_budget(u64 stack_limit) {
    return {std::clamp<usize>(stack_limit / 4, min_total, max_total)};
}

Result<void> StringBlock::take(usize size) {
    usize cost = size + sizeof(u64); // the pointer counts too
    if (size > max_string || cost > budget_.bytes) return error(Errno::E2BIG);
    budget_.bytes -= cost;
    return {};
}

Result<void> StringBlock::make_room(usize size) {
    if (size <= capacity_ - size_) return {};
    usize capacity = std::max({capacity_ * 2, size_ + size, first_capacity});
    OwnPtr<char[]> grown(new (std::nothrow) char[capacity]);
    if (!grown) return error(Errno::ENOMEM);
    std::copy_n(data_.get(), size_, grown.get());
    data_ = std::move(grown);
    capacity_ = capacity;
    return {};
}

Result<void> StringBlock::append(std::string_view text) {
    TRY(take(text.size() + 1));
    TRY(make_room(text.size() + 1));
    std::copy_n(text.data(), text.size(), data_.get() + size_);
    size_ += text.size();
    data_[size_++] = '\0';
    ++count_;
    return {};
}

Result<void> StringBlock::prepend(std::string_view text) {
    TRY(take(text.size() + 1));
    TRY(make_room(text.size() + 1));
    std::copy_backward(data_.get(), data_.get() + size_, data_.get() + size_ + text.size() + 1);
    std::copy_n(text.data(), text.size(), data_.get());
    data_[text.size()] = '\0';
    size_ += text.size() + 1;
    ++count_;
    return {};
}

void StringBlock::remove_first() {
    if (count_ == 0) return;
    usize length = static_cast<usize>(std::find(data_.get(), data_.get() + size_, '\0') - data_.get()) + 1;
    std::copy(data_.get() + length, data_.get() + size_, data_.get());
    size_ -= length;
    --count_;
    budget_.bytes += length + sizeof(u64);
}

Result<void> StringBlock::append_string_from_user(VirtAddr address) {
    if (!arch::is_user_range(address, 1)) return error(Errno::EFAULT);
    for (usize room = 256;; room *= 4) {
        usize limit = std::min({room, max_string + 1, arch::user_address_end.value - address.value});
        TRY(make_room(limit));
        isize length =
            arch::arch_copy_string_from_user(data_.get() + size_, reinterpret_cast<const char*>(address.value), limit);
        if (length < 0) return error(Errno::EFAULT);
        if (static_cast<usize>(length) < limit) {
            TRY(take(static_cast<usize>(length) + 1));
            size_ += static_cast<usize>(length) + 1;
            ++count_;
            return {};
        }
        if (limit > max_string) return error(Errno::E2BIG);
        if (limit < room) return error(Errno::EFAULT); // ran into the end of user memory
    }
}

Result<void> StringBlock::append_from_user(VirtAddr vector) {
    if (vector.value == 0) return {};
    mm::UserPtr<mm::In, u64> pointers(vector);
    for (usize i = 0;; ++i) {
        u64 string = TRY(pointers.element(i).copy_in());
        if (string == 0) return {};
        TRY(append_string_from_user({string}));
    }
}

} // namespace linnet::process
