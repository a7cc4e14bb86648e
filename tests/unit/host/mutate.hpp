// Damage to foreign bytes: what the fuzzing tests of parsers do to a good input. Seeded, so that a failure repeats.
#pragma once

#include <algorithm>
#include <cstring>
#include <lib/types.hpp>
#include <memory>
#include <random>
#include <span>
#include <vector>

namespace linnet::test {

/// A copy on the heap of exactly the right size, so that AddressSanitizer sees a read beyond it.
struct Exact {
    std::unique_ptr<u8[]> data;
    usize size;
    explicit Exact(std::span<const u8> bytes) : data(new u8[bytes.size()]), size(bytes.size()) {
        std::ranges::copy(bytes, data.get());
    }
    [[nodiscard]] std::span<const u8> span() const { return {data.get(), size}; }
};

/// A few random changes of a good input: bits, bytes, aligned words of telling values in both byte orders, and cuts.
inline std::vector<u8> damaged(std::span<const u8> good, std::mt19937& random) {
    static constexpr u64 telling[] = {0,
                                      1,
                                      2,
                                      3,
                                      4,
                                      8,
                                      0x7f,
                                      0x80,
                                      0xff,
                                      0x100,
                                      0xfff,
                                      0x1000,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      0xfffffffc,
                                      0x10000,
                                      ~u64{0},
                                      ~u64{7},
                                      u64{1} << 63,
                                      u64{1} << 47,
                                      u64{1} << 32,
                                      0xffffffffu << 2};
    std::vector<u8> bytes(good.begin(), good.end());
    for (unsigned changes = 1 + random() % 5; changes > 0 && !bytes.empty(); --changes) {
        usize at = random() % bytes.size();
        switch (random() % 6) {
        case 0:
            bytes[at] ^= static_cast<u8>(1u << (random() % 8));
            break;
        case 1:
            bytes[at] = static_cast<u8>(random());
            break;
        case 2:
        case 3: {
            u64 value = telling[random() % std::size(telling)];
            usize width = random() % 2 ? 4 : 8;
            if (random() % 2)
                value = width == 4 ? __builtin_bswap32(static_cast<u32>(value)) : __builtin_bswap64(value);
            at &= ~usize{3};
            std::memcpy(&bytes[at], &value, std::min(width, bytes.size() - at));
            break;
        }
        case 4: { // one word goes where another is
            at &= ~usize{3};
            usize from = random() % bytes.size() & ~usize{3};
            usize length = std::min({usize{4}, bytes.size() - at, bytes.size() - from});
            std::memmove(&bytes[at], &bytes[from], length);
            break;
        }
        default:
            if (random() % 4 == 0) bytes.resize(at);
            break;
        }
    }
    return bytes;
}

} // namespace linnet::test
