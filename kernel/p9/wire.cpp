// Composing messages and taking them apart.
#include <p9/wire.hpp>

namespace linnet::p9 {

void Writer::put(std::string_view text) {
    if (text.size() > 0xffff) {
        has_overflowed_ = true;
        return;
    }
    put(static_cast<u16>(text.size()));
    put_bytes({reinterpret_cast<const u8*>(text.data()), text.size()});
}

void Writer::put_bytes(std::span<const u8> bytes) {
    const std::span<u8> place = take(bytes.size());
    if (!place.empty()) std::memcpy(place.data(), bytes.data(), bytes.size());
}

std::span<u8> Writer::take(usize count) {
    if (has_overflowed_ || count > room_.size() - used_) {
        has_overflowed_ = true;
        return {};
    }
    const std::span<u8> place = room_.subspan(used_, count);
    used_ += count;
    return place;
}

Result<std::span<u8>> Writer::finish() {
    if (has_overflowed_) return error(Errno::ENAMETOOLONG);
    for (usize i = 0; i < sizeof(u32); ++i) room_[i] = static_cast<u8>(used_ >> (8 * i));
    return room_.first(used_);
}

void set_tag(std::span<u8> message, u16 tag) {
    message[5] = static_cast<u8>(tag);
    message[6] = static_cast<u8>(tag >> 8);
}

std::span<const u8> Reader::get_bytes(usize count) {
    if (has_failed_ || count > rest_.size()) {
        has_failed_ = true;
        rest_ = {};
        return {};
    }
    const std::span<const u8> bytes = rest_.first(count);
    rest_ = rest_.subspan(count);
    return bytes;
}

std::string_view Reader::text() {
    const std::span<const u8> bytes = get_bytes(get<u16>());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Qid Reader::qid() {
    Qid result;
    result.type = get<u8>();
    result.version = get<u32>();
    result.path = get<u64>();
    return result;
}

namespace {

/// Servers for Linux send its numbers. What is none, or one that only a kernel uses within itself, is EIO.
Errno errno_of(u32 code) {
    constexpr u32 last = static_cast<u32>(Errno::EHWPOISON);
    return code == 0 || code > last ? Errno::EIO : static_cast<Errno>(code);
}

} // namespace

Result<Reader> open_answer(std::span<const u8> bytes, Type sent, u16 tag) {
    Reader head(bytes);
    const u32 size = head.get<u32>();
    const u8 type = head.get<u8>();
    const u16 got_tag = head.get<u16>();
    if (head.has_failed() || size < header_size || size > bytes.size() || got_tag != tag) return error(Errno::EIO);
    Reader fields(bytes.subspan(header_size, size - header_size));
    if (type == static_cast<u8>(Type::Error) + 1) {
        const u32 code = fields.get<u32>();
        return error(fields.has_failed() ? Errno::EIO : errno_of(code));
    }
    if (type != static_cast<u8>(sent) + 1) return error(Errno::EIO);
    return fields;
}

} // namespace linnet::p9
