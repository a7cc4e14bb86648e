// IoBuffer: where a read puts its bytes or a write takes them from: user memory (one range or an iovec array) or a
// kernel span. One read or write routine serves user code and the kernel. User copies may sleep, so no spinlock may be
// held around them.
#pragma once

#include <abi/linux/fcntl.hpp>
#include <lib/address.hpp>
#include <lib/function_ref.hpp>
#include <lib/result.hpp>
#include <span>

namespace linnet::vfs {

class IoBuffer {
public:
    static IoBuffer kernel(std::span<u8> bytes) {
        return IoBuffer(Kind::Kernel, reinterpret_cast<u64>(bytes.data()), bytes.size());
    }
    /// For writing only: nothing is stored to `bytes`.
    static IoBuffer kernel(std::span<const u8> bytes) {
        return IoBuffer(Kind::Kernel, reinterpret_cast<u64>(bytes.data()), bytes.size());
    }
    /// Ranges of the kernel's own; `vectors` outlives the buffer, `total` is the sum of their lengths.
    static IoBuffer kernel_vectors(std::span<const abi::iovec> vectors, usize total);
    /// A range of the current address space; not yet checked, copies answer EFAULT.
    static IoBuffer user(VirtAddr address, usize size) { return IoBuffer(Kind::User, address.value, size); }
    /// User ranges; `vectors` is a kernel copy that outlives the buffer. `total` is the sum of their lengths, checked
    /// by the caller (copy_in_vectors).
    static IoBuffer user_vectors(std::span<const abi::iovec> vectors, usize total);

    /// Bytes that still fit (read) or are still to come (write).
    [[nodiscard]] usize remaining() const { return remaining_; }
    /// Bytes moved so far.
    [[nodiscard]] usize done() const { return done_; }
    [[nodiscard]] bool is_user() const { return kind_ == Kind::User; }

    /// Moves bytes to the buffer (a read's direction), at most remaining(). Returns how many were moved: fewer than
    /// asked only because user memory ended; EFAULT when then none was.
    Result<usize> copy_out(std::span<const u8> from);
    /// Moves bytes from the buffer (a write's direction); same rules.
    Result<usize> copy_in(std::span<u8> to);
    /// copy_out of `size` zero bytes.
    Result<usize> zero_out(usize size);
    /// One object, all or nothing moved on success; EFAULT also on a partial copy, EINVAL when it doesn't fit.
    template <typename T>
    Result<void> copy_out_object(const T& object) {
        if (remaining_ < sizeof(T)) return error(Errno::EINVAL);
        if (TRY(copy_out({reinterpret_cast<const u8*>(&object), sizeof(T)})) != sizeof(T)) return error(Errno::EFAULT);
        return {};
    }
    template <typename T>
    Result<void> copy_in_object(T& object) {
        if (remaining_ < sizeof(T)) return error(Errno::EINVAL);
        if (TRY(copy_in({reinterpret_cast<u8*>(&object), sizeof(T)})) != sizeof(T)) return error(Errno::EFAULT);
        return {};
    }
    /// Whether all ranges begin at multiples of `memory` and are multiples of `length` long (powers of two).
    [[nodiscard]] bool is_aligned(usize memory, usize length) const;
    /// Calls `visit` for the ranges still to come, until it says that it wants no more.
    void visit_ranges(FunctionRef<bool(VirtAddr address, usize size)> visit) const;
    /// Passes over bytes that were moved without this.
    void skip(usize size);
    /// Cuts remaining() down to `limit`; returns what was cut off, for grow_back().
    usize limit_to(usize limit);
    void grow_back(usize cut) { remaining_ += cut; }

private:
    enum class Kind : u8 { Kernel, User };
    IoBuffer(Kind kind, u64 address, usize size)
        : kind_(kind), address_(address), range_left_(size), remaining_(size) {}
    template <typename Move>
    Result<usize> transfer(usize size, Move move);

    Kind kind_;
    u64 address_;      // next byte of the current range
    usize range_left_; // bytes left in the current range
    usize remaining_;
    usize done_ = 0;
    std::span<const abi::iovec> more_{}; // ranges after the current one
};

} // namespace linnet::vfs
