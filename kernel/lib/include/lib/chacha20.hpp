// The block function of ChaCha20 (RFC 8439, section 2.3), with a counter of 64 bits and no nonce. The vDSO is built
// with it too: it calls nothing.
#pragma once

#include <lib/types.hpp>

namespace linnet {

inline constexpr u32 chacha20_words = 16;

/// The block of that number under a key of eight words, least significant bytes first. Leaves no copy of the key behind
/// but what the compiler spills.
[[gnu::always_inline]] inline void chacha20_block(const u32* key, u64 number, u32 (&out)[chacha20_words]) {
    constexpr u32 constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    const auto start = [&](u32 at) {
        if (at < 4) return constants[at];
        if (at < 12) return key[at - 4];
        return at == 12 ? static_cast<u32>(number) : at == 13 ? static_cast<u32>(number >> 32) : 0;
    };
    const auto mix = [&out](u32 into, u32 from, u32 turned, int by) {
        out[into] += out[from];
        const u32 value = out[turned] ^ out[into];
        out[turned] = value << by | value >> (32 - by);
    };
    const auto quarter_round = [&mix](u32 a, u32 b, u32 c, u32 d) {
        mix(a, b, d, 16), mix(c, d, b, 12), mix(a, b, d, 8), mix(c, d, b, 7);
    };
    for (u32 i = 0; i < chacha20_words; ++i) out[i] = start(i);
    for (int round = 0; round < 10; ++round) {
        for (u32 i = 0; i < 4; ++i) quarter_round(i, 4 + i, 8 + i, 12 + i);
        for (u32 i = 0; i < 4; ++i) quarter_round(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
    for (u32 i = 0; i < chacha20_words; ++i) out[i] += start(i);
}

} // namespace linnet
