// A growing queue of bytes: appended at the end, consumed at the front. Owns its memory; running out of it ends the
// agent, which has no better answer.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

class Buffer {
public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { free(bytes_); }

    [[nodiscard]] size_t size() const { return end_ - begin_; }
    [[nodiscard]] bool empty() const { return begin_ == end_; }
    [[nodiscard]] const uint8_t* data() const { return bytes_ + begin_; }

    void clear() { begin_ = end_ = 0; }

    void consume(size_t count) {
        begin_ += count;
        if (begin_ == end_) clear();
    }

    // Makes room for `count` more bytes and returns where they go; commit() then says how many came.
    uint8_t* reserve(size_t count) {
        if (end_ + count > capacity_) make_room(count);
        return bytes_ + end_;
    }

    void commit(size_t count) { end_ += count; }

    void append(std::span<const uint8_t> bytes) {
        if (bytes.empty()) return;
        memcpy(reserve(bytes.size()), bytes.data(), bytes.size());
        commit(bytes.size());
    }

    void append_u32(uint32_t value) {
        const uint8_t bytes[4] = {uint8_t(value), uint8_t(value >> 8), uint8_t(value >> 16), uint8_t(value >> 24)};
        append(bytes);
    }

private:
    void make_room(size_t count) {
        if (begin_ > 0) {
            memmove(bytes_, bytes_ + begin_, size());
            end_ -= begin_;
            begin_ = 0;
        }
        if (end_ + count <= capacity_) return;
        size_t wanted = capacity_ ? capacity_ : 4096;
        while (wanted < end_ + count) wanted *= 2;
        auto* grown = static_cast<uint8_t*>(realloc(bytes_, wanted));
        if (!grown) abort();
        bytes_ = grown;
        capacity_ = wanted;
    }

    uint8_t* bytes_ = nullptr;
    size_t begin_ = 0;
    size_t end_ = 0;
    size_t capacity_ = 0;
};

// Reads a payload's fields one after the other; a payload that is too short makes `ok` false and yields zeros.
class Reader {
public:
    explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

    [[nodiscard]] bool ok() const { return ok_; }

    uint32_t number(size_t size) {
        auto field = take(size);
        uint32_t value = 0;
        for (size_t i = field.size(); i > 0; i--) value = value << 8 | field[i - 1];
        return value;
    }
    uint32_t u32() { return number(4); }
    uint16_t u16() { return uint16_t(number(2)); }

    std::span<const uint8_t> string() { return take(u32()); }

private:
    std::span<const uint8_t> take(size_t size) {
        if (size > bytes_.size()) {
            ok_ = false;
            bytes_ = {};
            return {};
        }
        auto field = bytes_.first(size);
        bytes_ = bytes_.subspan(size);
        return field;
    }

    std::span<const uint8_t> bytes_;
    bool ok_ = true;
};
