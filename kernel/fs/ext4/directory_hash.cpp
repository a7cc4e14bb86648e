// MD4 (RFC 1320) cut to half of its steps, the Tiny Encryption Algorithm (Wheeler and Needham, 1994) as a hash, and the
// oldest one.
#include "directory_hash.hpp"

#include <algorithm>
#include <bit>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

using State = u32[4];

enum class Characters : bool { Signed, Unsigned };

u32 character(char c, Characters characters) {
    return characters == Characters::Signed ? static_cast<u32>(static_cast<i32>(static_cast<signed char>(c)))
                                            : static_cast<unsigned char>(c);
}

/// The next words of a name for a hash: its characters, and where it ends its length instead.
void words_of(std::string_view rest, Characters characters, std::span<u32> words) {
    const u32 length = static_cast<u32>(rest.size());
    u32 pad = length | length << 8;
    pad |= pad << 16;
    rest = rest.substr(0, words.size() * 4);
    usize filled = 0;
    for (; rest.size() >= 4; rest.remove_prefix(4)) {
        u32 word = 0;
        for (usize i = 0; i < 4; ++i) word = character(rest[i], characters) + (word << 8);
        words[filled++] = word;
    }
    if (!rest.empty()) {
        u32 word = pad;
        for (char c : rest) word = character(c, characters) + (word << 8);
        words[filled++] = word;
    }
    for (; filled < words.size(); ++filled) words[filled] = pad;
}

void add_half_md4(State& state, std::span<const u32, 8> words) {
    constexpr u32 root_of_2 = 0x5a82'7999, root_of_3 = 0x6ed9'eba1;
    u32 a = state[0], b = state[1], c = state[2], d = state[3];
    auto step = [&](u32 mixed, u32 word, int shift) {
        const u32 fresh = std::rotl(a + mixed + word, shift);
        a = d, d = c, c = b, b = fresh;
    };
    // Unrolled, they are all registers and constants.
    constexpr int first_shifts[] = {3, 7, 11, 19}, second_shifts[] = {3, 5, 9, 13}, third_shifts[] = {3, 9, 11, 15};
#pragma clang loop unroll(full)
    for (usize i = 0; i < 8; ++i) step(d ^ (b & (c ^ d)), words[i], first_shifts[i % 4]);
#pragma clang loop unroll(full)
    for (usize i = 0; i < 8; ++i)
        step((b & c) + ((b ^ c) & d), words[(i * 2 + (i < 4 ? 1 : 0)) % 8] + root_of_2, second_shifts[i % 4]);
    constexpr usize third_order[] = {3, 7, 2, 6, 1, 5, 0, 4};
#pragma clang loop unroll(full)
    for (usize i = 0; i < 8; ++i) step(b ^ c ^ d, words[third_order[i]] + root_of_3, third_shifts[i % 4]);
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
}

void add_tea(State& state, std::span<const u32, 4> key) {
    constexpr u32 delta = 0x9e37'79b9;
    u32 first = state[0], second = state[1], sum = 0;
    for (int round = 0; round < 16; ++round) {
        sum += delta;
        first += ((second << 4) + key[0]) ^ (second + sum) ^ ((second >> 5) + key[1]);
        second += ((first << 4) + key[2]) ^ (first + sum) ^ ((first >> 5) + key[3]);
    }
    state[0] += first, state[1] += second;
}

u32 legacy(std::string_view name, Characters characters) {
    u32 now = 0x12a3'fe2d, before = 0x37ab'e8f9;
    for (char c : name) {
        u32 next = before + (now ^ character(c, characters) * 7152373);
        if (next & 0x8000'0000) next -= 0x7fff'ffff;
        before = now;
        now = next;
    }
    return now << 1;
}

/// `add(state, words)` for each piece of the name.
template <usize Words, typename Add>
void add_pieces(std::string_view name, Characters characters, State& state, Add add) {
    for (usize at = 0; at < name.size(); at += Words * 4) {
        u32 words[Words];
        words_of(name.substr(at), characters, words);
        add(state, std::span<const u32, Words>(words));
    }
}

} // namespace

std::optional<NameHash> hash_name(std::string_view name, HashVersion version, std::span<const u32, 4> seed) {
    State state = {0x6745'2301, 0xefcd'ab89, 0x98ba'dcfe, 0x1032'5476};
    if (std::ranges::any_of(seed, [](u32 word) { return word != 0; })) std::ranges::copy(seed, state);
    const Characters characters = version >= HashVersion::LegacyUnsigned ? Characters::Unsigned : Characters::Signed;
    u32 hash, minor = 0;
    switch (version) {
    case HashVersion::Legacy:
    case HashVersion::LegacyUnsigned:
        hash = legacy(name, characters);
        minor = crc32c(~0u, {reinterpret_cast<const u8*>(name.data()), name.size()}); // it has none itself
        break;
    case HashVersion::HalfMd4:
    case HashVersion::HalfMd4Unsigned:
        add_pieces<8>(name, characters, state, add_half_md4);
        hash = state[1], minor = state[2];
        break;
    case HashVersion::Tea:
    case HashVersion::TeaUnsigned:
        add_pieces<4>(name, characters, state, add_tea);
        hash = state[0], minor = state[1];
        break;
    default:
        return std::nullopt;
    }
    hash &= ~1u;
    constexpr u32 end_of_all = 0xffff'fffe; // means the end of a listing
    return NameHash{hash == end_of_all ? end_of_all - 2 : hash, minor};
}

} // namespace linnet::ext4
