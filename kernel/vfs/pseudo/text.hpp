// A growing text, as generators fill it: remembers that it failed instead of failing.
#pragma once

#include <cstring>
#include <lib/own_ptr.hpp>
#include <lib/types.hpp>
#include <string_view>

namespace linnet::vfs::pseudo {

class TextBuffer {
public:
    explicit TextBuffer(usize limit) : limit_(limit) {}
    void append(std::string_view piece) {
        if (failure_ != Errno{} || !reserve(piece.size())) return;
        std::memcpy(bytes_.get() + size_, piece.data(), piece.size());
        size_ += piece.size();
    }
    void clear() {
        size_ = 0;
        failure_ = Errno{};
    }
    [[nodiscard]] std::string_view text() const { return {bytes_.get(), size_}; }
    /// ENOMEM, or EFBIG beyond the limit.
    [[nodiscard]] Result<void> status() const {
        if (failure_ != Errno{}) return error(failure_);
        return {};
    }

private:
    bool reserve(usize more) {
        if (size_ + more <= capacity_) return true;
        usize wanted = capacity_ ? capacity_ * 2 : 512;
        while (wanted < size_ + more) wanted *= 2;
        if (wanted > limit_) return failure_ = Errno::EFBIG, false;
        OwnPtr<char[]> fresh(new (std::nothrow) char[wanted]);
        if (!fresh) return failure_ = Errno::ENOMEM, false;
        if (size_ > 0) std::memcpy(fresh.get(), bytes_.get(), size_);
        bytes_ = std::move(fresh);
        capacity_ = wanted;
        return true;
    }

    OwnPtr<char[]> bytes_;
    usize size_ = 0;
    usize capacity_ = 0;
    const usize limit_;
    Errno failure_{};
};

} // namespace linnet::vfs::pseudo
