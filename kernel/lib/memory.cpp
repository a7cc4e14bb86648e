// The C memory and string functions that the compiler calls. Architectures may provide faster memcpy, memmove and
// memset in assembly under the same names (these are weak).
#include <cstddef>
#include <cstdint>

extern "C" {

// The compiler must not turn these loops into calls of themselves.
#define NO_BUILTIN __attribute__((no_builtin, weak, used))

NO_BUILTIN void* memcpy(void* __restrict to, const void* __restrict from, std::size_t size) {
    auto* d = static_cast<unsigned char*>(to);
    auto* s = static_cast<const unsigned char*>(from);
    // Words when both are aligned alike; kernels copy mostly aligned data.
    if (((reinterpret_cast<std::uintptr_t>(d) ^ reinterpret_cast<std::uintptr_t>(s)) & 7) == 0) {
        for (; size > 0 && (reinterpret_cast<std::uintptr_t>(d) & 7) != 0; --size) *d++ = *s++;
        for (; size >= 32; size -= 32, d += 32, s += 32) {
            auto* dw = reinterpret_cast<std::uint64_t*>(d);
            auto* sw = reinterpret_cast<const std::uint64_t*>(s);
            std::uint64_t a = sw[0], b = sw[1], c = sw[2], e = sw[3];
            dw[0] = a, dw[1] = b, dw[2] = c, dw[3] = e;
        }
        for (; size >= 8; size -= 8, d += 8, s += 8)
            *reinterpret_cast<std::uint64_t*>(d) = *reinterpret_cast<const std::uint64_t*>(s);
    }
    for (; size > 0; --size) *d++ = *s++;
    return to;
}

NO_BUILTIN void* memmove(void* to, const void* from, std::size_t size) {
    auto* d = static_cast<unsigned char*>(to);
    auto* s = static_cast<const unsigned char*>(from);
    if (d <= s || d >= s + size) {
        for (; size > 0; --size) *d++ = *s++;
    } else {
        for (; size > 0; --size) d[size - 1] = s[size - 1];
    }
    return to;
}

NO_BUILTIN void* memset(void* to, int byte, std::size_t size) {
    auto* d = static_cast<unsigned char*>(to);
    auto value = static_cast<unsigned char>(byte);
    for (; size > 0 && (reinterpret_cast<std::uintptr_t>(d) & 7) != 0; --size) *d++ = value;
    std::uint64_t word = 0x0101010101010101ull * value;
    for (; size >= 32; size -= 32, d += 32) {
        auto* dw = reinterpret_cast<std::uint64_t*>(d);
        dw[0] = word, dw[1] = word, dw[2] = word, dw[3] = word;
    }
    for (; size >= 8; size -= 8, d += 8) *reinterpret_cast<std::uint64_t*>(d) = word;
    for (; size > 0; --size) *d++ = value;
    return to;
}

NO_BUILTIN int memcmp(const void* a, const void* b, std::size_t size) {
    auto* x = static_cast<const unsigned char*>(a);
    auto* y = static_cast<const unsigned char*>(b);
    for (std::size_t i = 0; i < size; ++i)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return 0;
}

NO_BUILTIN void* memchr(const void* s, int byte, std::size_t size) {
    auto* p = static_cast<const unsigned char*>(s);
    for (std::size_t i = 0; i < size; ++i)
        if (p[i] == static_cast<unsigned char>(byte)) return const_cast<unsigned char*>(p + i);
    return nullptr;
}

NO_BUILTIN std::size_t strlen(const char* s) {
    std::size_t length = 0;
    while (s[length]) ++length;
    return length;
}

NO_BUILTIN std::size_t strnlen(const char* s, std::size_t limit) {
    std::size_t length = 0;
    while (length < limit && s[length]) ++length;
    return length;
}

NO_BUILTIN int strcmp(const char* a, const char* b) {
    while (*a && *a == *b) ++a, ++b;
    return static_cast<unsigned char>(*a) - static_cast<unsigned char>(*b);
}

} // extern "C"
