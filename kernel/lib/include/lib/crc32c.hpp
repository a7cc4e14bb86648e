// CRC-32C (Castagnoli: reflected, polynomial 0x82f63b78) as ext4 and its journal chain it: no inversion, neither at the
// beginning nor at the end.
#pragma once

#include <array>
#include <atomic>
#include <cstring>
#include <lib/types.hpp>
#include <span>

namespace linnet {

namespace crc32c_tables {

using Table = std::array<std::array<u32, 256>, 8>;

/// all[n][b] is the checksum of the byte b with n bytes of zeros behind it.
constexpr Table make() {
    Table all{};
    for (u32 byte = 0; byte < 256; ++byte) {
        u32 value = byte;
        for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f6'3b78u : 0);
        all[0][byte] = value;
    }
    for (usize zeros = 1; zeros < all.size(); ++zeros)
        for (usize byte = 0; byte < 256; ++byte)
            all[zeros][byte] = all[zeros - 1][byte] >> 8 ^ all[0][all[zeros - 1][byte] & 0xff];
    return all;
}
inline constexpr Table all = make();

} // namespace crc32c_tables

/// `value` carried on over so many words of 8 bytes, which need not be aligned.
using Crc32cWords = u32 (*)(u32 value, const u8* at, usize words);

inline u32 crc32c_words_by_tables(u32 value, const u8* at, usize words) {
    const auto& table = crc32c_tables::all;
    for (; words > 0; --words, at += 8) {
        u64 word;
        std::memcpy(&word, at, sizeof(word)); // little-endian, as all our architectures are
        word ^= value;
        value = 0;
        for (usize i = 0; i < 8; ++i) value ^= table[7 - i][word >> (8 * i) & 0xff];
    }
    return value;
}

/// How it is done here: at boot an architecture whose processor has an instruction for it puts its own way here.
inline constinit std::atomic<Crc32cWords> crc32c_words{crc32c_words_by_tables};

/// The same as `step`, one instruction of the processor, does it for each word.
template <typename Step>
u32 crc32c_words_by(u32 value, const u8* at, usize words, Step step) {
    for (; words > 0; --words, at += 8) {
        u64 word;
        std::memcpy(&word, at, sizeof(word));
        value = step(value, word);
    }
    return value;
}

/// `value` carried on over `bytes`; what begins a chain is ~0 in ext4.
inline u32 crc32c(u32 value, std::span<const u8> bytes) {
    const usize words = bytes.size() / 8;
    if (words > 0) value = crc32c_words.load(std::memory_order_relaxed)(value, bytes.data(), words);
    for (const u8 byte : bytes.subspan(words * 8)) value = value >> 8 ^ crc32c_tables::all[0][(value ^ byte) & 0xff];
    return value;
}

/// The same over an object's bytes, for the little-endian numbers that ext4 mixes in.
template <typename T>
u32 crc32c_of(u32 value, const T& object) {
    return crc32c(value, {reinterpret_cast<const u8*>(&object), sizeof(object)});
}

} // namespace linnet
