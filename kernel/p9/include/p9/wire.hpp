// The wire format of 9P2000.L: messages are a u32 length, a type, a u16 tag and fields in little-endian order; strings
// are a u16 length and bytes. What comes from a server is foreign: a Reader never reads behind its bytes, and says at
// the end whether all it was asked for was there.
#pragma once

#include <concepts>
#include <cstring>
#include <lib/result.hpp>
#include <lib/types.hpp>
#include <span>
#include <string_view>

namespace linnet::p9 {

/// Of requests; the answer's type is one more.
enum class Type : u8 {
    Error = 6, // only ever an answer, Rlerror: 7
    Statfs = 8,
    Open = 12,
    Create = 14,
    Symlink = 16,
    Mknod = 18,
    Readlink = 22,
    Getattr = 24,
    Setattr = 26,
    Xattrwalk = 30,
    Xattrcreate = 32,
    Readdir = 40,
    Fsync = 50,
    Link = 70,
    Mkdir = 72,
    Renameat = 74,
    Unlinkat = 76,
    Version = 100,
    Attach = 104,
    Flush = 108,
    Walk = 110,
    Read = 116,
    Write = 118,
    Clunk = 120,
};

inline constexpr usize header_size = 7;
/// Of an Rlerror, and of all before the data of an Rread.
inline constexpr usize error_size = header_size + 4;
/// What precedes the data of a Twrite, which is the longest head of a message with data.
inline constexpr usize write_head_size = header_size + 16;
inline constexpr u16 no_tag = 0xffff;
inline constexpr u32 no_fid = ~u32{0};

/// What a server calls an object: `path` is the number of the file, unique within the tree.
struct Qid {
    u8 type = 0; // 0x80: directory, 0x02: symlink
    u32 version = 0;
    u64 path = 0;
    /// Whether both are of one object, changed or not.
    [[nodiscard]] bool is_same_object(const Qid& other) const { return path == other.path && type == other.type; }
};

/// Composes one message in `room`; what doesn't fit is noticed, not written.
class Writer {
public:
    Writer(std::span<u8> room, Type type) : room_(room) {
        put(u32{0});
        put(static_cast<u8>(type));
        put(no_tag);
    }
    template <std::unsigned_integral T>
    void put(T value) {
        u8 bytes[sizeof(T)];
        for (usize i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<u8>(u64{value} >> (8 * i));
        put_bytes(bytes);
    }
    void put(std::string_view text);
    void put_bytes(std::span<const u8> bytes);
    /// Takes `count` bytes for the caller to fill. Empty when there is no room.
    std::span<u8> take(usize count);
    /// Stores the length. The message; ENAMETOOLONG when something has not fitted.
    Result<std::span<u8>> finish();

private:
    std::span<u8> room_;
    usize used_ = 0;
    bool has_overflowed_ = false;
};

/// How many bytes a field takes.
template <std::unsigned_integral T>
constexpr usize size_of(T) {
    return sizeof(T);
}
constexpr usize size_of(std::string_view text) { return sizeof(u16) + text.size(); }

/// Stores a tag into a finished message.
void set_tag(std::span<u8> message, u16 tag);

/// Takes a message apart. Once something is missing all else reads as zeros or empty, and finish() fails.
class Reader {
public:
    explicit Reader(std::span<const u8> bytes) : rest_(bytes) {}
    template <std::unsigned_integral T>
    T get() {
        const std::span<const u8> bytes = get_bytes(sizeof(T));
        u64 value = 0;
        for (usize i = 0; i < bytes.size(); ++i) value |= u64{bytes[i]} << (8 * i);
        return static_cast<T>(value);
    }
    std::string_view text();
    Qid qid();
    /// Exactly that many, or none.
    std::span<const u8> get_bytes(usize count);
    [[nodiscard]] bool is_at_end() const { return rest_.empty(); }
    [[nodiscard]] bool has_failed() const { return has_failed_; }
    /// EIO when something was missing.
    [[nodiscard]] Result<void> finish() const { return has_failed_ ? error(Errno::EIO) : Result<void>{}; }

private:
    std::span<const u8> rest_;
    bool has_failed_ = false;
};

/// The fields of the answer to `sent` with `tag`, of which the server says that it has written `bytes`. The error that
/// it tells of; EIO for what is no answer to that.
Result<Reader> open_answer(std::span<const u8> bytes, Type sent, u16 tag);

} // namespace linnet::p9
