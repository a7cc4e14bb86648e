// Copying in iovecs.
#include "io_vectors.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>

namespace linnet::syscalls {

Result<vfs::IoBuffer> import_range(VirtAddr address, u64 size) {
    if (static_cast<i64>(size) < 0) return error(Errno::EINVAL);
    size = std::min<u64>(size, abi::MAX_RW_COUNT);
    if (!arch::is_user_range(address, size)) return error(Errno::EFAULT);
    return vfs::IoBuffer::user(address, size);
}

Result<vfs::IoBuffer> IoVectors::import(IovecIn vectors, u64 count) {
    if (count > abi::IOV_MAX) return error(Errno::EINVAL);
    std::span<abi::iovec> copy(small_, std::min<u64>(count, inline_count));
    if (count > inline_count) {
        TRY(large_.try_resize(count));
        copy = large_.span();
    }
    TRY(vectors.copy_in(copy));
    u64 total = 0;
    for (abi::iovec& vector : copy) {
        if (static_cast<i64>(vector.iov_len) < 0) return error(Errno::EINVAL);
        if (!arch::is_user_range(VirtAddr{vector.iov_base}, vector.iov_len)) return error(Errno::EFAULT);
        vector.iov_len = std::min(vector.iov_len, abi::MAX_RW_COUNT - total);
        total += vector.iov_len;
    }
    return vfs::IoBuffer::user_vectors(copy, total);
}

} // namespace linnet::syscalls
