// What start-up code needs to move the kernel image in its address space: applying the linker's relative relocations,
// and the first look at the command line, before anything can be parsed properly.
//
// Both run before the image is at its final address, so they use no table of pointers and nothing that isn't inline.
#pragma once

#include <lib/types.hpp>

namespace linnet {

/// Adds `slide` to every word that a SHT_RELR section names (System V gABI, "Relative Relocation Table"): an even entry
/// is the link address of a word; an odd one is a bitmap of the 63 words that follow what came before. `reach` is what
/// has to be added to a link address to get to the word where it is now.
inline void apply_relative_relocations(const u64* begin, const u64* end, u64 reach, u64 slide) {
    u64* next = nullptr;
    for (const u64* entry = begin; entry < end; ++entry) {
        if ((*entry & 1) == 0) {
            next = reinterpret_cast<u64*>(*entry + reach);
            *next++ += slide;
            continue;
        }
        for (u64 bits = *entry >> 1, *word = next; bits; bits >>= 1, ++word)
            if (bits & 1) *word += slide;
        next += 63;
    }
}

/// Whether `wanted` is one of the blank-separated words of `text`, before a lone `--`, behind which init's words stand.
inline bool has_boot_word(const char* text, usize size, const char* wanted) {
    usize at = 0;
    while (at < size && text[at]) {
        while (at < size && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n')) ++at;
        usize begin = at;
        while (at < size && text[at] && text[at] != ' ' && text[at] != '\t' && text[at] != '\n') ++at;
        if (at - begin == 2 && text[begin] == '-' && text[begin + 1] == '-') return false;
        usize matched = 0;
        while (begin + matched < at && wanted[matched] && text[begin + matched] == wanted[matched]) ++matched;
        if (at > begin && begin + matched == at && !wanted[matched]) return true;
    }
    return false;
}

/// Spreads the randomness of a word over all its bits (the finaliser of SplitMix64; Steele, Lea, Flood, OOPSLA 2014).
constexpr u64 mix_bits(u64 value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

/// A number below `bound` from 64 random bits; the bias is bound / 2^64.
constexpr u64 scale_random(u64 random, u64 bound) {
    return static_cast<u64>((static_cast<unsigned __int128>(random) * bound) >> 64);
}

} // namespace linnet
