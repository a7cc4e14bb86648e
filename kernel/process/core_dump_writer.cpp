// The way of bytes into a core file: whole pages at a time, holes left out, the limit counted.
#include "core_dump.hpp"

#include <algorithm>
#include <arch/page.hpp>
#include <cstring>

namespace linnet::process {
namespace {
constexpr usize buffer_size = arch::page_size;
}

Result<CoreWriter> CoreWriter::create(Thread& self, RefPtr<vfs::File> file, Kind kind, u64 limit) {
    OwnPtr<u8[]> buffer(new (std::nothrow) u8[buffer_size]);
    if (!buffer) return error(Errno::ENOMEM);
    return CoreWriter(self, std::move(file), kind, limit, std::move(buffer));
}

Result<void> CoreWriter::flush() {
    usize done = 0;
    while (done < used_) {
        if (self_.has_fatal_signal()) return error(Errno::EINTR);
        vfs::IoBuffer bytes = vfs::IoBuffer::kernel(std::span<const u8>(buffer_.get() + done, buffer_.get() + used_));
        const Result<usize> count =
            kind_ == Kind::Pipe ? vfs::write(*file_, bytes) : vfs::write(*file_, bytes, position_ + done);
        if (!count) return error(count.error());
        if (*count == 0) return error(Errno::EIO);
        done += *count;
    }
    position_ += used_;
    if (used_ > 0) file_size_ = position_;
    used_ = 0;
    return {};
}

Result<void> CoreWriter::put(std::span<const u8> bytes) {
    if (bytes.size() > limit_ || written_ > limit_ - bytes.size()) {
        (void)flush(); // what was within the limit
        return error(Errno::EFBIG);
    }
    written_ += bytes.size();
    while (!bytes.empty()) {
        const usize count = std::min(bytes.size(), buffer_size - used_);
        std::memcpy(buffer_.get() + used_, bytes.data(), count);
        used_ += count;
        bytes = bytes.subspan(count);
        if (used_ == buffer_size) TRY(flush());
    }
    return {};
}

Result<void> CoreWriter::skip(u64 size) {
    if (kind_ == Kind::File) {
        if (self_.has_fatal_signal()) return error(Errno::EINTR);
        TRY(flush());
        position_ += size;
        return {};
    }
    constexpr u8 zeros[256] = {};
    for (u64 left = size; left > 0;) {
        const usize count = std::min<u64>(left, sizeof zeros);
        TRY(put({zeros, count}));
        left -= count;
    }
    return {};
}

Result<void> CoreWriter::align_to(u64 alignment) {
    const u64 at = position_ + used_;
    return skip(align_up(at, alignment) - at);
}

Result<void> CoreWriter::finish() {
    TRY(flush());
    if (kind_ == Kind::File && position_ > file_size_) return file_->truncate(position_);
    return {};
}

} // namespace linnet::process
