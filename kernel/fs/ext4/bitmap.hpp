// Bitmaps of blocks and inodes: the bit n is in the byte n / 8.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <lib/types.hpp>
#include <span>

namespace linnet::ext4 {

inline bool has_bit(std::span<const u8> bits, usize at) { return (bits[at / 8] >> at % 8 & 1) != 0; }

/// Sets or clears `count` bits from `first` on. How many of them changed.
inline usize fill_bits(std::span<u8> bits, usize first, usize count, bool value) {
    usize changed = 0;
    for (usize at = first, end = first + count; at < end;) {
        if (at % 8 == 0 && end - at >= 8) {
            changed += static_cast<usize>(std::popcount(static_cast<u8>(value ? ~bits[at / 8] : bits[at / 8])));
            bits[at / 8] = value ? 0xff : 0;
            at += 8;
            continue;
        }
        changed += has_bit(bits, at) != value ? 1 : 0;
        const u8 mask = static_cast<u8>(1 << at % 8);
        bits[at / 8] = static_cast<u8>(value ? bits[at / 8] | mask : bits[at / 8] & ~mask);
        ++at;
    }
    return changed;
}

/// The first bit of [from, end) that is `value`; `end` when none is.
inline usize find_bit(std::span<const u8> bits, usize from, usize end, bool value) {
    constexpr usize step = 64;
    for (usize at = from; at < end;) {
        const usize byte = at / 8;
        if (byte + step / 8 > bits.size()) {
            if (has_bit(bits, at) == value) return at;
            ++at;
            continue;
        }
        u64 word;
        std::memcpy(&word, bits.data() + byte, sizeof(word)); // little-endian, as all our architectures are
        const u64 wanted = (value ? word : ~word) >> at % 8;
        if (wanted != 0) return std::min(at + static_cast<usize>(std::countr_zero(wanted)), end);
        at += step - at % 8;
    }
    return end;
}

/// Sets in `bits` what is set in `others`, which has as many bytes.
inline void add_bits(std::span<u8> bits, std::span<const u8> others) {
    usize at = 0;
    for (; at + sizeof(u64) <= bits.size(); at += sizeof(u64)) {
        u64 word, other;
        std::memcpy(&word, bits.data() + at, sizeof(word));
        std::memcpy(&other, others.data() + at, sizeof(other));
        word |= other;
        std::memcpy(bits.data() + at, &word, sizeof(word));
    }
    for (; at < bits.size(); ++at) bits[at] |= others[at];
}

/// How many of the first `count` bits are clear.
inline usize count_clear(std::span<const u8> bits, usize count) {
    usize clear = 0;
    for (usize at = 0; at < count / 8; ++at) clear += 8 - static_cast<usize>(std::popcount(bits[at]));
    for (usize at = count / 8 * 8; at < count; ++at) clear += has_bit(bits, at) ? 0 : 1;
    return clear;
}

} // namespace linnet::ext4
