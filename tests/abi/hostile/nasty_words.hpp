// Words for registers that a kernel must not believe: each sequence depends on its seed only.
#pragma once

#include <cstdint>

#include "machine.hpp"

extern "C" char __executable_start, etext;

namespace nasty {

inline uint64_t state;
inline void seed(uint64_t number) { state = (number + 1) * 0x9e3779b97f4a7c15; }
inline uint64_t random_word() {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

/// A word in place of `old`. Never one that leads into the middle of the program: that could do anything.
inline uint64_t nasty_word(uint64_t old) {
    const bool is_code = old >= uint64_t(&__executable_start) && old < uint64_t(&etext);
    const uint64_t bit = uint64_t(1) << random_word() % 64;
    switch (random_word() % 8) {
    case 0:
        return random_word();
    case 1:
        return ~uint64_t(0);
    case 2:
        return bit;
    case 3:
        return machine::kernel_address + random_word() % 4096;
    case 4:
        return random_word() & 0xffff;
    case 5:
        return is_code ? 0 : old ^ bit;
    case 6: // half of it, for many fields are that long
        return is_code ? machine::strange_address : (old & 0xffffffff) | random_word() << 32;
    default:
        return is_code ? 0 : (old & ~uint64_t(0xffffffff)) | (random_word() & 0xffff);
    }
}

} // namespace nasty
