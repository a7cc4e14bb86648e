// What the programs of tests/abi check with. A failed check says where and what, and the program goes on, so that one
// run tells all; the end of main() gives the verdict:
//
//     int main() {
//         CHECK(fd >= 0);
//         CHECK_EQ(read(fd, buffer, 10), 3);
//         CHECK_ERRNO(close(-1), EBADF);
//         return check::result();
//     }
//
// Only C headers, because every test is compiled for four architectures.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <type_traits>

namespace check {

inline std::atomic<int> failures{0};

inline int result() { return failures ? 1 : 0; }

// What cannot be tested here is skipped with the reason.
[[noreturn]] inline void skip(const char* why) {
    printf("skipped: %s\n", why);
    fflush(stdout);
    _Exit(77);
}

inline void failed(const char* file, int line, const char* what) {
    failures++;
    printf("%s:%d: %s\n", file, line, what);
    fflush(stdout);
}

template <typename T>
void print(char* text, size_t size, const T& value) {
    if constexpr (std::is_convertible_v<T, const char*>)
        snprintf(text, size, "\"%s\"", (const char*)value);
    else if constexpr (std::is_pointer_v<T>)
        snprintf(text, size, "%p", (const void*)value);
    else if constexpr (std::is_floating_point_v<T>)
        snprintf(text, size, "%g", double(value));
    else if constexpr (std::is_same_v<T, std::nullptr_t>)
        snprintf(text, size, "nullptr");
    else if constexpr (std::is_enum_v<T>)
        snprintf(text, size, "%lld", (long long)value);
    else if constexpr (std::is_unsigned_v<T>)
        snprintf(text, size, "%llu (%#llx)", (unsigned long long)value, (unsigned long long)value);
    else
        snprintf(text, size, "%lld", (long long)value);
}

template <typename A, typename B>
bool compare(bool holds, const char* file, int line, const char* expression, const A& a, const B& b, int error) {
    if (holds) return true;
    char left[300], right[300], text[1000];
    print(left, sizeof left, a);
    print(right, sizeof right, b);
    snprintf(text, sizeof text, "%s: %s and %s (errno %d, %s)", expression, left, right, error, strerror(error));
    failed(file, line, text);
    return false;
}

// A call that must return -1 with that errno.
template <typename R>
bool fails_with(const char* file, int line, const char* expression, R returned, int error, int wanted) {
    if (returned == R(-1) && error == wanted) return true;
    char text[1000];
    if (returned == R(-1))
        snprintf(text, sizeof text, "%s: errno %d (%s), not %d (%s)", expression, error, strerror(error), wanted,
                 strerror(wanted));
    else
        snprintf(text, sizeof text, "%s: returned %lld, should have failed with %d (%s)", expression,
                 (long long)returned, wanted, strerror(wanted));
    failed(file, line, text);
    return false;
}

} // namespace check

#define CHECK(condition)                                                                                               \
    [&] {                                                                                                              \
        errno = 0;                                                                                                     \
        bool check_holds = bool(condition);                                                                            \
        return check::compare(check_holds, __FILE__, __LINE__, #condition, check_holds, true, errno);                  \
    }()

#define CHECK_COMPARE(a, op, b)                                                                                        \
    [&] {                                                                                                              \
        errno = 0;                                                                                                     \
        auto check_a = (a);                                                                                            \
        auto check_b = static_cast<std::common_type_t<decltype(check_a), decltype(b)>>(b);                             \
        return check::compare(check_a op check_b, __FILE__, __LINE__, #a " " #op " " #b, check_a, check_b, errno);     \
    }()

#define CHECK_EQ(a, b) CHECK_COMPARE(a, ==, b)
#define CHECK_NE(a, b) CHECK_COMPARE(a, !=, b)
#define CHECK_LT(a, b) CHECK_COMPARE(a, <, b)
#define CHECK_LE(a, b) CHECK_COMPARE(a, <=, b)
#define CHECK_GT(a, b) CHECK_COMPARE(a, >, b)
#define CHECK_GE(a, b) CHECK_COMPARE(a, >=, b)

// Compares zero-terminated strings.
#define CHECK_STREQ(a, b)                                                                                              \
    [&] {                                                                                                              \
        const char* check_a = (a);                                                                                     \
        const char* check_b = (b);                                                                                     \
        return check::compare(strcmp(check_a, check_b) == 0, __FILE__, __LINE__, #a " is " #b, check_a, check_b, 0);   \
    }()

// The call must succeed, that is return anything but -1.
#define CHECK_OK(call)                                                                                                 \
    [&] {                                                                                                              \
        errno = 0;                                                                                                     \
        auto check_returned = (call);                                                                                  \
        return check::compare(check_returned != decltype(check_returned)(-1), __FILE__, __LINE__, #call,               \
                              check_returned, 0, errno);                                                               \
    }()

#define CHECK_ERRNO(call, error)                                                                                       \
    [&] {                                                                                                              \
        errno = 0;                                                                                                     \
        auto check_returned = (call);                                                                                  \
        return check::fails_with(__FILE__, __LINE__, #call, check_returned, errno, error);                             \
    }()

// For what makes going on pointless.
#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!CHECK(condition)) _Exit(1);                                                                               \
    } while (0)
