// WordArrayFile: a generated file that is an array of 8-byte numbers, such as /proc/kpagecount or /proc/PID/pagemap.
#pragma once

#include <vfs/file.hpp>

namespace linnet::vfs::pseudo {

class WordArrayFile : public File {
public:
    /// EINVAL unless offset and length are whole words.
    Result<usize> read(IoBuffer& to, u64 offset) final;
    /// Any position may be sought, as long as nobody asks for the end.
    Result<u64> seek(u64 position, i64 offset, u32 whence) final;

protected:
    WordArrayFile(const Path& path, u32 flags) : File(path, flags, Positioning::Seekable) {}

    /// How many words there are.
    [[nodiscard]] virtual u64 count() const = 0;
    /// Fills in the words from number `first` on.
    virtual void get(u64 first, std::span<u64> words) = 0;
};

} // namespace linnet::vfs::pseudo
