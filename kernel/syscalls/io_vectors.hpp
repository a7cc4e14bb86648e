// The iovec arguments of readv(2), writev(2) and their kin.
#pragma once

#include <abi/linux/fcntl.hpp>
#include <lib/array_list.hpp>
#include <mm/usercopy.hpp>
#include <vfs/io_buffer.hpp>

namespace linnet::syscalls {

using IovecIn = mm::UserPtr<mm::In, abi::iovec>;

/// A kernel copy of an iovec array, checked; outlives the buffer made from it.
class IoVectors {
public:
    IoVectors() = default;
    IoVectors(const IoVectors&) = delete;
    /// EINVAL for more than IOV_MAX or a negative length, EFAULT.
    Result<vfs::IoBuffer> import(IovecIn vectors, u64 count);

private:
    static constexpr usize inline_count = 8;
    abi::iovec small_[inline_count];
    ArrayList<abi::iovec> large_;
};

/// One range; EFAULT when it isn't user memory at all.
Result<vfs::IoBuffer> import_range(VirtAddr address, u64 size);

} // namespace linnet::syscalls
