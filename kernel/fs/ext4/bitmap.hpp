// Bitmaps of blocks and inodes: the bit n is in the byte n / 8.
#pragma once

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
    const u8 boring = value ? 0 : 0xff;
    for (usize at = from; at < end;) {
        if (at % 8 == 0 && end - at >= 8 && bits[at / 8] == boring) {
            at += 8;
            continue;
        }
        if (has_bit(bits, at) == value) return at;
        ++at;
    }
    return end;
}

/// How many of the first `count` bits are clear.
inline usize count_clear(std::span<const u8> bits, usize count) {
    usize clear = 0;
    for (usize at = 0; at < count / 8; ++at) clear += 8 - static_cast<usize>(std::popcount(bits[at]));
    for (usize at = count / 8 * 8; at < count; ++at) clear += has_bit(bits, at) ? 0 : 1;
    return clear;
}

} // namespace linnet::ext4
