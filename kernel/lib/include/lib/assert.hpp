// Invariant checks. VERIFY is always on; DEBUG_ASSERT only in debug builds, for checks too dear for a hot path.
#pragma once

namespace linnet {
/// Panics with the expression and its place; defined by core (kernel) and by the host tests.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
} // namespace linnet

#define VERIFY(expression)                                                                                             \
    do {                                                                                                               \
        if (!(expression)) [[unlikely]]                                                                                \
            ::linnet::assertion_failed(#expression, __FILE__, __LINE__);                                               \
    } while (false)

#ifdef LINNET_DEBUG
#define DEBUG_ASSERT(expression) VERIFY(expression)
#else
#define DEBUG_ASSERT(expression)                                                                                       \
    do {                                                                                                               \
        if (false) (void)(expression);                                                                                 \
    } while (false)
#endif
