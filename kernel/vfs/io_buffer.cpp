// IoBuffer: moving bytes to and from user ranges or a kernel span.
#include <algorithm>
#include <cstring>
#include <mm/usercopy.hpp>
#include <vfs/io_buffer.hpp>

namespace linnet::vfs {

IoBuffer IoBuffer::user_vectors(std::span<const abi::iovec> vectors, usize total) {
    IoBuffer buffer(Kind::User, 0, 0);
    buffer.more_ = vectors;
    buffer.remaining_ = total;
    return buffer;
}

IoBuffer IoBuffer::kernel_vectors(std::span<const abi::iovec> vectors, usize total) {
    IoBuffer buffer(Kind::Kernel, 0, 0);
    buffer.more_ = vectors;
    buffer.remaining_ = total;
    return buffer;
}

/// Walks the ranges; `move(address, offset, size)` moves bytes of one range and says how many it could.
template <typename Move>
Result<usize> IoBuffer::transfer(usize size, Move move) {
    size = std::min(size, remaining_);
    usize moved = 0;
    while (moved < size) {
        while (range_left_ == 0) {
            VERIFY(!more_.empty());
            address_ = more_[0].iov_base;
            range_left_ = more_[0].iov_len;
            more_ = more_.subspan(1);
        }
        usize piece = std::min(size - moved, range_left_);
        usize went = move(address_, moved, piece);
        address_ += went;
        range_left_ -= went;
        moved += went;
        if (went < piece) break;
    }
    remaining_ -= moved;
    done_ += moved;
    if (moved == 0 && size != 0) return error(Errno::EFAULT);
    return moved;
}

Result<usize> IoBuffer::copy_out(std::span<const u8> from) {
    return transfer(from.size(), [&](u64 address, usize offset, usize size) -> usize {
        if (kind_ == Kind::Kernel) {
            std::memcpy(reinterpret_cast<void*>(address), from.data() + offset, size);
            return size;
        }
        return mm::copy_to_user_partial(VirtAddr{address}, from.data() + offset, size).value_or(0);
    });
}

Result<usize> IoBuffer::copy_in(std::span<u8> to) {
    return transfer(to.size(), [&](u64 address, usize offset, usize size) -> usize {
        if (kind_ == Kind::Kernel) {
            std::memcpy(to.data() + offset, reinterpret_cast<const void*>(address), size);
            return size;
        }
        return mm::copy_from_user_partial(to.data() + offset, VirtAddr{address}, size).value_or(0);
    });
}

Result<usize> IoBuffer::zero_out(usize size) {
    return transfer(size, [&](u64 address, usize, usize piece) -> usize {
        if (kind_ == Kind::Kernel) {
            std::memset(reinterpret_cast<void*>(address), 0, piece);
            return piece;
        }
        return mm::clear_user(VirtAddr{address}, piece).has_value() ? piece : 0;
    });
}

void IoBuffer::visit_ranges(FunctionRef<bool(VirtAddr, usize)> visit) const {
    usize left = remaining_;
    const auto visit_one = [&](u64 address, usize size) {
        size = std::min(size, left);
        left -= size;
        return size == 0 || visit(VirtAddr{address}, size);
    };
    if (!visit_one(address_, range_left_)) return;
    for (const abi::iovec& range : more_)
        if (!visit_one(range.iov_base, range.iov_len)) return;
}

bool IoBuffer::is_aligned(usize memory, usize length) const {
    bool result = true;
    visit_ranges([&](VirtAddr address, usize size) {
        result = linnet::is_aligned(address.value, memory) && linnet::is_aligned(size, length);
        return result;
    });
    return result;
}

void IoBuffer::skip(usize size) {
    (void)transfer(size, [](u64, usize, usize piece) { return piece; });
}

usize IoBuffer::limit_to(usize limit) {
    if (limit >= remaining_) return 0;
    usize cut = remaining_ - limit;
    remaining_ = limit;
    return cut;
}

} // namespace linnet::vfs
