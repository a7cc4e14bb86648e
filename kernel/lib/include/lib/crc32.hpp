// CRC-32 (IEEE 802.3, reflected, polynomial 0xedb88320) as GPT uses it.
#pragma once

#include <lib/types.hpp>
#include <span>

namespace linnet {

/// The checksum of `bytes`; `before` is that of what came before them.
constexpr u32 crc32(std::span<const u8> bytes, u32 before = 0) {
    u32 value = ~before;
    for (u8 byte : bytes) {
        value ^= byte;
        for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xedb8'8320u : 0);
    }
    return ~value;
}

} // namespace linnet
