// Files of 8-byte numbers.
#include <algorithm>
#include <vfs/pseudo/word_array.hpp>

namespace linnet::vfs::pseudo {

Result<usize> WordArrayFile::read(IoBuffer& to, u64 offset) {
    if (offset % sizeof(u64) || to.remaining() % sizeof(u64)) return error(Errno::EINVAL);
    const u64 end = count();
    usize total = 0;
    for (u64 index = offset / sizeof(u64); to.remaining() > 0 && index < end;) {
        u64 words[16]; // few: they live on the kernel's stack
        const usize number = std::min({std::size(words), to.remaining() / sizeof(u64), end - index});
        get(index, std::span(words, number));
        const std::span<const u8> bytes(reinterpret_cast<const u8*>(words), number * sizeof(u64));
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
