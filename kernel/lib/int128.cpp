// 128-bit division, which the compiler calls as a function of its runtime library.
#include <lib/types.hpp>

using linnet::u64;
using u128 = unsigned __int128;

namespace {

/// `high`:`low` divided by `divisor`, where high < divisor, so that the quotient fits. Schoolbook division with 32-bit
/// digits (Knuth, The Art of Computer Programming vol. 2, 4.3.1).
u64 divide_128_by_64(u64 high, u64 low, u64 divisor) {
    unsigned shift = static_cast<unsigned>(__builtin_clzll(divisor));
    divisor <<= shift;
    u64 rest = shift ? high << shift | low >> (64 - shift) : high;
    low <<= shift;
    u64 top = divisor >> 32, bottom = divisor & 0xffffffff;
    u64 quotient = 0;
    for (int digit = 1; digit >= 0; --digit) {
        u64 next = digit ? low >> 32 : low & 0xffffffff;
        u64 guess = rest / top, left = rest % top;
        // The guess is at most two too large.
        while (guess >> 32 || guess * bottom > (left << 32 | next)) {
            --guess;
            left += top;
            if (left >> 32) break;
        }
        rest = (rest << 32 | next) - guess * divisor;
        quotient = quotient << 32 | guess;
    }
    return quotient;
}

} // namespace

extern "C" u128 __udivti3(u128 dividend, u128 divisor) {
    u64 high = static_cast<u64>(dividend >> 64), low = static_cast<u64>(dividend);
    if (divisor >> 64 == 0) {
        u64 by = static_cast<u64>(divisor);
        u64 upper = high / by;
        u64 rest = high % by;
        u64 lower = rest == 0 ? low / by : divide_128_by_64(rest, low, by);
        return static_cast<u128>(upper) << 64 | lower;
    }
    // The quotient is below 2^64: bit by bit.
    unsigned shift = static_cast<unsigned>(__builtin_clzll(static_cast<u64>(divisor >> 64)));
    u128 quotient = 0;
    divisor <<= shift;
    for (;; --shift) {
        quotient <<= 1;
        if (dividend >= divisor) dividend -= divisor, quotient |= 1;
        if (shift == 0) return quotient;
        divisor >>= 1;
    }
}
