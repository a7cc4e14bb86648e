// Files of 8-byte numbers.
#include <algorithm>
#include <lib/own_ptr.hpp>
#include <new>
#include <vfs/pseudo/word_array.hpp>

namespace linnet::vfs::pseudo {

Result<usize> WordArrayFile::read(IoBuffer& to, u64 offset) {
    if (offset % sizeof(u64) || to.remaining() % sizeof(u64)) return error(Errno::EINVAL);
    const u64 end = count();
    const u64 index_of_first = offset / sizeof(u64);
    if (index_of_first >= end) return 0;
    // Some files take as long for a few words as for many. A few live on the kernel's stack.
    u64 few[16];
    std::span<u64> buffer(few);
    const usize most = std::min({to.remaining() / sizeof(u64), end - index_of_first, u64{4096}});
    OwnPtr<u64[]> many(most > std::size(few) ? new (std::nothrow) u64[most] : nullptr);
    if (many) buffer = {many.get(), most};
    usize total = 0;
    for (u64 index = index_of_first; to.remaining() > 0 && index < end;) {
        const usize number = std::min({buffer.size(), to.remaining() / sizeof(u64), end - index});
        get(index, buffer.first(number));
        const std::span<const u8> bytes(reinterpret_cast<const u8*>(buffer.data()), number * sizeof(u64));
        Result<usize> copied = to.copy_out(bytes);
        if (!copied) return total > 0 ? Result<usize>(total) : error(copied.error());
        total += *copied;
        if (*copied < bytes.size()) break;
        index += number;
    }
    return total;
}

Result<u64> WordArrayFile::seek(u64 position, i64 offset, u32 whence) {
    if (whence == abi::SEEK_SET) return static_cast<u64>(offset);
    if (whence == abi::SEEK_CUR) return position + static_cast<u64>(offset);
    return error(Errno::EINVAL);
}

} // namespace linnet::vfs::pseudo
